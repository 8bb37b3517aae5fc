//! printf(9), panic(9), KASSERT(9).
//!
//! A header of C has the functions with a variable number of arguments. What arrives here is the list of them.

use core::ffi::{CStr, c_char, c_int};
use core::fmt::Write;

use kmod::kern::contract::{kassert_failed, panic_called};
use kmod::kern::lwp::curlwp;
use kmod::machine;

use super::{FromC, Text, bound, placed};
use crate::machine::side::Host;

/// The arguments of a call, as the ABI of x86-64 has them: the first ones are in an area for registers.
#[repr(C)]
pub(super) struct List {
    general: u32,
    floating: u32,
    overflow: *const u64,
    registers: *const u8,
}

/// The end of the integers in the area for registers.
const GENERAL_END: u32 = 48;

/// The arguments, one after another.
struct Arguments(*mut List);

impl FromC for Arguments {
    type Word = *mut List;

    unsafe fn from_c(word: *mut List) -> Arguments {
        Arguments(word)
    }
}

impl Arguments {
    /// The next argument, which is an integer or a pointer.
    fn next(&mut self) -> u64 {
        // SAFETY: C has begun the list, and ends it after the call.
        let list = unsafe { &mut *self.0 };
        if list.general < GENERAL_END {
            let at = list.registers.wrapping_add(list.general as usize);
            list.general += 8;
            // SAFETY: inside of the area for registers, by the check.
            unsafe { at.cast::<u64>().read_unaligned() }
        } else {
            let at = list.overflow;
            list.overflow = at.wrapping_add(1);
            // SAFETY: the format names an argument, and the compiler has compared them.
            unsafe { at.read_unaligned() }
        }
    }

    fn text(&mut self, most: Option<usize>) -> String {
        let at = core::ptr::with_exposed_provenance::<u8>(self.next() as usize);
        if at.is_null() {
            return "(null)".to_owned();
        }
        let mut bytes = Vec::new();
        while most.is_none_or(|most| bytes.len() < most) {
            // SAFETY: C passes a string for %s, or at least as many bytes as the precision says.
            match unsafe { *at.wrapping_add(bytes.len()) } {
                0 => break,
                byte => bytes.push(byte),
            }
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// One conversion: `%-08lx`.
#[derive(Default)]
struct Conversion {
    left: bool,
    zero: bool,
    plus: bool,
    alternate: bool,
    width: usize,
    precision: Option<usize>,
    /// Bytes of an integer.
    bytes: u32,
}

impl Conversion {
    /// Adds `digits` with a sign or a prefix, padded.
    fn pad(&self, out: &mut String, prefix: &str, digits: &str) {
        let digits = match self.precision {
            Some(least) => format!("{digits:0>least$}"),
            None => digits.to_owned(),
        };
        let length = prefix.chars().count() + digits.chars().count();
        let fill = self.width.saturating_sub(length);
        match (self.left, self.zero && self.precision.is_none()) {
            (true, _) => out.extend([prefix, &digits, &" ".repeat(fill)]),
            (false, true) => out.extend([prefix, &"0".repeat(fill), &digits]),
            (false, false) => out.extend([&" ".repeat(fill), prefix, &digits]),
        }
    }

    fn pad_text(&self, out: &mut String, text: &str) {
        let fill = " ".repeat(self.width.saturating_sub(text.chars().count()));
        match self.left {
            true => out.extend([text, &fill]),
            false => out.extend([&fill, text]),
        }
    }

    fn signed(&self, word: u64) -> i64 {
        let unused = 64 - 8 * self.bytes;
        (word << unused) as i64 >> unused
    }

    fn unsigned(&self, word: u64) -> u64 {
        let unused = 64 - 8 * self.bytes;
        word << unused >> unused
    }
}

/// The text of a format of C and its arguments.
fn format(format: &str, arguments: &mut Arguments) -> String {
    let mut out = String::new();
    let mut rest = format.chars().peekable();
    while let Some(c) = rest.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut conversion = Conversion {
            bytes: 4,
            ..Conversion::default()
        };
        while let Some(flag) = rest.next_if(|c| "-+ #0".contains(*c)) {
            match flag {
                '-' => conversion.left = true,
                '0' => conversion.zero = true,
                '+' => conversion.plus = true,
                '#' => conversion.alternate = true,
                _ => {}
            }
        }
        if let Some(width) = number(&mut rest, arguments) {
            conversion.left |= width < 0;
            conversion.width = width.unsigned_abs() as usize;
        }
        if rest.next_if_eq(&'.').is_some() {
            let precision = number(&mut rest, arguments).unwrap_or(0);
            conversion.precision = usize::try_from(precision).ok();
        }
        while let Some(size) = rest.next_if(|c| "hljzt".contains(*c)) {
            conversion.bytes = match size {
                'h' => conversion.bytes / 2,
                _ => 8,
            };
        }
        let Some(kind) = rest.next() else { break };
        convert(&mut out, &conversion, kind, arguments);
    }
    out
}

/// A width or a precision.
fn number(
    rest: &mut core::iter::Peekable<core::str::Chars<'_>>,
    arguments: &mut Arguments,
) -> Option<i32> {
    if rest.next_if_eq(&'*').is_some() {
        return Some(arguments.next() as i32);
    }
    let mut number = None;
    while let Some(digit) = rest.peek().and_then(|c| c.to_digit(10)) {
        rest.next();
        number = Some(number.unwrap_or(0) * 10 + digit as i32);
    }
    number
}

fn convert(out: &mut String, conversion: &Conversion, kind: char, arguments: &mut Arguments) {
    match kind {
        '%' => out.push('%'),
        'd' | 'i' => {
            let value = conversion.signed(arguments.next());
            let sign = match (value < 0, conversion.plus) {
                (true, _) => "-",
                (false, true) => "+",
                (false, false) => "",
            };
            conversion.pad(out, sign, &value.unsigned_abs().to_string());
        }
        'u' => {
            let value = conversion.unsigned(arguments.next());
            conversion.pad(out, "", &value.to_string());
        }
        'x' | 'X' | 'o' => {
            let value = conversion.unsigned(arguments.next());
            let (prefix, digits) = match kind {
                'x' => ("0x", format!("{value:x}")),
                'X' => ("0X", format!("{value:X}")),
                _ => ("0", format!("{value:o}")),
            };
            let prefix = if conversion.alternate { prefix } else { "" };
            conversion.pad(out, prefix, &digits);
        }
        'c' => conversion.pad_text(out, &char::from(arguments.next() as u8).to_string()),
        's' => {
            let text = arguments.text(conversion.precision);
            conversion.pad_text(out, &text);
        }
        'p' => {
            let address = arguments.next() as usize;
            conversion.pad_text(out, &crate::machine::host::name_at(address));
        }
        other => {
            // What the compiler has let pass is shown as it is.
            let _ = write!(out, "%{other}");
        }
    }
}

/// [`format`], by the machine's own code.
fn formatted(text: *const c_char, mut arguments: Arguments) -> String {
    let _host = Host::begin();
    // SAFETY: C passes a string as the format.
    let text = unsafe { CStr::from_ptr(text) };
    format(&text.to_string_lossy(), &mut arguments)
}

/// A format of C: not kept.
struct Format(*const c_char);

impl FromC for Format {
    type Word = *const c_char;

    unsafe fn from_c(word: *const c_char) -> Format {
        Format(word)
    }
}

/// Memory of C for text.
struct Buffer(*mut u8);

impl FromC for Buffer {
    type Word = *mut u8;

    unsafe fn from_c(word: *mut u8) -> Buffer {
        Buffer(word)
    }
}

impl Buffer {
    /// Copies as much of the text as `size` bytes hold, with a zero at the end.
    fn fill(self, size: usize, text: &str) {
        let Some(room) = size.checked_sub(1) else {
            return;
        };
        let length = room.min(text.len());
        // SAFETY: C has `size` bytes there.
        unsafe { self.0.copy_from_nonoverlapping(text.as_ptr(), length) };
        // SAFETY: as above, and `length` is less than `size`.
        let end = unsafe { self.0.add(length) };
        // SAFETY: as above.
        unsafe { end.write(0) };
    }
}

bound! {
    fn rumplab_vprintf(text: Format, arguments: Arguments) {
        if machine::tracing() {
            let text = formatted(text.0, arguments);
            machine::note(format_args!("{}", text.trim_end()));
        }
    }
    fn vsnprintf(buffer: Buffer, size: usize, text: Format, arguments: Arguments) -> c_int {
        let text = formatted(text.0, arguments);
        let length = text.len();
        buffer.fill(size, &text);
        let _host = Host::begin();
        drop(text);
        length as c_int
    }
    fn rumplab_vpanic(place: usize, text: Format, arguments: Arguments) {
        let text = formatted(text.0, arguments);
        placed(place, || -> () {
            panic_called(format_args!("panic: {} (in {})", text.trim_end(), curlwp().name()))
        })
    }
    fn rumplab_vassert(place: usize, kind: Text, condition: Text, text: Format, arguments: Arguments) {
        let text = formatted(text.0, arguments);
        let (colon, text) = match text.trim_end() {
            "" => ("", ""),
            text => (": ", text),
        };
        placed(place, || -> () {
            kassert_failed(format_args!(
                "{}({}) is false in {}{colon}{text}",
                kind.0,
                condition.0,
                curlwp().name()
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Arguments, List, format};

    /// The text, with the arguments as the ABI passes them when they are the only ones.
    fn text(of: &str, arguments: &[u64]) -> String {
        let mut registers = [0u64; 6];
        let first = arguments.len().min(6);
        registers[..first].copy_from_slice(&arguments[..first]);
        let mut list = List {
            general: 0,
            floating: 0,
            overflow: arguments[first..].as_ptr(),
            registers: registers.as_ptr().cast(),
        };
        format(of, &mut Arguments(&mut list))
    }

    #[test]
    fn conversions_are_those_of_c() {
        assert_eq!(text("%d%%", &[u64::from(-5i32 as u32)]), "-5%");
        assert_eq!(text("%5u|%-5u|%05u", &[42, 42, 42]), "   42|42   |00042");
        assert_eq!(text("%#x %X %o", &[255, 255, 8]), "0xff FF 10");
        assert_eq!(text("%ld %u", &[u64::MAX, u64::MAX]), "-1 4294967295");
        assert_eq!(text("%hhu %hd", &[0x1ff, 0xffff]), "255 -1");
        assert_eq!(text("%+d %.3d", &[7, 7]), "+7 007");
        let word = c"word".as_ptr().addr() as u64;
        assert_eq!(
            text("%s|%6s|%-6s|%.2s", &[word; 4]),
            "word|  word|word  |wo"
        );
        assert_eq!(text("%*d%c", &[4, 1, u64::from(b'!')]), "   1!");
        assert_eq!(text("%s", &[0]), "(null)");
        assert_eq!(
            text("%d%d%d%d%d%d%d%d", &[1, 2, 3, 4, 5, 6, 7, 8]),
            "12345678"
        );
    }
}

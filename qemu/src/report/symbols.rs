//! Names and lines for addresses, from the debugging information of the kernel's own file.
//!
//! `scripts/boot` passes the file as the first boot module, with either loader. It is read only when a report needs
//! it. Without it a report has addresses only, and says so.

use core::fmt::{self, Write};

use addr2line::Context;
use addr2line::gimli::{Dwarf, EndianSlice, LittleEndian, SectionId};
use object::read::elf::ElfFile64;
use object::{Object, ObjectSection};
use rustc_demangle::demangle;

use crate::report::backtrace::Place;
use crate::run;

type Reader = EndianSlice<'static, LittleEndian>;

/// Functions at the beginning of every report, which are left out: a reader wants to see what called them.
const WAY_HERE: [&str; 6] = [
    "rumplab_kernel::report::",
    "rumplab_kernel::runtime::panic",
    "<rumplab_kernel::machine::Booted as kmod::machine::Machine>::stop",
    "core::panicking::",
    "kmod_machine_stop",
    "kmod::machine::stop",
];

/// Longest of [`WAY_HERE`], in bytes.
const WAY_HERE_BYTES: usize = 80;

/// The debugging information, if there is any.
pub(crate) struct Symbols(Option<Context<Reader>>);

impl Symbols {
    /// The information of the running kernel.
    pub(crate) fn of_kernel() -> Self {
        let context = run::debug_module().and_then(|module| {
            let file = ElfFile64::<object::LittleEndian>::parse(module).ok()?;
            let section = |id: SectionId| -> Result<Reader, object::Error> {
                let section = file.section_by_name(id.name());
                let data = section.map_or(Ok(&[][..]), |section| section.data())?;
                Ok(EndianSlice::new(data, LittleEndian))
            };
            Context::from_dwarf(Dwarf::load(section).ok()?).ok()
        });
        Symbols(context)
    }

    /// Writes the functions at a place, the innermost inlined one first, numbered from `number`.
    ///
    /// Returns how many it wrote: those at the top that only lead to the report are left out.
    pub(crate) fn write(
        &self,
        place: Place,
        number: usize,
        out: &mut dyn Write,
    ) -> Result<usize, fmt::Error> {
        let probe = place.probe();
        let frames = self
            .0
            .as_ref()
            .and_then(|context| context.find_frames(probe).skip_all_loads().ok());
        let mut written = 0;
        if let Some(mut frames) = frames {
            while let Ok(Some(frame)) = frames.next() {
                let name = frame
                    .function
                    .as_ref()
                    .and_then(|function| function.raw_name().ok());
                let name = demangle(name.as_deref().unwrap_or("?"));
                if number + written == 0 && leads_here(&name) {
                    continue;
                }
                write!(out, "{:>2} {name:#}", number + written)?;
                if let Some((file, line)) = frame.location.and_then(|at| Some((at.file?, at.line?)))
                {
                    write!(out, " at {}:{line}", short(file))?;
                }
                writeln!(out)?;
                written += 1;
            }
            return Ok(written);
        }
        writeln!(out, "{number:>2} {probe:#x} (no debugging information)")?;
        Ok(1)
    }
}

/// The path of a source file, shortened for files of the standard library.
fn short(file: &str) -> &str {
    match file.split_once("/library/") {
        Some((start, rest)) if start.starts_with("/rustc/") => rest,
        _ => file,
    }
}

/// Compares a name with [`WAY_HERE`] while it is being written.
fn leads_here(name: &rustc_demangle::Demangle<'_>) -> bool {
    struct Start {
        bytes: [u8; WAY_HERE_BYTES],
        len: usize,
    }
    impl Write for Start {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            let len = text.len().min(self.bytes.len() - self.len);
            self.bytes[self.len..][..len].copy_from_slice(&text.as_bytes()[..len]);
            self.len += len;
            Ok(())
        }
    }
    let mut start = Start {
        bytes: [0; WAY_HERE_BYTES],
        len: 0,
    };
    // Writing into the buffer does not fail; what does not fit is not compared.
    let _ = write!(start, "{name:#}");
    WAY_HERE
        .iter()
        .any(|prefix| start.bytes[..start.len].starts_with(prefix.as_bytes()))
}

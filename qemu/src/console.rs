//! The console: the first serial port, one writer at a time. It also reads.

use core::fmt::{self, Write};
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

use uart_16550::backend::PioBackend;
use uart_16550::{Config, Uart16550};

use crate::sync::IrqLock;

/// I/O port of COM1.
const COM1: u16 = 0x3f8;

static CONSOLE: IrqLock<Option<Uart16550<PioBackend>>> = IrqLock::new(None);

/// Finds the serial port. Without one the kernel prints nothing, and its exit status is the only result.
pub(crate) fn init() {
    // SAFETY: COM1 has these ports on every PC, and only this module touches them.
    let Ok(mut port) = (unsafe { Uart16550::new_port(COM1) }) else {
        return;
    };
    if port.init(Config::default()).is_ok() {
        *CONSOLE.lock() = Some(port);
    }
}

/// A writer to the console that takes the lock for each piece of text.
pub(crate) struct Console;

impl Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if let Some(port) = CONSOLE.lock().as_mut() {
            port.send_bytes_exact(text.as_bytes());
        }
        Ok(())
    }
}

/// Writes `text` in one piece, so that lines of two CPUs do not mix.
pub(crate) fn write(text: fmt::Arguments<'_>) {
    struct Held<'a>(&'a mut Uart16550<PioBackend>);
    impl Write for Held<'_> {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0.send_bytes_exact(text.as_bytes());
            Ok(())
        }
    }
    if let Some(port) = CONSOLE.lock().as_mut() {
        // The writer never fails; an error can only come from a value that fails to format itself.
        let _ = Held(port).write_fmt(text);
    }
}

/// The key that ends a run early: see [`asked_to_end`].
const END: u8 = b'q';
static END_WAS_ASKED_FOR: AtomicBool = AtomicBool::new(false);

/// Whether a `q` was ever typed at the console.
pub(crate) fn asked_to_end() -> bool {
    if let Some(port) = CONSOLE.lock().as_mut() {
        while let Ok(byte) = port.try_receive_byte() {
            if byte == END {
                END_WAS_ASKED_FOR.store(true, Relaxed);
            }
        }
    }
    END_WAS_ASKED_FOR.load(Relaxed)
}

/// Makes the console usable again after its holder was stopped in the middle of a line.
///
/// # Safety
///
/// Every other CPU has been stopped, and this one will not resume what it did.
pub(crate) unsafe fn take_over() {
    // SAFETY: the caller's promise.
    unsafe { CONSOLE.break_open() };
}

/// Writes a line to the console.
macro_rules! println {
    ($($argument:tt)*) => {
        $crate::console::write(format_args!("{}\n", format_args!($($argument)*)))
    };
}
pub(crate) use println;

//! The block of YAML after a TAP line.

use core::fmt::{self, Write};

use crate::console::Console;

/// Writes fields until it is ended.
pub(crate) struct Yaml(());

impl Yaml {
    /// Begins the block.
    pub(crate) fn begin() -> Self {
        crate::console::println!("  ---");
        Yaml(())
    }

    /// A field of one line, without characters that have a meaning in YAML.
    pub(crate) fn field(&mut self, name: &str, value: fmt::Arguments<'_>) -> fmt::Result {
        writeln!(Console, "  {name}: {value}")
    }

    /// A field of any text, as a literal block.
    pub(crate) fn block(
        &mut self,
        name: &str,
        write: impl FnOnce(&mut dyn Write) -> fmt::Result,
    ) -> fmt::Result {
        writeln!(Console, "  {name}: |")?;
        let mut indented = Indented {
            at_line_start: true,
        };
        write(&mut indented)?;
        if !indented.at_line_start {
            writeln!(Console)?;
        }
        Ok(())
    }

    /// Ends the block.
    pub(crate) fn end(self) {
        crate::console::println!("  ...");
    }
}

struct Indented {
    at_line_start: bool,
}

impl Write for Indented {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for line in text.split_inclusive('\n') {
            if self.at_line_start && line != "\n" {
                Console.write_str("    ")?;
            }
            Console.write_str(line)?;
            self.at_line_start = line.ends_with('\n');
        }
        Ok(())
    }
}

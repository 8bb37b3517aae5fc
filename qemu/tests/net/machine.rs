//! A booted machine, from outside: `scripts/boot`, what it says, how it ends.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

/// How long a machine may take until it says what is waited for: the kernel may have to be built first.
const PATIENCE: Duration = Duration::from_secs(600);

/// A machine that runs.
pub(crate) struct Machine {
    boot: Child,
    lines: Receiver<String>,
    /// What it has said so far.
    said: Vec<String>,
}

impl Machine {
    /// Runs `scripts/boot` with these arguments, with blanks between.
    pub(crate) fn boot(arguments: &str) -> Machine {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut boot = Command::new(root.join("scripts/boot"))
            .args(arguments.split_ascii_whitespace())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("scripts/boot can be run");
        let output = BufReader::new(boot.stdout.take().expect("it is piped"));
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Machine {
            boot,
            lines,
            said: Vec::new(),
        }
    }

    /// Waits for a line that begins so, and gives what comes behind.
    pub(crate) fn wait_for(&mut self, beginning: &str) -> String {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => {
                    self.said.push(line.clone());
                    if let Some(rest) = line.strip_prefix(beginning) {
                        return rest.trim().to_owned();
                    }
                }
                Err(error) => panic!(
                    "no line `{beginning}` ({error}); it said:\n{}",
                    self.said.join("\n")
                ),
            }
        }
    }

    /// Waits for its end, which must be that nothing was found. Gives what it said.
    pub(crate) fn pass(mut self) -> String {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => self.said.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    panic!("it does not end; it said:\n{}", self.said.join("\n"))
                }
            }
        }
        let said = self.said.join("\n");
        let status = self.boot.wait().expect("scripts/boot was started here");
        assert!(
            status.success(),
            "scripts/boot ended with {status}:\n{said}"
        );
        said
    }
}

impl Drop for Machine {
    /// A test that failed leaves no machine behind: it ends by itself, as its time is limited, and is waited for.
    fn drop(&mut self) {
        // One that has been waited for already is not waited for again.
        let _ = self.boot.wait();
    }
}

//! A booted machine, from outside: `scripts/boot`, what it says, how it ends.

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

/// How long a machine may take until it says what is waited for: the kernel may have to be built first.
const PATIENCE: Duration = Duration::from_secs(600);

/// How long a machine runs at most, in seconds: until it is told to end, as long as nothing goes wrong.
const SECONDS: u32 = 60;

/// A machine that runs.
pub(crate) struct Machine {
    boot: Child,
    lines: Receiver<String>,
    /// What it has said so far.
    said: Vec<String>,
}

impl Machine {
    /// A file for what goes through the card of a machine that speaks IP, if somebody wants such files.
    fn dump(arguments: &str) -> Option<PathBuf> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let folder = env::var_os("RUMPLAB_NET_DUMPS")?;
        let number = NUMBER.fetch_add(1, Relaxed);
        let speaks_ip = !arguments.contains("nic-loop");
        speaks_ip.then(|| Path::new(&folder).join(format!("{number}.pcap")))
    }

    /// Runs `scripts/boot` with these arguments, with blanks between. The machine runs until [`pass`](Self::pass).
    pub(crate) fn boot(arguments: &str) -> Machine {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut command = Command::new(root.join("scripts/boot"));
        command
            .args(["--attended", "--seconds", &SECONDS.to_string()])
            .args(arguments.split_ascii_whitespace());
        if let Some(dump) = Self::dump(arguments) {
            command.arg("--net-dump").arg(dump);
        }
        let mut boot = command
            .stdin(Stdio::piped())
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

    /// Tells it to end, as if its time was over. One that has ended already does not hear it.
    fn end(&mut self) {
        if let Some(console) = &mut self.boot.stdin {
            let _ = console.write_all(b"q");
        }
    }

    /// Tells it to end, and waits for that: it must be that nothing was found. Gives what it said.
    pub(crate) fn pass(mut self) -> String {
        self.end();
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
    /// A test that failed leaves no machine behind.
    fn drop(&mut self) {
        self.end();
        // One that has been waited for already is not waited for again.
        let _ = self.boot.wait();
    }
}

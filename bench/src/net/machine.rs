//! A machine in QEMU: the same for both kernels.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use crate::sender::{Wire, now};

/// The machine: two CPUs under TCG, one host thread each. No boot ROM, and no default devices.
const MACHINE: &str = "-machine pc -cpu max -accel tcg,thread=multi -smp 2 -m 512M -nodefaults -no-user-config \
                       -display none -no-reboot -serial stdio -device isa-debug-exit,iobase=0xf4,iosize=4";

/// The image to boot.
pub(crate) struct Image<'a> {
    /// Its name.
    pub(crate) name: &'a str,
    pub(crate) kernel: &'a Path,
    pub(crate) initrd: Option<&'a Path>,
    pub(crate) command_line: &'a str,
}

/// A running machine. It ends when this is dropped, and when this process ends for any reason.
pub(crate) struct Machine {
    qemu: Child,
    started: Instant,
    /// Returns its output.
    reader: Option<JoinHandle<String>>,
}

impl Machine {
    /// Starts a machine whose card is at the other end of `wire`.
    pub(crate) fn start(image: &Image<'_>, wire: &Wire) -> Result<Machine, String> {
        let mut command = Command::new("qemu-system-x86_64");
        command
            .args(MACHINE.split_ascii_whitespace())
            .arg("-netdev")
            .arg(wire.netdev())
            .args(["-device", "virtio-net-pci,netdev=net0,romfile="])
            .arg("-kernel")
            .arg(image.kernel)
            .args(["-append", image.command_line])
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        if let Some(initrd) = image.initrd {
            command.arg("-initrd").arg(initrd);
        }
        // SAFETY: between fork and exec it makes one system call, which allocates nothing and takes no lock.
        unsafe { command.pre_exec(end_with_parent) };
        let started = now();
        let mut qemu = command
            .spawn()
            .map_err(|error| format!("qemu-system-x86_64 cannot be run: {error}"))?;
        let output = qemu.stdout.take().map(BufReader::new);
        let reader = thread::spawn(move || {
            let lines = output.into_iter().flat_map(BufRead::lines);
            let lines = lines.map_while(Result::ok).map(|line| line + "\n");
            lines.collect()
        });
        Ok(Machine {
            qemu,
            started,
            reader: Some(reader),
        })
    }

    /// The time when QEMU was started.
    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// Whether it is still running.
    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.qemu.try_wait(), Ok(None))
    }

    /// Seconds of CPU time that QEMU has used, in all of its threads.
    pub(crate) fn processor_seconds(&self) -> Result<f64, String> {
        let path = format!("/proc/{}/stat", self.qemu.id());
        let stat = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        // The name of the program, in parentheses, may contain anything. The 12th and 13th fields after it are utime
        // and stime.
        let fields = stat.rsplit(')').next().unwrap_or_default();
        let ticks = fields.split_ascii_whitespace().skip(11).take(2);
        let ticks: Option<u64> = ticks.map(|ticks| ticks.parse::<u64>().ok()).sum();
        // SAFETY: it reads a constant of the system.
        let a_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
        match ticks {
            Some(ticks) => Ok(ticks as f64 / a_second as f64),
            None => Err(format!("{path} does not say what processor time was used")),
        }
    }

    /// Ends it, and returns its output.
    pub(crate) fn end(mut self) -> String {
        self.kill();
        let said = self.reader.take().map(JoinHandle::join);
        said.and_then(Result::ok).unwrap_or_default()
    }

    fn kill(&mut self) {
        // Both fail only if it has been waited for already.
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The process is killed when the thread that started it ends, so that Ctrl-C leaves no machine behind.
fn end_with_parent() -> std::io::Result<()> {
    // SAFETY: it touches no memory of ours.
    match unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

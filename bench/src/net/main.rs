//! The booted kernel's packet path compared with Linux's: echo replies per second, and the time from QEMU's start to
//! the first ARP reply.
//!
//! # Overview
//!
//! Both kernels are booted alternately, by the same QEMU with the same card ([`machine`]), with the same sender at
//! the other end of the wire ([`sender`]). The two boots of a pair are compared, and the medians over the pairs are
//! printed ([`table`]). `scripts/bench-net` builds and downloads what is booted.
//!
//! # Exit status
//!
//! 0: the goals are reached; 1: they are not; 2: wrong usage; 3: a machine did not work.

mod machine;
mod packet;
mod sender;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use machine::{Image, Machine};
use sender::{Sender, Wire};
use table::{Figures, Pair};

/// Time limit for a kernel's first answer.
const BOOT_LIMIT: Duration = Duration::from_secs(120);

/// How long a kernel answers before replies are counted.
const WARM_UP: Duration = Duration::from_secs(1);

/// Measures two kernels in turns. `scripts/bench-net --help` explains.
#[derive(Debug, Parser)]
#[command(name = "bench-net")]
struct Args {
    /// Our kernel
    #[arg(long, value_name = "FILE")]
    kernel: PathBuf,
    /// Linux
    #[arg(long, value_name = "FILE")]
    linux: PathBuf,
    /// What Linux runs
    #[arg(long, value_name = "FILE")]
    initrd: PathBuf,
    /// What Linux is called in the table
    #[arg(long, value_name = "NAME")]
    linux_name: String,
    /// Linux's command line
    #[arg(long, value_name = "WORDS", default_value = "console=ttyS0 quiet")]
    linux_command_line: String,
    /// Seconds for which the replies of a boot are counted
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Pairs of boots
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    pairs: u64,
    /// More words for our kernel's command line
    #[arg(long, value_name = "WORDS", default_value = "")]
    append: String,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(why) => {
            eprintln!("bench-net: {why}");
            ExitCode::from(3)
        }
    }
}

/// Measures all pairs and prints the table. True: what is to be reached is.
fn run(args: &Args) -> Result<bool, String> {
    // Longer than it is needed; it is ended from outside, as Linux is.
    let ours = Image {
        name: "rumplab",
        kernel: &args.kernel,
        initrd: None,
        command_line: &format!("scenario=net-serve seconds=86400 {}", args.append),
    };
    let linux = Image {
        name: &args.linux_name,
        kernel: &args.linux,
        initrd: Some(&args.initrd),
        command_line: &args.linux_command_line,
    };
    let duration = Duration::from_secs(args.seconds);
    let mut pairs = Vec::new();
    let mut said = String::new();
    for number in 0..args.pairs {
        // The order alternates as well.
        let pair = if number % 2 == 0 {
            let ours = measure(&ours, duration, &mut String::new())?;
            let linux = measure(&linux, duration, &mut said)?;
            Pair { ours, linux }
        } else {
            let linux = measure(&linux, duration, &mut said)?;
            let ours = measure(&ours, duration, &mut String::new())?;
            Pair { ours, linux }
        };
        eprintln!("# pair {} of {}: {pair}", number + 1, args.pairs);
        pairs.push(pair);
    }
    let table = table::Table::new(&args.linux_name, pairs);
    print!("{table}");
    println!(
        "\nMedians of {} pairs of boots, and the least and greatest ratio of a pair; {} s each.",
        args.pairs, args.seconds
    );
    for line in said.lines().filter_map(|line| line.strip_prefix("# ")) {
        println!("{}: {line}", args.linux_name);
    }
    Ok(table.is_reached())
}

/// Boots a kernel, measures it, and ends it. `said` gets its output.
fn measure(image: &Image<'_>, duration: Duration, said: &mut String) -> Result<Figures, String> {
    let wire = Wire::lay().map_err(|error| format!("no wire on the loopback: {error}"))?;
    let mut machine = Machine::start(image, &wire)?;
    let mut sender = Sender::new(wire);
    let figures = sender
        .find(machine.started(), BOOT_LIMIT, || machine.is_running())
        .and_then(|first_arp| {
            sender.echo(WARM_UP)?;
            let before = machine.processor_seconds()?;
            let echoes = sender.echo(duration)?;
            let processor_seconds = machine.processor_seconds()? - before;
            Ok(Figures {
                first_arp,
                echoes,
                processor_seconds,
            })
        });
    *said = machine.end();
    figures.map_err(|why| format!("{}: {why}; it said:\n{said}", image.name))
}

//! The files of proofs: certificates, and what is left of those that were stopped.

use std::fs;
use std::path::Path;

use super::args::ProveArgs;
use super::{Job, Proof, Shard};
use crate::cli::{Status, Wrong, save, terminal};
use crate::prove::certificate::Certificate;
use crate::registry::Registry;
use crate::report::Role;

/// The largest file that is read.
const LARGEST: u64 = 1 << 30;

/// The name of a file for this proof.
pub(super) fn name(proof: &Proof, bound: u32) -> String {
    let plain = |name: &str| name.replace(|letter: char| !letter.is_alphanumeric(), "-");
    let (scenario, variant) = (plain(proof.scenario.name), plain(proof.variant.name));
    let Shard { number, of } = proof.shard;
    let part = match of {
        1 => String::new(),
        of => format!("-{number}of{of}"),
    };
    let ticks = match proof.early_ticks {
        0 => String::new(),
        ticks => format!("-ticks{ticks}"),
    };
    let (cpus, steps) = (proof.config.cpus(), proof.granularity.name());
    format!("{scenario}-{variant}-{bound}-cpus{cpus}{ticks}-{steps}{part}.proof")
}

pub(super) fn write(path: &Path, certificate: &Certificate) -> bool {
    if let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        // If it cannot be made, the file cannot be written, and that is said.
        let _ = fs::create_dir_all(folder);
    }
    save::write(
        path,
        certificate.text().as_bytes(),
        "--certificates or --out",
    )
}

fn read(path: &Path) -> Result<Certificate, Wrong> {
    let wrong = |why: String| {
        Wrong(format!(
            "{}: {why}\n  help: give a file that `rumplab prove` has written",
            path.display()
        ))
    };
    let size = fs::metadata(path).map_err(|error| wrong(error.to_string()))?;
    if size.len() > LARGEST {
        return Err(wrong("it is too large for a certificate".to_owned()));
    }
    let text = fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    Certificate::read(&text).map_err(wrong)
}

/// The proof of a file, with the threads of the arguments.
fn proof(
    path: &Path,
    certificate: &Certificate,
    args: &ProveArgs,
    registry: Registry<'_>,
) -> Result<Proof, Wrong> {
    let proof = certificate.proof(registry);
    let proof = proof.map_err(|why| {
        Wrong(format!(
            "{}: {why}\n  help: use the program that has written it",
            path.display()
        ))
    })?;
    Ok(Proof {
        jobs: args.jobs,
        ..proof
    })
}

/// A proof that was stopped goes on.
pub(super) fn resume(path: &Path, args: &ProveArgs, registry: Registry<'_>) -> Result<Job, Wrong> {
    let certificate = read(path)?;
    let (progress, up_to) = certificate.progress().map_err(|why| {
        Wrong(format!(
            "{}: {why}\n  help: --check makes a finished proof again",
            path.display()
        ))
    })?;
    Ok(Job {
        proof: proof(path, &certificate, args, registry)?,
        bounds: (certificate.bound(), up_to.max(certificate.bound())),
        progress: Some(progress),
        file: Some(path.to_owned()),
        expected: None,
    })
}

/// A proof is made again.
pub(super) fn check(path: &Path, args: &ProveArgs, registry: Registry<'_>) -> Result<Job, Wrong> {
    let certificate = read(path)?;
    if !certificate.is_complete() {
        return Err(Wrong(format!(
            "{}: this proof is not complete\n  help: go on with --resume",
            path.display()
        )));
    }
    Ok(Job {
        proof: proof(path, &certificate, args, registry)?,
        bounds: (certificate.bound(), certificate.bound()),
        progress: None,
        file: None,
        expected: Some(certificate),
    })
}

/// Puts parts together, and prints the certificate of the whole.
pub(super) fn merge(args: &ProveArgs) -> Result<Status, Wrong> {
    let parts = args.merge.iter().map(|path| read(path));
    let parts = parts.collect::<Result<Vec<Certificate>, Wrong>>()?;
    let whole = Certificate::merge(&parts).map_err(|why| {
        Wrong(format!(
            "--merge: {why}\n  help: give the files of all parts of one proof"
        ))
    })?;
    terminal::say(Role::Plain, whole.text().trim_end());
    Ok(Status::Nothing)
}

//! The files of proofs: certificates, and what is left of those that were stopped.

use std::fs;
use std::io::Read;
use std::path::Path;

use super::args::ProveArgs;
use super::{Job, Proof, Shard};
use crate::cli::{Status, Wrong, save, terminal};
use crate::prove::certificate::Certificate;
use crate::registry::Registry;
use crate::report::Role;

/// The largest file that is read.
const LARGEST: u64 = 1 << 30;

/// The name of a file for this certificate: what it is of, and a number for the rest of its scope.
pub(super) fn name(proof: &Proof, certificate: &Certificate) -> String {
    let plain = |name: &str| name.replace(|letter: char| !letter.is_alphanumeric(), "-");
    let (scenario, variant) = (plain(proof.scenario.name), plain(proof.variant.name));
    let Shard { number, of } = proof.shard;
    let part = match of {
        1 => String::new(),
        of => format!("-{number}of{of}"),
    };
    let (bound, digest) = (certificate.bound(), certificate.digest());
    let open = if certificate.is_open() {
        "-unfinished"
    } else {
        ""
    };
    format!("{scenario}-{variant}-{bound}-{digest:08x}{part}{open}.proof")
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
    let kind = fs::metadata(path).map_err(|error| wrong(error.to_string()))?;
    if !kind.is_file() {
        return Err(wrong("it is no regular file".to_owned()));
    }
    let file = fs::File::open(path).map_err(|error| wrong(error.to_string()))?;
    let mut text = String::new();
    let read = file.take(LARGEST + 1).read_to_string(&mut text);
    let read = read.map_err(|error| wrong(error.to_string()))?;
    if read as u64 > LARGEST {
        return Err(wrong("it is too large for a certificate".to_owned()));
    }
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
            "{}: {why}\n  help: give a file that a stopped proof has left; --check makes a finished one again",
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

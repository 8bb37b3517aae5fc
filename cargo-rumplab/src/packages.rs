//! The packages that cargo knows of, and which of them are watched.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::Deserialize;

use crate::Wrong;
use crate::toolchain::Toolchain;

/// The packages of the machine. They are never watched: their code runs the others.
const OWN: [&str; 4] = ["rumplab", "hostshim", "kmod", "cargo-rumplab"];

/// What `cargo metadata` says.
#[derive(Debug, Deserialize)]
pub(crate) struct Metadata {
    packages: Vec<Package>,
    workspace_members: Vec<String>,
    resolve: Resolve,
    pub(crate) target_directory: PathBuf,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) version: String,
    targets: Vec<Target>,
}

/// What depends on what.
#[derive(Debug, Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Debug, Deserialize)]
struct Node {
    id: String,
    dependencies: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

impl Package {
    /// Whether it is a part of the machine.
    fn is_own(&self) -> bool {
        OWN.contains(&self.name.as_str())
    }

    fn is_library(&self) -> bool {
        self.targets.iter().any(|target| !target.is_of_build())
    }
}

impl Target {
    /// Whether it runs in the compiler, and not in a test.
    fn is_of_build(&self) -> bool {
        self.kind
            .iter()
            .any(|kind| kind == "custom-build" || kind == "proc-macro")
    }

    fn crate_name(&self) -> String {
        self.name.replace('-', "_")
    }
}

/// A name, however it is written.
fn same(one: &str, other: &str) -> bool {
    one.replace('-', "_") == other.replace('-', "_")
}

impl Metadata {
    /// Asks cargo. `arguments` are those of `cargo test`.
    pub(crate) fn ask(toolchain: &Toolchain, arguments: &[String]) -> Result<Metadata, Wrong> {
        let mut cargo = toolchain.command("cargo");
        cargo.args([
            "metadata",
            "--format-version",
            "1",
            "--filter-platform",
            &toolchain.host,
        ]);
        cargo.args(shared(arguments));
        let output = cargo
            .output()
            .map_err(|error| Wrong(format!("cargo cannot be run: {error}")))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let said = said.trim();
            return Err(Wrong(
                said.strip_prefix("error: ").unwrap_or(said).to_owned(),
            ));
        }
        serde_json::from_slice(&output.stdout).map_err(|error| {
            Wrong(format!(
                "what cargo metadata says is not understood: {error}"
            ))
        })
    }

    fn is_member(&self, package: &Package) -> bool {
        self.workspace_members.contains(&package.id)
    }

    /// The dependencies that can be watched: the libraries of the workspace, without those of the machine alone.
    fn dependencies(&self) -> Vec<&Package> {
        let nodes = self.resolve.nodes.iter();
        let nodes: BTreeMap<&str, &Node> = nodes.map(|node| (node.id.as_str(), node)).collect();
        let packages = self.packages.iter();
        let packages: BTreeMap<&str, &Package> = packages
            .map(|package| (package.id.as_str(), package))
            .collect();
        let mut ids = Vec::from_iter(self.workspace_members.iter().map(String::as_str));
        let mut seen: BTreeSet<&str> = ids.iter().copied().collect();
        while let Some(id) = ids.pop() {
            let is_own = packages.get(id).is_some_and(|package| package.is_own());
            let next = nodes.get(id).filter(|_| !is_own);
            let next = next.into_iter().flat_map(|node| &node.dependencies);
            ids.extend(next.map(String::as_str).filter(|id| seen.insert(id)));
        }
        let found = seen.iter().filter_map(|id| packages.get(id).copied());
        let library = |package: &&Package| {
            !self.is_member(package) && !package.is_own() && package.is_library()
        };
        let mut found = Vec::from_iter(found.filter(library));
        found.sort_by_key(|package| (&package.name, &package.version));
        found
    }

    /// The dependencies with these names.
    ///
    /// # Errors
    ///
    /// There is none with one of them, or nothing here uses rumplab.
    pub(crate) fn named(&self, names: &[String]) -> Result<Vec<&Package>, Wrong> {
        if !self
            .packages
            .iter()
            .any(|package| package.name == "rumplab")
        {
            return Err(Wrong(
                "no package here uses rumplab, so nothing would run on its machine\n  help: add it to the \
                 dev-dependencies, and call rumplab::check in a test (docs/crates.md)"
                    .to_owned(),
            ));
        }
        let dependencies = self.dependencies();
        let mut named = Vec::new();
        for name in names {
            let before = named.len();
            named.extend(
                dependencies
                    .iter()
                    .filter(|package| same(&package.name, name)),
            );
            if named.len() == before {
                return Err(unknown(name, &dependencies));
            }
        }
        Ok(named)
    }

    /// The names of the crates that get hooks: those of `named` and of the workspace.
    pub(crate) fn crates(&self, named: &[&Package]) -> BTreeSet<String> {
        let members = self
            .packages
            .iter()
            .filter(|package| self.is_member(package));
        let members = members.filter(|package| !package.is_own());
        let targets = members
            .chain(named.iter().copied())
            .flat_map(|package| &package.targets);
        targets
            .filter(|target| !target.is_of_build())
            .map(Target::crate_name)
            .collect()
    }
}

/// What is said of a crate that is none of these.
fn unknown(name: &str, dependencies: &[&Package]) -> Wrong {
    if OWN.contains(&name) {
        return Wrong(format!(
            "`{name}` cannot be watched: it is a part of the machine\n  help: give `--instrument` the crates under test"
        ));
    }
    let names = BTreeSet::from_iter(dependencies.iter().map(|package| package.name.as_str()));
    let help = match names.is_empty() {
        true => {
            "there are none; the crates of the workspace are watched without being named".to_owned()
        }
        false => format!("there are {}", Vec::from_iter(names).join(", ")),
    };
    Wrong(format!(
        "there is no crate `{name}` among the dependencies\n  help: {help}"
    ))
}

/// The arguments of `cargo test` that `cargo metadata` takes, too.
fn shared(arguments: &[String]) -> Vec<&str> {
    let flags = [
        "--all-features",
        "--no-default-features",
        "--locked",
        "--offline",
        "--frozen",
    ];
    let valued = ["--manifest-path", "--features", "-F", "--config"];
    let mut shared = Vec::new();
    let mut words = arguments
        .iter()
        .map(String::as_str)
        .take_while(|word| *word != "--");
    while let Some(word) = words.next() {
        let name = word.split('=').next().unwrap_or(word);
        if flags.contains(&word) || (name != word && valued.contains(&name)) {
            shared.push(word);
        } else if valued.contains(&word) {
            shared.push(word);
            shared.extend(words.next());
        }
    }
    shared
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata() -> Metadata {
        let package = |id: &str, name: &str, kind: &str| {
            let target = Target {
                name: name.to_owned(),
                kind: vec![kind.to_owned()],
            };
            Package {
                id: id.to_owned(),
                name: name.to_owned(),
                version: "1.0.0".to_owned(),
                targets: vec![target],
            }
        };
        let node = |id: &str, dependencies: &[&str]| Node {
            id: id.to_owned(),
            dependencies: dependencies.iter().map(|id| (*id).to_owned()).collect(),
        };
        Metadata {
            packages: vec![
                package("0", "mine", "lib"),
                package("1", "crossbeam-epoch", "lib"),
                package("2", "derive", "proc-macro"),
                package("3", "rumplab", "lib"),
                package("4", "libc", "lib"),
            ],
            workspace_members: vec!["0".to_owned()],
            resolve: Resolve {
                nodes: vec![node("0", &["1", "2", "3"]), node("3", &["4"])],
            },
            target_directory: PathBuf::new(),
        }
    }

    #[test]
    fn a_crate_is_found_however_it_is_written_and_an_unknown_one_is_told() {
        let metadata = metadata();
        for name in ["crossbeam-epoch", "crossbeam_epoch"] {
            let named = metadata.named(&[name.to_owned()]).unwrap_or_default();
            assert_eq!(
                metadata.crates(&named).into_iter().collect::<Vec<_>>(),
                ["crossbeam_epoch", "mine"]
            );
        }
        let Err(Wrong(said)) = metadata.named(&["crosbeam".to_owned()]) else {
            panic!("an unknown crate is taken");
        };
        assert_eq!(
            said,
            "there is no crate `crosbeam` among the dependencies\n  help: there are crossbeam-epoch"
        );
        let Err(Wrong(said)) = metadata.named(&["rumplab".to_owned()]) else {
            panic!("the machine is watched");
        };
        assert!(said.contains("a part of the machine"), "{said}");
    }

    #[test]
    fn without_rumplab_nothing_is_run() {
        let mut metadata = metadata();
        metadata
            .packages
            .retain(|package| package.name != "rumplab");
        assert!(metadata.named(&[]).is_err());
    }

    #[test]
    fn some_arguments_are_for_metadata_as_well() {
        let words = [
            "--release",
            "--features",
            "a,b",
            "--offline",
            "--manifest-path=x",
            "name",
            "--",
            "--config",
        ];
        let words = words.map(str::to_owned);
        assert_eq!(
            shared(&words),
            ["--features", "a,b", "--offline", "--manifest-path=x"]
        );
    }
}

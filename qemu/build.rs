//! Says how the booted kernel is linked; a host build of the package is left alone.

use std::env;
use std::path::Path;

/// The profile of the booted kernel. Cargo describes the target to a build script without the
/// profile's `panic` setting, but it names the profile's folder.
const PROFILE: &str = "kernel";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=kernel.ld");
    let aborts = env::var("CARGO_CFG_PANIC").is_ok_and(|panic| panic == "abort");
    let out_dir = env::var("OUT_DIR").expect("cargo sets OUT_DIR");
    // OUT_DIR is <target>/<triple>/<profile>/build/<package>/out.
    let profile = Path::new(&out_dir)
        .ancestors()
        .nth(3)
        .and_then(Path::file_name);
    if !aborts && profile.is_none_or(|name| name != PROFILE) {
        return;
    }
    let folder = env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    for argument in [
        "-nostartfiles",
        "-nostdlib",
        "-static",
        "-no-pie",
        "-Wl,--build-id=none",
        // The boot code and the kernel share segments that GRUB and QEMU load as they stand.
        "-Wl,-z,max-page-size=4096",
        "-Wl,-z,noexecstack",
    ] {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
    println!("cargo::rustc-link-arg-bins=-Wl,-T,{folder}/kernel.ld");
}

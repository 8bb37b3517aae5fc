//! Lets a target put functions of its own in the place of libFuzzer's (`untraced!`).

fn main() {
    println!("cargo::rustc-link-arg-bins=-Wl,--allow-multiple-definition");
    println!("cargo::rerun-if-changed=build.rs");
}

//! `rumplab/layout.h`: the sizes of the kernel's objects, for the headers of the C interface.

#[cfg(test)]
mod tests {
    use core::fmt::Write as _;
    use std::path::Path;

    use kmod::kern::callout::Callout;
    use kmod::kern::condvar::Kcondvar;
    use kmod::kern::cpu::{self, Cpu};
    use kmod::kern::localcount::Localcount;
    use kmod::kern::lwp::{Lwp, layout};
    use kmod::kern::mutex::Kmutex;
    use kmod::kern::psref::{Psref, PsrefTarget};
    use kmod::kern::rwlock::Krwlock;
    use kmod::kern::workqueue::Work;

    fn header() -> String {
        let mut text = String::from(
            "/*\n * The sizes of the kernel's objects, in bytes. A test writes this file: UPDATE_LAYOUT=1 cargo test -p hostshim layout\n */\n\
             #ifndef _RUMPLAB_RUMPLAB_LAYOUT_H_\n#define _RUMPLAB_RUMPLAB_LAYOUT_H_\n\n",
        );
        let lines = [
            ("SIZEOF_KMUTEX", size_of::<Kmutex>()),
            ("SIZEOF_KRWLOCK", size_of::<Krwlock>()),
            ("SIZEOF_KCONDVAR", size_of::<Kcondvar>()),
            ("SIZEOF_CALLOUT", size_of::<Callout>()),
            ("SIZEOF_PSREF", size_of::<Psref>()),
            ("SIZEOF_PSREF_TARGET", size_of::<PsrefTarget>()),
            ("SIZEOF_LOCALCOUNT", size_of::<Localcount>()),
            ("SIZEOF_WORK", size_of::<Work>()),
            ("SIZEOF_LWP", size_of::<Lwp>()),
            ("SIZEOF_CPU_INFO", size_of::<Cpu>()),
            ("SIZEOF_CPU_DATA", cpu::layout::DATA_SIZE),
            ("CPU_DATA", cpu::layout::CI_DATA),
            ("CPU_CURLWP", cpu::layout::CI_CURLWP),
            ("LWP_CPU", layout::L_CPU),
            ("LWP_MUTEX", layout::L_MUTEX),
            ("LWP_WCHAN", layout::L_WCHAN),
            ("LWP_SLEEPQ", layout::L_SLEEPQ),
            ("LWP_SLEEPCHAIN", layout::L_SLEEPCHAIN),
            ("LWP_DATA", layout::L_DATA),
            ("LWP_PFLAG", layout::L_PFLAG),
            ("LWP_PSREFS", layout::L_PSREFS),
            ("LWP_NOPREEMPT", layout::L_NOPREEMPT),
            ("LWP_NCSW", layout::L_NCSW),
        ];
        for (name, value) in lines {
            let _ = writeln!(text, "#define RUMPLAB_{name}\t{value}");
        }
        text + "\n#endif\n"
    }

    #[test]
    fn the_headers_know_the_sizes() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("include/rumplab/layout.h");
        let header = header();
        if std::env::var_os("UPDATE_LAYOUT").is_some() {
            std::fs::write(&path, &header).expect("a file that can be written");
        }
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            written == header,
            "{} is out of date: run this test with UPDATE_LAYOUT=1, and read the difference",
            path.display()
        );
    }
}

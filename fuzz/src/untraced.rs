//! Comparisons that nobody traces.

/// Puts functions that do nothing in the place of those by which libFuzzer learns of comparisons.
///
/// For targets whose bytes are numbers of choices: no comparison in the machine has anything to teach about them, and
/// the calls cost two thirds of the time. A target that reads text wants to know.
#[macro_export]
macro_rules! untraced {
    () => {
        $crate::untraced! {
            __sanitizer_cov_trace_cmp1(u8), __sanitizer_cov_trace_const_cmp1(u8),
            __sanitizer_cov_trace_cmp2(u16), __sanitizer_cov_trace_const_cmp2(u16),
            __sanitizer_cov_trace_cmp4(u32), __sanitizer_cov_trace_const_cmp4(u32),
            __sanitizer_cov_trace_cmp8(u64), __sanitizer_cov_trace_const_cmp8(u64),
        }
    };
    ($($name:ident($word:ty)),* $(,)?) => {
        $(
            #[unsafe(no_mangle)]
            extern "C" fn $name(_: $word, _: $word) {}
        )*
    };
}

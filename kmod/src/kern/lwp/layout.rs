//! Where fields of an [`Lwp`] are, in bytes: for code of another language that reads them.

use core::mem::offset_of;

use super::Lwp;

/// `l_pflag`, a word of 32 bits.
pub const L_PFLAG: usize = offset_of!(Lwp, l_pflag);
/// `l_psrefs`, a signed word of 32 bits.
pub const L_PSREFS: usize = offset_of!(Lwp, l_psrefs);
/// `l_nopreempt`, a signed word of 32 bits.
pub const L_NOPREEMPT: usize = offset_of!(Lwp, l_nopreempt);
/// `l_ncsw`, a word of 64 bits.
pub const L_NCSW: usize = offset_of!(Lwp, l_ncsw);
/// `l_mutex`, an atomic pointer to a mutex.
pub const L_MUTEX: usize = offset_of!(Lwp, l_mutex);
/// `l_wchan`, a word.
pub const L_WCHAN: usize = offset_of!(Lwp, l_wchan);
/// `l_sleepq`, a pointer to a sleep queue or 0.
pub const L_SLEEPQ: usize = offset_of!(Lwp, l_sleepq);
/// The next LWP of its sleep queue, a pointer or 0.
pub const L_SLEEPCHAIN: usize = offset_of!(Lwp, l_sleepchain.next);
/// Eight bytes that the kernel does not touch.
pub const L_DATA: usize = offset_of!(Lwp, l_data);
/// `l_cpu`, an atomic pointer to a CPU.
pub const L_CPU: usize = offset_of!(Lwp, l_cpu);

//! Generated programs: the decoding of an input of the target `ops`.

use arbitrary::{Arbitrary, Result, Unstructured};
use hostshim::Bytes;
use kmod::config::Wiring;
use kmod::scenario::ops::{Language, MAX_CPUS, MAX_LWPS, MAX_OPS, Op, Program, Topics};

/// A machine, a program, and the bytes of its schedule.
#[derive(Debug)]
pub struct Input {
    /// CPUs of the machine.
    pub cpus: usize,
    /// Wiring of its cross calls.
    pub xcall: Wiring,
    /// The programs of its LWPs.
    pub program: Program,
    /// The schedule.
    pub schedule: Vec<u8>,
}

/// Maximum number of operations in a small program; three of four are small.
const SMALL: usize = 48;
/// Maximum number of operations in a large one.
const LARGE: usize = MAX_LWPS * MAX_OPS;

/// Number of bytes of a complete program and schedule.
pub(crate) const WHOLE: usize = 4 + 4 * LARGE + Bytes::MOST;

impl Input {
    /// Number of bytes of a complete input.
    pub const WHOLE: usize = 1 + WHOLE;
}

/// Decodes bytes to a program of a language.
pub(crate) fn program(language: Language, bytes: &mut Unstructured<'_>) -> Result<Program> {
    let topics = Topics::decode(language, bytes.arbitrary()?);
    let mut program = Program::default();
    // Each operation has one byte for its LWP and three for itself. So inserting one does not move the others to
    // other LWPs. The schedule comes last.
    let count = usize::from(bytes.arbitrary::<u8>()?);
    let most = if count < 192 { SMALL } else { LARGE };
    let count = count % most;
    for _ in 0..count {
        if bytes.len() < 4 {
            break;
        }
        let [lwp, op @ ..]: [u8; 4] = bytes.arbitrary()?;
        program.scripts[usize::from(lwp) % MAX_LWPS].push(Op::decode(topics, op));
    }
    Ok(program)
}

impl<'a> Arbitrary<'a> for Input {
    fn arbitrary(bytes: &mut Unstructured<'a>) -> Result<Input> {
        let head: u8 = bytes.arbitrary()?;
        let cpus = 1 + usize::from(head) % MAX_CPUS;
        let xcall = if head & 0x80 == 0 {
            Wiring::Native
        } else {
            Wiring::Rump
        };
        Ok(Input {
            cpus,
            xcall,
            program: program(Language::Ops, bytes)?,
            schedule: bytes.bytes(bytes.len())?.to_vec(),
        })
    }
}

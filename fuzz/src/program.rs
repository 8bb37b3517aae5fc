//! Arbitrary programs: what an input of the target `ops` means.

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
    /// What its LWPs do.
    pub program: Program,
    /// The schedule.
    pub schedule: Vec<u8>,
}

/// Operations of a small program, at most: three of four are small.
const SMALL: usize = 48;
/// Operations of a large one.
const LARGE: usize = MAX_LWPS * MAX_OPS;

/// Bytes of a program and a schedule that leave nothing open.
pub(crate) const WHOLE: usize = 4 + 4 * LARGE + Bytes::MOST;

impl Input {
    /// Bytes of an input that leaves nothing open.
    pub const WHOLE: usize = 1 + WHOLE;
}

/// The program of a language that bytes mean.
pub(crate) fn program(language: Language, bytes: &mut Unstructured<'_>) -> Result<Program> {
    let topics = Topics::decode(language, bytes.arbitrary()?);
    let mut program = Program::default();
    // Operations are dealt out: a byte says to whom, three what. So to insert one does not move the others
    // to other LWPs, and the schedule comes last.
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

//! Programs over the network stack.

pub mod frames;
pub mod pktqueue;

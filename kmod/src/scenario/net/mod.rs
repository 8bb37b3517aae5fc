//! Programs over the network stack.

pub mod echo;
pub mod frames;
pub mod ifdetach;
pub mod pktqueue;
pub mod serve;
pub mod two_kernels;
pub mod wire;

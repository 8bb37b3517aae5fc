//! Programs over the network stack.

pub mod echo;
pub mod frames;
pub mod ifdetach;
pub mod ifindex;
pub mod in_order;
mod interfaces;
pub mod pktq_destroy;
pub mod pktqueue;
pub mod routes;
pub mod serve;
pub mod shutdown;
pub mod steady;
pub mod storm;
pub mod taps;
pub mod two_kernels;
pub mod wellformed;
pub mod wire;

//! Network cards of the booted machine, from outside: `scripts/test-net` runs these.

mod lengths;
mod machine;
mod net_serve;
mod nic_loop;
mod packets;
mod peer;
mod storm;
mod wire;

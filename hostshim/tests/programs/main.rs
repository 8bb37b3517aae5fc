//! Programs on the machine, and what hunting, naming, minimizing and predicting make of them. One program, because each takes
//! seconds to link.

mod campaign;
mod frames;
mod granularity;
mod leaks;
mod predict;
mod preempt;
mod rest;
mod scarcity;
mod softnet;
mod stories;
mod told;
mod tso;
mod tso_switch;
mod tso_wakeup;
mod two_kernels;

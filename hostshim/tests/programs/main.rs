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
mod two_kernels;

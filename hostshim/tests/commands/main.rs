//! The command line, run from outside. One program, because each takes seconds to link.

mod program;

mod c;
mod c_examples;
mod c_replace;
mod cli;
mod damage;
mod frames;
mod marks;
mod prove;
mod reports;
mod results;
mod unmarked;
mod usage;

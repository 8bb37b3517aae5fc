//! The kernel that runs the scenarios of `kmod`: see the library of this package.

#![cfg_attr(panic = "abort", no_std, no_main)]

rumplab_kernel::boots!(kmod::scenario::ALL);

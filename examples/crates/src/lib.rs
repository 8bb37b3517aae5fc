//! Nothing: the tests are what there is. `scripts/crates` runs them.

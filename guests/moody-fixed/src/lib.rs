//! `moody`, mended: what made it trap is answered.

#[path = "../../moody/src/function.rs"]
mod function;

/// What becomes of a call that goes wrong.
const FORGIVES: bool = true;

//! Fails every other time, as clock, dice and another server have it.

mod function;

/// What becomes of a call that goes wrong.
const FORGIVES: bool = false;

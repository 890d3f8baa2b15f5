//! A request that is recorded, or one that is played from a recording: what its sandbox has in place of the clocks, the
//! random numbers and the network that all others have.

mod waiting;

use crate::{
    player::Player,
    recorder::{Randomness, Recorder},
};
use rand_core::TryRng;
use std::{convert::Infallible, sync::Arc, time::Duration};
pub(crate) use waiting::Waiting;
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtxBuilder};

/// Where what goes into a sandbox is written to, or comes from.
#[derive(Clone)]
pub enum Tape {
    Recording(Arc<Recorder>),
    Playing(Arc<Player>),
}

impl Tape {
    /// Who plays it.
    pub(crate) fn player(&self) -> Option<&Player> {
        match self {
            Tape::Playing(player) => Some(player),
            Tape::Recording(_) => None,
        }
    }

    /// Puts it between a guest and its clocks and random numbers.
    pub(crate) fn put_into(&self, wasi: &mut WasiCtxBuilder) {
        let seed = match self {
            Tape::Recording(recorder) => recorder.insecure_seed(),
            Tape::Playing(player) => player.insecure_seed(),
        };
        wasi.wall_clock(Clock(self.clone()))
            .monotonic_clock(Clock(self.clone()))
            .secure_random(Numbers(self.clone(), Randomness::Secure))
            .insecure_random(Numbers(self.clone(), Randomness::Insecure))
            .insecure_random_seed(seed);
    }
}

/// Both clocks.
struct Clock(Tape);

/// How fine both are, in nanoseconds.
const RESOLUTION_NS: u64 = 1;

impl HostWallClock for Clock {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(RESOLUTION_NS)
    }

    fn now(&self) -> Duration {
        match &self.0 {
            Tape::Recording(recorder) => recorder.wall_clock(),
            Tape::Playing(player) => player.wall_clock(),
        }
    }
}

impl HostMonotonicClock for Clock {
    fn resolution(&self) -> u64 {
        RESOLUTION_NS
    }

    fn now(&self) -> u64 {
        match &self.0 {
            Tape::Recording(recorder) => recorder.monotonic_clock(),
            Tape::Playing(player) => player.monotonic_clock(),
        }
    }
}

/// One of the sources of random numbers.
struct Numbers(Tape, Randomness);

impl Numbers {
    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }

    fn fill(&mut self, bytes: &mut [u8]) {
        match &self.0 {
            Tape::Recording(recorder) => recorder.random(self.1, bytes),
            Tape::Playing(player) => player.random(self.1, bytes),
        }
    }
}

impl TryRng for Numbers {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::from_le_bytes(self.bytes()))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from_le_bytes(self.bytes()))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.fill(bytes);
        Ok(())
    }
}

//! Processors that are kept busy by nobody in particular.
//!
//! A hypervisor treats a machine that computes all the time differently from one that rests between requests, and so
//! does a processor's clock. Beside a neighbour that spins, all of that would be charged to the neighbour; so the
//! measurement without one has the processors busy too, with a program that the kernel runs when nobody else wants to.

use std::process::{Child, Command, Stdio};
use std::thread;

use anyhow::{Context as _, Result, ensure};

use crate::placement::Placement;
use crate::server::stop;

/// Keeps the processors of the server busy until it is dropped.
pub(crate) struct Busy(Child);

impl Busy {
    pub(crate) fn start(placement: Placement) -> Result<Self> {
        let mut command = Command::new("chrt");
        command.args(["--idle", "0"]).arg(std::env::current_exe()?).arg("busy").stdin(Stdio::null());
        let child = placement.spawn_server(command);
        Ok(Self(child.context("chrt (Debian's package `util-linux`) starts what keeps processors busy")?))
    }

    /// Ends it; an error when it has not been there all the time.
    pub(crate) fn end(mut self) -> Result<()> {
        let status = self.0.try_wait()?;
        ensure!(status.is_none(), "what keeps processors busy has ended by itself: {status:?}");
        Ok(())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        stop(&mut self.0);
    }
}

/// Spins on all processors of this process until it is killed.
pub(crate) fn run() -> Result<()> {
    for _ in 1..thread::available_parallelism()?.get() {
        thread::spawn(spin);
    }
    spin()
}

fn spin() -> ! {
    loop {
        std::hint::spin_loop();
    }
}

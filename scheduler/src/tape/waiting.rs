//! Waiting for things in WASI 0.2 (`wasi:clocks/monotonic-clock`, `wasi:io/poll`), where what a guest waits for may be on
//! a tape: which of several things was there first is something that it got to know.

use super::Tape;
use crate::host::Host;
use wasmtime::component::{HasData, Resource};
use wasmtime_wasi::{
    clocks::WasiClocksView,
    p2::{DynPollable, bindings::clocks::monotonic_clock},
};
use wasmtime_wasi_io::{IoView, bindings::wasi::io::poll};

/// A guest's waiting, as its host sees it.
pub(crate) struct Waiting;

impl HasData for Waiting {
    type Data<'a> = &'a mut Host;
}

impl monotonic_clock::Host for Host {
    fn now(&mut self) -> wasmtime::Result<u64> {
        self.clocks().now()
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        self.clocks().resolution()
    }

    fn subscribe_instant(&mut self, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        match self.tape() {
            Some(Tape::Playing(player)) => {
                let sleep = when.saturating_sub(player.monotonic_clock());
                player.sleep(self.table(), sleep)
            }
            Some(Tape::Recording(_)) | None => self.clocks().subscribe_instant(when),
        }
    }

    fn subscribe_duration(&mut self, duration: u64) -> wasmtime::Result<Resource<DynPollable>> {
        match self.tape() {
            Some(Tape::Playing(player)) => player.sleep(self.table(), duration),
            Some(Tape::Recording(_)) | None => self.clocks().subscribe_duration(duration),
        }
    }
}

impl poll::Host for Host {
    async fn poll(&mut self, pollables: Vec<Resource<DynPollable>>) -> wasmtime::Result<Vec<u32>> {
        let of = pollables.len() as u32;
        match self.tape() {
            None => poll::Host::poll(self.table(), pollables).await,
            Some(Tape::Recording(recorder)) => {
                let ready = poll::Host::poll(self.table(), pollables).await?;
                recorder.polled(of, &ready);
                Ok(ready)
            }
            Some(Tape::Playing(player)) => {
                let Some(ready) = player.polled(of) else { return poll::Host::poll(self.table(), pollables).await };
                for pollable in ready.iter().filter_map(|place| pollables.get(*place as usize)) {
                    poll::HostPollable::block(self.table(), Resource::new_borrow(pollable.rep())).await?;
                }
                Ok(ready)
            }
        }
    }
}

impl poll::HostPollable for Host {
    async fn ready(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<bool> {
        match self.tape() {
            None => poll::HostPollable::ready(self.table(), pollable).await,
            Some(Tape::Recording(recorder)) => {
                let is_ready = poll::HostPollable::ready(self.table(), pollable).await?;
                recorder.looked(is_ready);
                Ok(is_ready)
            }
            Some(Tape::Playing(player)) => match player.looked() {
                None => poll::HostPollable::ready(self.table(), pollable).await,
                Some(true) => poll::HostPollable::block(self.table(), pollable).await.map(|()| true),
                Some(false) => Ok(false),
            },
        }
    }

    async fn block(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        poll::HostPollable::block(self.table(), pollable).await
    }

    fn drop(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        poll::HostPollable::drop(self.table(), pollable)
    }
}

//! `wasi:io` and `wasi:clocks`.

use super::{super::abi::Lent, Functions};
use crate::host::Host;
use futures::FutureExt;
use wasmtime::{Result, component::Resource};
use wasmtime_wasi::{
    clocks::WasiClocksView,
    p2::bindings::clocks::{monotonic_clock, wall_clock},
};
use wasmtime_wasi_io::{
    IoView,
    bindings::wasi::io::{
        error::HostError,
        poll,
        streams::{self, Host as Streams, HostInputStream, HostOutputStream},
    },
    poll::DynPollable,
    streams::{DynInputStream, DynOutputStream, Error, StreamResult},
};

const STREAMS: &str = "wasi:io/streams";
const POLL: &str = "wasi:io/poll";

type Input = Resource<DynInputStream>;
type Output = Resource<DynOutputStream>;
type Pollable = Resource<DynPollable>;

/// An error of a stream as the guest's, or as the end of it.
fn of_stream<T>(host: &mut Host, result: StreamResult<T>) -> Result<Result<T, streams::StreamError>> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(error) => host.table().convert_stream_error(error).map(Err),
    }
}

pub(super) fn add(to: &mut Functions) {
    input(to);
    output(to);
    zeroes(to);
    polling(to);
    clocks(to);
    to.now(
        "wasi:io/error",
        "[method]error.to-debug-string",
        |host: &mut Host, (Lent(this),): (Lent<Resource<Error>>,)| host.table().to_debug_string(this),
    );
    to.now("wasi:io/error", "[resource-drop]error", |host: &mut Host, (this,): (Resource<Error>,)| {
        HostError::drop(host.table(), this)
    });
}

fn input(to: &mut Functions) {
    to.now(STREAMS, "[method]input-stream.read", |host: &mut Host, (Lent(this), len): (Lent<Input>, u64)| {
        let result = HostInputStream::read(host.table(), this, len);
        of_stream(host, result)
    });
    to.later(
        STREAMS,
        "[method]input-stream.blocking-read",
        |host: &mut Host, (Lent(this), len): (Lent<Input>, u64)| {
            async move {
                let result = HostInputStream::blocking_read(host.table(), this, len).await;
                of_stream(host, result)
            }
            .boxed()
        },
    );
    to.now(STREAMS, "[method]input-stream.skip", |host: &mut Host, (Lent(this), len): (Lent<Input>, u64)| {
        let result = HostInputStream::skip(host.table(), this, len);
        of_stream(host, result)
    });
    to.later(
        STREAMS,
        "[method]input-stream.blocking-skip",
        |host: &mut Host, (Lent(this), len): (Lent<Input>, u64)| {
            async move {
                let result = HostInputStream::blocking_skip(host.table(), this, len).await;
                of_stream(host, result)
            }
            .boxed()
        },
    );
    to.now(STREAMS, "[method]input-stream.subscribe", |host: &mut Host, (Lent(this),): (Lent<Input>,)| {
        HostInputStream::subscribe(host.table(), this)
    });
    to.now(STREAMS, "[resource-drop]input-stream", |host: &mut Host, (this,): (Input,)| {
        // What a stream might still wait for, it no longer wants: none that there is here does.
        HostInputStream::drop(host.table(), this).now_or_never().unwrap_or(Ok(()))
    });
}

fn output(to: &mut Functions) {
    to.now(STREAMS, "[method]output-stream.check-write", |host: &mut Host, (Lent(this),): (Lent<Output>,)| {
        let result = HostOutputStream::check_write(host.table(), this);
        of_stream(host, result)
    });
    to.now(STREAMS, "[method]output-stream.write", |host: &mut Host, (Lent(this), bytes): (Lent<Output>, Vec<u8>)| {
        let result = HostOutputStream::write(host.table(), this, bytes);
        of_stream(host, result)
    });
    to.later(
        STREAMS,
        "[method]output-stream.blocking-write-and-flush",
        |host: &mut Host, (Lent(this), bytes): (Lent<Output>, Vec<u8>)| {
            async move {
                let result = HostOutputStream::blocking_write_and_flush(host.table(), this, bytes).await;
                of_stream(host, result)
            }
            .boxed()
        },
    );
    to.now(STREAMS, "[method]output-stream.flush", |host: &mut Host, (Lent(this),): (Lent<Output>,)| {
        let result = HostOutputStream::flush(host.table(), this);
        of_stream(host, result)
    });
    to.later(STREAMS, "[method]output-stream.blocking-flush", |host: &mut Host, (Lent(this),): (Lent<Output>,)| {
        async move {
            let result = HostOutputStream::blocking_flush(host.table(), this).await;
            of_stream(host, result)
        }
        .boxed()
    });
    to.now(STREAMS, "[method]output-stream.subscribe", |host: &mut Host, (Lent(this),): (Lent<Output>,)| {
        HostOutputStream::subscribe(host.table(), this)
    });
    to.now(STREAMS, "[resource-drop]output-stream", |host: &mut Host, (this,): (Output,)| {
        // What a stream might still wait for, it no longer wants: none that there is here does.
        HostOutputStream::drop(host.table(), this).now_or_never().unwrap_or(Ok(()))
    });
}

fn zeroes(to: &mut Functions) {
    to.now(STREAMS, "[method]output-stream.write-zeroes", |host: &mut Host, (Lent(this), len): (Lent<Output>, u64)| {
        let result = HostOutputStream::write_zeroes(host.table(), this, len);
        of_stream(host, result)
    });
    to.later(
        STREAMS,
        "[method]output-stream.blocking-write-zeroes-and-flush",
        |host: &mut Host, (Lent(this), len): (Lent<Output>, u64)| {
            async move {
                let result = HostOutputStream::blocking_write_zeroes_and_flush(host.table(), this, len).await;
                of_stream(host, result)
            }
            .boxed()
        },
    );
    to.now(
        STREAMS,
        "[method]output-stream.splice",
        |host: &mut Host, (Lent(this), Lent(from), len): (Lent<Output>, Lent<Input>, u64)| {
            let result = HostOutputStream::splice(host.table(), this, from, len);
            of_stream(host, result)
        },
    );
    to.later(
        STREAMS,
        "[method]output-stream.blocking-splice",
        |host: &mut Host, (Lent(this), Lent(from), len): (Lent<Output>, Lent<Input>, u64)| {
            async move {
                let result = HostOutputStream::blocking_splice(host.table(), this, from, len).await;
                of_stream(host, result)
            }
            .boxed()
        },
    );
}

// By way of the host, not of its table: what a guest waits for may be on a tape.
fn polling(to: &mut Functions) {
    to.later(POLL, "poll", |host: &mut Host, (pollables,): (Vec<Lent<Pollable>>,)| {
        poll::Host::poll(host, pollables.into_iter().map(|Lent(pollable)| pollable).collect()).boxed()
    });
    to.later(POLL, "[method]pollable.ready", |host: &mut Host, (Lent(this),): (Lent<Pollable>,)| {
        poll::HostPollable::ready(host, this).boxed()
    });
    to.later(POLL, "[method]pollable.block", |host: &mut Host, (Lent(this),): (Lent<Pollable>,)| {
        poll::HostPollable::block(host, this).boxed()
    });
    to.now(POLL, "[resource-drop]pollable", |host: &mut Host, (this,): (Pollable,)| {
        poll::HostPollable::drop(host, this)
    });
}

fn clocks(to: &mut Functions) {
    const MONOTONIC: &str = "wasi:clocks/monotonic-clock";
    const WALL: &str = "wasi:clocks/wall-clock";
    to.now(MONOTONIC, "now", |host: &mut Host, ()| monotonic_clock::Host::now(host));
    to.now(MONOTONIC, "resolution", |host: &mut Host, ()| monotonic_clock::Host::resolution(host));
    to.now(MONOTONIC, "subscribe-instant", |host: &mut Host, (when,): (u64,)| {
        monotonic_clock::Host::subscribe_instant(host, when)
    });
    to.now(MONOTONIC, "subscribe-duration", |host: &mut Host, (duration,): (u64,)| {
        monotonic_clock::Host::subscribe_duration(host, duration)
    });
    to.now(WALL, "now", |host: &mut Host, ()| wall_clock::Host::now(&mut host.clocks()));
    to.now(WALL, "resolution", |host: &mut Host, ()| wall_clock::Host::resolution(&mut host.clocks()));
}

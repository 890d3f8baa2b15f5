//! Leaves a mark wherever a guest can leave one, and says which marks it has found: none, if no request finds anything of
//! another.
//!
//! The path says what it does beside: `/grow` takes more memory, `/trap` and `/exit` end it, `/leak` keeps what it holds of
//! the host, `/open` does not end its answer, `/much` writes to many pages.
//!
//! It reads memory that nothing has been written to, which is `unsafe`, and what it is for.

use std::{
    cell::Cell,
    hint::black_box,
    mem::{self, MaybeUninit},
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{Fields, IncomingRequest, ResponseOutparam};

struct Function;

/// In the data of the program, which is not zero at first.
static INITIALISED: AtomicU32 = AtomicU32::new(0x1234_5678);
/// Behind it, where all is zero at first.
static ZEROED: AtomicU32 = AtomicU32::new(0);

thread_local! {
    static LOCAL: Cell<u32> = const { Cell::new(0) };
}

const MARK: u32 = 0x5eed_ca11;
/// Bytes below the stack of the handler, where only deep calls write.
const DEEP: usize = 200 << 10;

impl Guest for Function {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let pages = core::arch::wasm32::memory_size::<0>();
        let path = request.path_with_query().unwrap_or_default();
        let mut found = Vec::new();
        let mut look = |place: &str, is_marked: bool| {
            if is_marked {
                found.push(place.to_owned());
            }
        };
        look("data", INITIALISED.swap(MARK, Relaxed) != 0x1234_5678);
        look("zeroes", ZEROED.swap(MARK, Relaxed) != 0);
        look("locals", LOCAL.replace(MARK) != 0);
        look("stack", mark_stack());
        look("heap", mark_heap());
        // The handle that the first set of fields gets, in every instance that is as it was made.
        let fields = Fields::new();
        let handle = fields.handle();
        look("handles", handle > 8);
        match path.as_str() {
            "/grow" => look("no growth", core::arch::wasm32::memory_grow::<0>(1) == usize::MAX),
            "/trap" => std::process::abort(),
            "/exit" => std::process::exit(0),
            "/leak" => (0..20).for_each(|_| mem::forget(Fields::new())),
            "/much" => drop(black_box(vec![1_u8; 3 << 20])),
            _ => {}
        }
        let said = format!("found: {}; {pages} pages\n", found.join(" "));
        if path == "/open" {
            let response = respond::Response::start(out, 200, &[]);
            // Meant to be there when the next request comes.
            let _ = response.stream.blocking_write_and_flush(said.as_bytes());
            mem::forget((request, response));
            return;
        }
        respond::text(out, 200, &said);
    }
}

/// Whether there is what a deep call wrote below the stack of this one; leaves it there.
#[inline(never)]
fn mark_stack() -> bool {
    let mut frame = MaybeUninit::<[u32; DEEP / 4]>::uninit();
    mark(black_box(frame.as_mut_ptr()).cast())
}

/// Whether memory that the heap gives away for the first time has the mark; leaves it there.
fn mark_heap() -> bool {
    let mut fresh = Vec::<u32>::with_capacity(1 << 10);
    // Behind what the heap itself writes to what it got back.
    mark(black_box(fresh.as_mut_ptr()).wrapping_add(512))
}

/// Whether it is there; leaves it there.
fn mark(place: *mut u32) -> bool {
    // What is not initialised has a value here: to find out which is what this is for.
    unsafe { mem::replace(&mut *black_box(place), MARK) == MARK }
}

wasip2::http::proxy::export!(Function);

//! In place of the platform, for tests on the machine at hand: a world for each thread, and so for each test.

use std::cell::RefCell;
use std::collections::HashMap;
use std::thread::{self, Thread};
use std::time::Duration;

use http::StatusCode;

use crate::{Error, Request, Response, Result};

type Outbound = Box<dyn FnMut(Request) -> Response>;

/// What a function finds around it.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) environment: HashMap<String, String>,
    pub(crate) outbound: Option<Outbound>,
    pub(crate) lines: Vec<String>,
}

thread_local! {
    static WORLD: RefCell<World> = RefCell::default();
}

pub(crate) fn with_world<T>(look: impl FnOnce(&mut World) -> T) -> T {
    WORLD.with_borrow_mut(look)
}

pub(crate) fn environment(name: &str) -> Option<String> {
    with_world(|world| world.environment.get(name).cloned())
}

pub(crate) fn print(text: String) {
    print!("{text}");
    with_world(|world| world.lines.extend(text.lines().map(str::to_owned)));
}

pub(crate) fn print_warning(text: String) {
    eprint!("{text}");
    with_world(|world| world.lines.extend(text.lines().map(str::to_owned)));
}

pub(crate) async fn send(request: Request) -> Result<Response> {
    // Taken out meanwhile: it may look at the world itself.
    let Some(mut outbound) = with_world(|world| world.outbound.take()) else {
        let message = "tests send nothing; say by `wasmway::test::set_outbound` what is answered";
        return Err(Error::new(StatusCode::INTERNAL_SERVER_ERROR, message));
    };
    let response = outbound(request);
    with_world(|world| {
        world.outbound.get_or_insert(outbound);
    });
    Ok(response)
}

pub(crate) async fn sleep(duration: Duration) {
    thread::sleep(duration);
}

/// Waits for a [`Sleeper`] to be woken.
pub(crate) fn wait() {
    thread::park();
}

/// The thread that waits.
pub(crate) struct Sleeper(Thread);

impl Default for Sleeper {
    fn default() -> Self {
        Self(thread::current())
    }
}

impl Sleeper {
    pub(crate) fn wake(&self) {
        self.0.unpark();
    }
}

//! Server-sent events: a response that goes on, which browsers read with `EventSource`.
//!
//! ```
//! use std::time::Duration;
//! use wasmway::{Response, sse, test, time};
//!
//! #[wasmway::handler]
//! fn ticks() -> Response {
//!     sse::events(async |mut events| {
//!         for number in 0..3_u32 {
//!             events.send(sse::Event::data(format!("tick {number}")).id(number)).await;
//!             time::sleep(Duration::from_millis(5)).await;
//!         }
//!         Ok(())
//!     })
//! }
//!
//! let answer = test::call(ticks, test::get("/")).expect(200);
//! assert!(answer.text().starts_with("id: 0\ndata: tick 0\n\n"));
//! ```

use std::fmt::{Display, Write as _};

use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Response};

use crate::{Body, Result, Writer};

/// A response of the events that an `async` block sends, each as soon as it is sent.
pub fn events<F: Future<Output = Result<()>> + 'static>(send: impl FnOnce(Sender) -> F) -> Response<Body> {
    let mut response = Response::new(Body::written(|writer| send(Sender(writer))));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// Where events are sent to.
pub struct Sender(Writer);

impl Sender {
    /// Sends an event, and waits until it is on its way.
    pub async fn send(&mut self, event: Event) {
        self.0.write(event.0 + "\n").await;
    }

    /// Sends a line that browsers pass over, so that proxies do not take the connection for dead.
    pub async fn keep_alive(&mut self) {
        self.0.write(":\n\n").await;
    }
}

/// One event.
#[derive(Clone, Debug)]
pub struct Event(String);

impl Event {
    /// An event with this text, of as many lines as it has.
    pub fn data(text: impl AsRef<str>) -> Self {
        let mut event = String::new();
        // All three of these end a line of the format.
        let text = text.as_ref().replace("\r\n", "\n").replace('\r', "\n");
        for line in text.split('\n') {
            let _ = writeln!(event, "data: {line}");
        }
        Self(event)
    }

    /// Its kind, for `addEventListener`; `message` when left out.
    pub fn kind(self, kind: impl Display) -> Self {
        self.field("event", kind)
    }

    /// By which a browser that comes back says what it had last, in the header `last-event-id`.
    pub fn id(self, id: impl Display) -> Self {
        self.field("id", id)
    }

    fn field(self, name: &str, value: impl Display) -> Self {
        // A field ends with its line.
        let value = value.to_string().replace(['\r', '\n'], " ");
        Self(format!("{name}: {value}\n{}", self.0))
    }
}

//! Why there is no answer.

use std::error::Error as StdError;
use std::fmt;

use http::StatusCode;

/// What a function that can fail returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a request was not answered. `?` makes one of any error: a response of 500 whose cause only the log has.
///
/// ```
/// use wasmway::http::StatusCode;
/// use wasmway::{Error, OrStatus, Result, test};
///
/// #[wasmway::handler]
/// fn half(text: String) -> Result<String> {
///     let number: u32 = text.trim().parse().or_status(StatusCode::BAD_REQUEST, "send a number")?;
///     if number % 2 == 1 {
///         return Err(Error::new(StatusCode::UNPROCESSABLE_ENTITY, "the number is odd"));
///     }
///     Ok((number / 2).to_string())
/// }
///
/// test::call(half, test::post("/", "42")).expect(200).expect_text("21");
/// test::call(half, test::post("/", "?")).expect(400).expect_text("send a number\n");
/// ```
#[derive(Debug)]
pub struct Error {
    status: StatusCode,
    cause: Box<dyn StdError + Send + Sync>,
}

impl Error {
    /// An error with a status. The client reads the message when the status is the client's fault (4xx); otherwise the
    /// log has it.
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, cause: message.into().into() }
    }

    /// The status of the response.
    pub fn status(&self) -> StatusCode {
        self.status
    }
}

/// The cause, and the causes of it.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cause.fmt(f)?;
        let mut cause = self.cause.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

// This is why `Error` itself is no `std::error::Error`.
impl<E: StdError + Send + Sync + 'static> From<E> for Error {
    fn from(cause: E) -> Self {
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, cause: cause.into() }
    }
}

/// Says with which status something that is not there, or failed, is answered.
pub trait OrStatus<T> {
    /// The value, or an error with this status and message; an error's own words follow the message in the log, where
    /// the status is not the client's fault.
    ///
    /// # Errors
    /// When there is no value.
    fn or_status(self, status: StatusCode, message: &str) -> Result<T>;
}

impl<T> OrStatus<T> for Option<T> {
    fn or_status(self, status: StatusCode, message: &str) -> Result<T> {
        self.ok_or_else(|| Error::new(status, message))
    }
}

impl<T, E: fmt::Display> OrStatus<T> for Result<T, E> {
    fn or_status(self, status: StatusCode, message: &str) -> Result<T> {
        self.map_err(|error| match status.is_server_error() {
            true => Error::new(status, format!("{message}: {error}")),
            false => Error::new(status, message),
        })
    }
}

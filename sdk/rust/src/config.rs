//! Settings: the environment that `[env]` in `wasmway.toml` gives a function. There is nothing of the host's in it.
//!
//! ```
//! use wasmway::{Result, config, test};
//!
//! #[wasmway::handler]
//! fn greet() -> Result<String> {
//!     let times = config::parse("TIMES")?.unwrap_or(1);
//!     Ok(config::require("GREETING")?.repeat(times))
//! }
//!
//! test::set_config("GREETING", "Hi!");
//! test::set_config("TIMES", "3");
//! test::call(greet, test::get("/")).expect_text("Hi!Hi!Hi!");
//! ```

use std::fmt::Display;
use std::str::FromStr;

use http::StatusCode;

use crate::{Error, OrStatus as _, Result, host};

/// A setting, if it is there.
pub fn get(name: &str) -> Option<String> {
    host::environment(name)
}

/// A setting that has to be there.
///
/// # Errors
/// When it is not; the log then says which to write into `wasmway.toml`.
pub fn require(name: &str) -> Result<String> {
    let missing = || format!("the setting {name} is missing: write `{name} = \"...\"` below [env] in wasmway.toml");
    get(name).or_status(StatusCode::INTERNAL_SERVER_ERROR, &missing())
}

/// A setting that is more than a text, if it is there.
///
/// # Errors
/// When it is there and is not of that type; the log then says so.
pub fn parse<T: FromStr<Err: Display>>(name: &str) -> Result<Option<T>> {
    let Some(text) = get(name) else { return Ok(None) };
    let wrong = |error| {
        let message = format!("the setting {name} = {text:?} below [env] in wasmway.toml is wrong: {error}");
        Error::new(StatusCode::INTERNAL_SERVER_ERROR, message)
    };
    text.parse().map(Some).map_err(wrong)
}

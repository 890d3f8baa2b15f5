//! Which functions can answer requests.

use crate::{Call, FromRequest, IntoResponse, Response};

/// A function that answers requests: of up to six arguments that are [`FromRequest`], `async` or not, whose result is
/// [`IntoResponse`]. `Arguments` tells the kinds of functions apart and is always inferred.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a handler",
    label = "not a handler",
    note = "every argument must be `FromRequest`, of six at most, and the result `IntoResponse`"
)]
pub trait Handler<Arguments>: 'static {
    /// Answers a request.
    fn call(self, call: Call) -> impl Future<Output = Response> + 'static;
}

/// Of functions that are not `async`.
#[doc(hidden)]
pub struct Plain;
/// Of functions that are.
#[doc(hidden)]
pub struct Async;

/// An argument of a handler, or the end of it.
macro_rules! taken {
    ($argument:ident, $call:ident) => {
        match $argument::from_request(&mut $call).await {
            Ok(argument) => argument,
            Err(error) => return error.into_response(),
        }
    };
}

macro_rules! handlers {
    ($($argument:ident)*) => {
        impl<Function, Output, $($argument),*> Handler<(Plain, $($argument,)*)> for Function
        where
            Function: FnOnce($($argument),*) -> Output + 'static,
            Output: IntoResponse + 'static,
            $($argument: FromRequest + 'static,)*
        {
            #[allow(unused_mut, unused_variables, reason = "of a function without arguments")]
            async fn call(self, mut call: Call) -> Response {
                self($(taken!($argument, call)),*).into_response()
            }
        }

        impl<Function, Answer, $($argument),*> Handler<(Async, $($argument,)*)> for Function
        where
            Function: FnOnce($($argument),*) -> Answer + 'static,
            Answer: Future + 'static,
            Answer::Output: IntoResponse,
            $($argument: FromRequest + 'static,)*
        {
            #[allow(unused_mut, unused_variables, reason = "of a function without arguments")]
            async fn call(self, mut call: Call) -> Response {
                self($(taken!($argument, call)),*).await.into_response()
            }
        }
    };
}

handlers!();
handlers!(A);
handlers!(A B);
handlers!(A B C);
handlers!(A B C D);
handlers!(A B C D E);
handlers!(A B C D E F);

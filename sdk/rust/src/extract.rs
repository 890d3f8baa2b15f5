//! What a handler may ask for.

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, Uri};
use serde::de::DeserializeOwned;

use crate::{Body, Call, Error, OrStatus as _, Request, Result};

/// An argument of a handler, taken out of the request. A handler's arguments are taken from left to right, and the body
/// can be taken once: what takes it comes last.
///
/// One of your own asks the [`Call`] for what it needs:
///
/// ```
/// use wasmway::http::StatusCode;
/// use wasmway::{Call, FromRequest, OrStatus, Result, test};
///
/// struct Tenant(String);
///
/// impl FromRequest for Tenant {
///     async fn from_request(call: &mut Call) -> Result<Self> {
///         let headers = call.headers()?;
///         let tenant = headers.get("x-tenant").or_status(StatusCode::UNAUTHORIZED, "say who you are")?;
///         Ok(Self(tenant.to_str()?.to_owned()))
///     }
/// }
///
/// #[wasmway::handler]
/// fn whoami(tenant: Tenant) -> String {
///     tenant.0
/// }
///
/// test::call(whoami, test::get("/")).expect(401).expect_text("say who you are\n");
/// ```
pub trait FromRequest: Sized {
    /// Takes it.
    ///
    /// # Errors
    /// When the request does not have it; the handler is not called then.
    fn from_request(call: &mut Call) -> impl Future<Output = Result<Self>>;
}

/// The query of the address, as a struct.
#[derive(Clone, Debug)]
pub struct Query<T>(pub T);

/// What a [`Router`](crate::Router) found in the path, as a struct whose fields are called like its parameters.
#[derive(Clone, Debug)]
pub struct Path<T>(pub T);

/// A body in JSON, of a request or of a response. What there is in the request counts, not its `content-type`.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use wasmway::{Json, test};
///
/// #[derive(Deserialize)]
/// struct Order { cents: u64, count: u64 }
///
/// #[derive(Serialize)]
/// struct Invoice { total: u64 }
///
/// #[wasmway::handler]
/// async fn invoice(Json(order): Json<Order>) -> Json<Invoice> {
///     Json(Invoice { total: order.cents * order.count })
/// }
///
/// let answer = test::call(invoice, test::post("/", r#"{"cents": 250, "count": 2}"#)).expect(200);
/// assert_eq!(answer.json::<serde_json::Value>()["total"], 500);
/// test::call(invoice, test::post("/", "{}")).expect(400);
/// ```
#[derive(Clone, Debug)]
pub struct Json<T>(pub T);

/// A body as HTML forms send it, as a struct.
#[derive(Clone, Debug)]
pub struct Form<T>(pub T);

/// All of it that was not taken before.
impl FromRequest for Request {
    async fn from_request(call: &mut Call) -> Result<Self> {
        call.take()
    }
}

/// For those who read it piece by piece.
impl FromRequest for Body {
    async fn from_request(call: &mut Call) -> Result<Self> {
        Ok(call.take_body())
    }
}

impl FromRequest for Bytes {
    async fn from_request(call: &mut Call) -> Result<Self> {
        call.take_body().bytes().await
    }
}

impl FromRequest for String {
    async fn from_request(call: &mut Call) -> Result<Self> {
        call.take_body().text().await
    }
}

impl<T: DeserializeOwned> FromRequest for Json<T> {
    async fn from_request(call: &mut Call) -> Result<Self> {
        let body = Bytes::from_request(call).await?;
        serde_json::from_slice(&body).map(Self).map_err(|error| refused("the body", &error))
    }
}

impl<T: DeserializeOwned> FromRequest for Form<T> {
    async fn from_request(call: &mut Call) -> Result<Self> {
        let body = Bytes::from_request(call).await?;
        serde_urlencoded::from_bytes(&body).map(Self).map_err(|error| refused("the form", &error))
    }
}

impl<T: DeserializeOwned> FromRequest for Query<T> {
    async fn from_request(call: &mut Call) -> Result<Self> {
        let uri = call.uri()?;
        serde_urlencoded::from_str(uri.query().unwrap_or_default())
            .map(Self)
            .map_err(|error| refused("the query", &error))
    }
}

/// What a router found, in the form of a query: `id=7&name=Ada`.
#[derive(Clone)]
pub(crate) struct PathParameters(pub(crate) String);

impl<T: DeserializeOwned> FromRequest for Path<T> {
    async fn from_request(call: &mut Call) -> Result<Self> {
        let found = call.extension::<PathParameters>();
        let found = found.or_status(StatusCode::INTERNAL_SERVER_ERROR, "`Path` is only for handlers of a `Router`")?;
        serde_urlencoded::from_str(&found.0).map(Self).map_err(|error| refused("the path", &error))
    }
}

fn refused(what: &str, error: &dyn std::fmt::Display) -> Error {
    Error::new(StatusCode::BAD_REQUEST, format!("{what} is not as this function wants it: {error}"))
}

impl FromRequest for Method {
    async fn from_request(call: &mut Call) -> Result<Self> {
        call.method()
    }
}

impl FromRequest for Uri {
    async fn from_request(call: &mut Call) -> Result<Self> {
        call.uri()
    }
}

impl FromRequest for HeaderMap {
    async fn from_request(call: &mut Call) -> Result<Self> {
        call.headers()
    }
}

/// `None` when the request does not have it as it is wanted.
impl<T: FromRequest> FromRequest for Option<T> {
    async fn from_request(call: &mut Call) -> Result<Self> {
        Ok(T::from_request(call).await.ok())
    }
}

//! `wasi:http`.

use super::{super::abi::Lent, Functions};
use crate::host::Host;
use wasmtime::{Result, component::Resource};
use wasmtime_wasi_http::{
    FieldMap, RequestOptions, WasiHttpCtxView, WasiHttpView,
    p2::{
        HeaderResult, HttpResult,
        bindings::http::{
            outgoing_handler,
            types::{
                ErrorCode, FutureIncomingResponse, FutureTrailers, HeaderError, Host as Types, HostFields,
                HostFutureIncomingResponse, HostFutureTrailers, HostIncomingBody, HostIncomingRequest,
                HostIncomingResponse, HostOutgoingBody, HostOutgoingRequest, HostOutgoingResponse, HostRequestOptions,
                HostResponseOutparam, IncomingBody, IncomingRequest, IncomingResponse, Method, OutgoingBody,
                OutgoingRequest, OutgoingResponse, ResponseOutparam, Scheme,
            },
        },
    },
};
use wasmtime_wasi_io::streams::Error as IoError;

const TYPES: &str = "wasi:http/types";

type Fields = Resource<FieldMap>;
type Options = Resource<RequestOptions>;

/// An error of a header as the guest's, or as the end of it.
fn of_header<T>(mut view: WasiHttpCtxView<'_>, result: HeaderResult<T>) -> Result<Result<T, HeaderError>> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(error) => view.convert_header_error(error).map(Err),
    }
}

/// An error of HTTP as the guest's, or as the end of it.
fn of_http<T>(mut view: WasiHttpCtxView<'_>, result: HttpResult<T>) -> Result<Result<T, ErrorCode>> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(error) => view.convert_error_code(error).map(Err),
    }
}

pub(super) fn add(to: &mut Functions) {
    fields(to);
    incoming_request(to);
    outgoing_request(to);
    request_options(to);
    responses(to);
    bodies(to);
    to.now("wasi:http/outgoing-handler", "handle", |host: &mut Host, (request, options): (_, Option<Options>)| {
        let result = outgoing_handler::Host::handle(&mut host.http(), request, options);
        of_http(host.http(), result)
    });
    to.now(TYPES, "http-error-code", |host: &mut Host, (Lent(error),): (Lent<Resource<IoError>>,)| {
        host.http().http_error_code(error)
    });
}

fn fields(to: &mut Functions) {
    to.now(TYPES, "[constructor]fields", |host: &mut Host, ()| HostFields::new(&mut host.http()));
    to.now(TYPES, "[static]fields.from-list", |host: &mut Host, (entries,): (Vec<(String, Vec<u8>)>,)| {
        let result = HostFields::from_list(&mut host.http(), entries);
        of_header(host.http(), result)
    });
    to.now(TYPES, "[method]fields.get", |host: &mut Host, (Lent(fields), name): (Lent<Fields>, String)| {
        HostFields::get(&mut host.http(), fields, name)
    });
    to.now(TYPES, "[method]fields.has", |host: &mut Host, (Lent(fields), name): (Lent<Fields>, String)| {
        HostFields::has(&mut host.http(), fields, name)
    });
    to.now(
        TYPES,
        "[method]fields.set",
        |host: &mut Host, (Lent(fields), name, values): (Lent<Fields>, String, Vec<Vec<u8>>)| {
            let result = HostFields::set(&mut host.http(), fields, name, values);
            of_header(host.http(), result)
        },
    );
    to.now(TYPES, "[method]fields.delete", |host: &mut Host, (Lent(fields), name): (Lent<Fields>, String)| {
        let result = HostFields::delete(&mut host.http(), fields, name);
        of_header(host.http(), result)
    });
    to.now(
        TYPES,
        "[method]fields.append",
        |host: &mut Host, (Lent(fields), name, value): (Lent<Fields>, String, Vec<u8>)| {
            let result = HostFields::append(&mut host.http(), fields, name, value);
            of_header(host.http(), result)
        },
    );
    to.now(TYPES, "[method]fields.entries", |host: &mut Host, (Lent(fields),): (Lent<Fields>,)| {
        HostFields::entries(&mut host.http(), fields)
    });
    to.now(TYPES, "[method]fields.clone", |host: &mut Host, (Lent(fields),): (Lent<Fields>,)| {
        HostFields::clone(&mut host.http(), fields)
    });
    to.now(TYPES, "[resource-drop]fields", |host: &mut Host, (fields,): (Fields,)| {
        HostFields::drop(&mut host.http(), fields)
    });
}

fn incoming_request(to: &mut Functions) {
    type This = Resource<IncomingRequest>;
    to.now(TYPES, "[method]incoming-request.method", |host: &mut Host, (Lent(this),): (Lent<This>,)| {
        HostIncomingRequest::method(&mut host.http(), this)
    });
    to.now(TYPES, "[method]incoming-request.path-with-query", |host: &mut Host, (Lent(this),): (Lent<This>,)| {
        HostIncomingRequest::path_with_query(&mut host.http(), this)
    });
    to.now(TYPES, "[method]incoming-request.scheme", |host: &mut Host, (Lent(this),): (Lent<This>,)| {
        HostIncomingRequest::scheme(&mut host.http(), this)
    });
    to.now(TYPES, "[method]incoming-request.authority", |host: &mut Host, (Lent(this),): (Lent<This>,)| {
        HostIncomingRequest::authority(&mut host.http(), this)
    });
    to.now(TYPES, "[method]incoming-request.headers", |host: &mut Host, (Lent(this),): (Lent<This>,)| {
        HostIncomingRequest::headers(&mut host.http(), this)
    });
    to.now(TYPES, "[method]incoming-request.consume", |host: &mut Host, (Lent(this),): (Lent<This>,)| {
        HostIncomingRequest::consume(&mut host.http(), this)
    });
    to.now(TYPES, "[resource-drop]incoming-request", |host: &mut Host, (this,): (This,)| {
        HostIncomingRequest::drop(&mut host.http(), this)
    });
}

fn outgoing_request(to: &mut Functions) {
    type This = Resource<OutgoingRequest>;
    to.now(TYPES, "[constructor]outgoing-request", |host: &mut Host, (headers,): (Fields,)| {
        HostOutgoingRequest::new(&mut host.http(), headers)
    });
    to.now(TYPES, "[method]outgoing-request.body", |host: &mut Host, (Lent(this),): (Lent<This>,)| {
        HostOutgoingRequest::body(&mut host.http(), this)
    });
    to.now(TYPES, "[method]outgoing-request.method", |host: &mut Host, (Lent(this),): (Lent<This>,)| {
        HostOutgoingRequest::method(&mut host.http(), this)
    });
    to.now(
        TYPES,
        "[method]outgoing-request.set-method",
        |host: &mut Host, (Lent(this), method): (Lent<This>, Method)| {
            HostOutgoingRequest::set_method(&mut host.http(), this, method)
        },
    );
    to.now(TYPES, "[method]outgoing-request.path-with-query", |host: &mut Host, (Lent(this),): (Lent<This>,)| {
        HostOutgoingRequest::path_with_query(&mut host.http(), this)
    });
    to.now(
        TYPES,
        "[method]outgoing-request.set-path-with-query",
        |host: &mut Host, (Lent(this), path): (Lent<This>, Option<String>)| {
            HostOutgoingRequest::set_path_with_query(&mut host.http(), this, path)
        },
    );
    to.now(TYPES, "[method]outgoing-request.scheme", |host: &mut Host, (Lent(this),): (Lent<This>,)| {
        HostOutgoingRequest::scheme(&mut host.http(), this)
    });
    to.now(
        TYPES,
        "[method]outgoing-request.set-scheme",
        |host: &mut Host, (Lent(this), scheme): (Lent<This>, Option<Scheme>)| {
            HostOutgoingRequest::set_scheme(&mut host.http(), this, scheme)
        },
    );
    to.now(TYPES, "[method]outgoing-request.authority", |host: &mut Host, (Lent(this),): (Lent<This>,)| {
        HostOutgoingRequest::authority(&mut host.http(), this)
    });
    to.now(
        TYPES,
        "[method]outgoing-request.set-authority",
        |host: &mut Host, (Lent(this), authority): (Lent<This>, Option<String>)| {
            HostOutgoingRequest::set_authority(&mut host.http(), this, authority)
        },
    );
    to.now(TYPES, "[method]outgoing-request.headers", |host: &mut Host, (Lent(this),): (Lent<This>,)| {
        HostOutgoingRequest::headers(&mut host.http(), this)
    });
    to.now(TYPES, "[resource-drop]outgoing-request", |host: &mut Host, (this,): (This,)| {
        HostOutgoingRequest::drop(&mut host.http(), this)
    });
}

fn request_options(to: &mut Functions) {
    to.now(TYPES, "[constructor]request-options", |host: &mut Host, ()| HostRequestOptions::new(&mut host.http()));
    to.now(TYPES, "[method]request-options.connect-timeout", |host: &mut Host, (Lent(this),): (Lent<Options>,)| {
        HostRequestOptions::connect_timeout(&mut host.http(), this)
    });
    to.now(
        TYPES,
        "[method]request-options.set-connect-timeout",
        |host: &mut Host, (Lent(this), duration): (Lent<Options>, Option<u64>)| {
            HostRequestOptions::set_connect_timeout(&mut host.http(), this, duration)
        },
    );
    to.now(TYPES, "[method]request-options.first-byte-timeout", |host: &mut Host, (Lent(this),): (Lent<Options>,)| {
        HostRequestOptions::first_byte_timeout(&mut host.http(), this)
    });
    to.now(
        TYPES,
        "[method]request-options.set-first-byte-timeout",
        |host: &mut Host, (Lent(this), duration): (Lent<Options>, Option<u64>)| {
            HostRequestOptions::set_first_byte_timeout(&mut host.http(), this, duration)
        },
    );
    to.now(
        TYPES,
        "[method]request-options.between-bytes-timeout",
        |host: &mut Host, (Lent(this),): (Lent<Options>,)| {
            HostRequestOptions::between_bytes_timeout(&mut host.http(), this)
        },
    );
    to.now(
        TYPES,
        "[method]request-options.set-between-bytes-timeout",
        |host: &mut Host, (Lent(this), duration): (Lent<Options>, Option<u64>)| {
            HostRequestOptions::set_between_bytes_timeout(&mut host.http(), this, duration)
        },
    );
    to.now(TYPES, "[resource-drop]request-options", |host: &mut Host, (this,): (Options,)| {
        HostRequestOptions::drop(&mut host.http(), this)
    });
}

fn responses(to: &mut Functions) {
    type Out = Resource<ResponseOutparam>;
    type Response = Resource<OutgoingResponse>;
    to.now(
        TYPES,
        "[static]response-outparam.set",
        |host: &mut Host, (this, response): (Out, Result<Response, ErrorCode>)| {
            HostResponseOutparam::set(&mut host.http(), this, response)
        },
    );
    to.now(
        TYPES,
        "[method]response-outparam.send-informational",
        |host: &mut Host, (Lent(this), status, headers): (Lent<Out>, u16, Fields)| {
            let result = HostResponseOutparam::send_informational(&mut host.http(), this, status, headers);
            of_http(host.http(), result)
        },
    );
    to.now(TYPES, "[resource-drop]response-outparam", |host: &mut Host, (this,): (Out,)| {
        HostResponseOutparam::drop(&mut host.http(), this)
    });
    to.now(TYPES, "[constructor]outgoing-response", |host: &mut Host, (headers,): (Fields,)| {
        HostOutgoingResponse::new(&mut host.http(), headers)
    });
    to.now(TYPES, "[method]outgoing-response.status-code", |host: &mut Host, (Lent(this),): (Lent<Response>,)| {
        HostOutgoingResponse::status_code(&mut host.http(), this)
    });
    to.now(
        TYPES,
        "[method]outgoing-response.set-status-code",
        |host: &mut Host, (Lent(this), status): (Lent<Response>, u16)| {
            HostOutgoingResponse::set_status_code(&mut host.http(), this, status)
        },
    );
    to.now(TYPES, "[method]outgoing-response.headers", |host: &mut Host, (Lent(this),): (Lent<Response>,)| {
        HostOutgoingResponse::headers(&mut host.http(), this)
    });
    to.now(TYPES, "[method]outgoing-response.body", |host: &mut Host, (Lent(this),): (Lent<Response>,)| {
        HostOutgoingResponse::body(&mut host.http(), this)
    });
    to.now(TYPES, "[resource-drop]outgoing-response", |host: &mut Host, (this,): (Response,)| {
        HostOutgoingResponse::drop(&mut host.http(), this)
    });
    incoming_response(to);
}

fn incoming_response(to: &mut Functions) {
    type This = Resource<IncomingResponse>;
    type Future = Resource<FutureIncomingResponse>;
    to.now(TYPES, "[method]incoming-response.status", |host: &mut Host, (Lent(this),): (Lent<This>,)| {
        HostIncomingResponse::status(&mut host.http(), this)
    });
    to.now(TYPES, "[method]incoming-response.headers", |host: &mut Host, (Lent(this),): (Lent<This>,)| {
        HostIncomingResponse::headers(&mut host.http(), this)
    });
    to.now(TYPES, "[method]incoming-response.consume", |host: &mut Host, (Lent(this),): (Lent<This>,)| {
        HostIncomingResponse::consume(&mut host.http(), this)
    });
    to.now(TYPES, "[resource-drop]incoming-response", |host: &mut Host, (this,): (This,)| {
        HostIncomingResponse::drop(&mut host.http(), this)
    });
    to.now(TYPES, "[method]future-incoming-response.subscribe", |host: &mut Host, (Lent(this),): (Lent<Future>,)| {
        HostFutureIncomingResponse::subscribe(&mut host.http(), this)
    });
    to.now(TYPES, "[method]future-incoming-response.get", |host: &mut Host, (Lent(this),): (Lent<Future>,)| {
        HostFutureIncomingResponse::get(&mut host.http(), this)
    });
    to.now(TYPES, "[resource-drop]future-incoming-response", |host: &mut Host, (this,): (Future,)| {
        HostFutureIncomingResponse::drop(&mut host.http(), this)
    });
}

fn bodies(to: &mut Functions) {
    type Incoming = Resource<IncomingBody>;
    type Outgoing = Resource<OutgoingBody>;
    type Trailers = Resource<FutureTrailers>;
    to.now(TYPES, "[method]incoming-body.stream", |host: &mut Host, (Lent(this),): (Lent<Incoming>,)| {
        HostIncomingBody::stream(&mut host.http(), this)
    });
    to.now(TYPES, "[static]incoming-body.finish", |host: &mut Host, (this,): (Incoming,)| {
        HostIncomingBody::finish(&mut host.http(), this)
    });
    to.now(TYPES, "[resource-drop]incoming-body", |host: &mut Host, (this,): (Incoming,)| {
        HostIncomingBody::drop(&mut host.http(), this)
    });
    to.now(TYPES, "[method]outgoing-body.write", |host: &mut Host, (Lent(this),): (Lent<Outgoing>,)| {
        HostOutgoingBody::write(&mut host.http(), this)
    });
    to.now(TYPES, "[static]outgoing-body.finish", |host: &mut Host, (this, trailers): (Outgoing, Option<Fields>)| {
        let result = HostOutgoingBody::finish(&mut host.http(), this, trailers);
        of_http(host.http(), result)
    });
    to.now(TYPES, "[resource-drop]outgoing-body", |host: &mut Host, (this,): (Outgoing,)| {
        HostOutgoingBody::drop(&mut host.http(), this)
    });
    to.now(TYPES, "[method]future-trailers.subscribe", |host: &mut Host, (Lent(this),): (Lent<Trailers>,)| {
        HostFutureTrailers::subscribe(&mut host.http(), this)
    });
    to.now(TYPES, "[method]future-trailers.get", |host: &mut Host, (Lent(this),): (Lent<Trailers>,)| {
        HostFutureTrailers::get(&mut host.http(), this)
    });
    to.now(TYPES, "[resource-drop]future-trailers", |host: &mut Host, (this,): (Trailers,)| {
        HostFutureTrailers::drop(&mut host.http(), this)
    });
}

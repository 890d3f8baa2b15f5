//! The variants and records of `wasi:http/types`, `wasi:io/streams` and `wasi:clocks/wall-clock`, in the order of their WIT.

use super::{Flat, Image, Lift, Lower, Params, Source, Value, aligned};
use wasmtime::{Result, bail};
use wasmtime_environ::component::{ComponentTypes, InterfaceType};
use wasmtime_wasi::p2::bindings::clocks::wall_clock::Datetime;
use wasmtime_wasi_http::p2::bindings::http::types::{
    DnsErrorPayload, ErrorCode, FieldSizePayload, HeaderError, Method, Scheme, TlsAlertReceivedPayload,
};
use wasmtime_wasi_io::bindings::wasi::io::streams::{Error, StreamError};

const fn most<const N: usize>(of: [usize; N]) -> usize {
    let (mut most, mut index) = (0, 0);
    while index < N {
        if of[index] > most {
            most = of[index];
        }
        index += 1;
    }
    most
}

const fn any<const N: usize>(of: [bool; N]) -> bool {
    let mut index = 0;
    while index < N {
        if of[index] {
            return true;
        }
        index += 1;
    }
    false
}

/// Of under 256 cases.
macro_rules! variant {
    ($name:ident { $($case:ident $(($payload:ident: $of:ty))?),* $(,)? }) => {
        const _: () = {
            #[repr(u8)]
            enum Case { $($case),* }

            const PAYLOAD: usize = aligned(1, <$name as Value>::ALIGN);

            impl Value for $name {
                const SIZE: usize = aligned(PAYLOAD + most([$(0 $(+ <$of as Value>::SIZE)?),*]), Self::ALIGN);
                const ALIGN: usize = most([$(1 $(* <$of as Value>::ALIGN)?),*]);
                const FLATS: usize = 1 + most([$(0 $(+ <$of as Value>::FLATS)?),*]);
                const POINTS: bool = any([$(false $(|| <$of as Value>::POINTS)?),*]);

                fn flatten(into: &mut Vec<Flat>) {
                    into.push(Flat::I32);
                    let _payload = into.len();
                    $($(super::compound::overlay::<$of>(into, _payload);)?)*
                }

                fn is(ty: Option<&InterfaceType>, types: &ComponentTypes) -> bool {
                    let Some(InterfaceType::Variant(variant)) = ty else { return false };
                    let mut cases = types[*variant].cases.values();
                    let cases = &mut cases;
                    $((|| {
                        let Some(payload) = cases.next() else { return false };
                        $(return <$of as Value>::is(payload.as_ref(), types);)?
                        #[allow(unreachable_code)]
                        payload.is_none()
                    })() &&)* cases.next().is_none()
                }
            }

            impl Lift for $name {
                fn lift(from: &mut Params<'_>) -> Result<Self> {
                    from.variant(Self::FLATS, |case, _from| {
                        $(if case == Case::$case as u32 {
                            return Ok(Self::$case $((<$of as Lift>::lift(_from)?))?);
                        })*
                        bail!("no case {case} of {}", stringify!($name))
                    })
                }

                fn load(from: &mut Source<'_>, at: usize) -> Result<Self> {
                    let case = u8::load(from, at)?;
                    $(if case == Case::$case as u8 {
                        return Ok(Self::$case $((<$of as Lift>::load(from, at + PAYLOAD)?))?);
                    })*
                    bail!("no case {case} of {}", stringify!($name))
                }
            }

            impl Lower for $name {
                fn store(self, into: &mut Image, node: usize, at: usize) {
                    match self {
                        $(Self::$case $(($payload))? => {
                            (Case::$case as u8).store(into, node, at);
                            $($payload.store(into, node, at + PAYLOAD);)?
                        })*
                    }
                }
            }
        };
    };
}

/// Of two fields.
macro_rules! record {
    ($name:ident { $first:ident: $a:ty, $second:ident: $b:ty }) => {
        impl Value for $name {
            const SIZE: usize = <($a, $b) as Value>::SIZE;
            const ALIGN: usize = <($a, $b) as Value>::ALIGN;
            const FLATS: usize = <($a, $b) as Value>::FLATS;
            const POINTS: bool = <($a, $b) as Value>::POINTS;

            fn flatten(into: &mut Vec<Flat>) {
                <($a, $b)>::flatten(into);
            }

            fn is(ty: Option<&InterfaceType>, types: &ComponentTypes) -> bool {
                <($a, $b)>::is(ty, types)
            }
        }

        impl Lift for $name {
            fn lift(from: &mut Params<'_>) -> Result<Self> {
                let ($first, $second) = Lift::lift(from)?;
                Ok(Self { $first, $second })
            }

            fn load(from: &mut Source<'_>, at: usize) -> Result<Self> {
                let ($first, $second) = Lift::load(from, at)?;
                Ok(Self { $first, $second })
            }
        }

        impl Lower for $name {
            fn store(self, into: &mut Image, node: usize, at: usize) {
                (self.$first, self.$second).store(into, node, at);
            }
        }
    };
}

variant!(Method { Get, Head, Post, Put, Delete, Connect, Options, Trace, Patch, Other(name: String), });
variant!(Scheme { Http, Https, Other(name: String), });
variant!(HeaderError { InvalidSyntax, Forbidden, Immutable });
variant!(StreamError { LastOperationFailed(error: wasmtime::component::Resource<Error>), Closed, });
variant!(ErrorCode {
    DnsTimeout,
    DnsError(about: DnsErrorPayload),
    DestinationNotFound,
    DestinationUnavailable,
    DestinationIpProhibited,
    DestinationIpUnroutable,
    ConnectionRefused,
    ConnectionTerminated,
    ConnectionTimeout,
    ConnectionReadTimeout,
    ConnectionWriteTimeout,
    ConnectionLimitReached,
    TlsProtocolError,
    TlsCertificateError,
    TlsAlertReceived(alert: TlsAlertReceivedPayload),
    HttpRequestDenied,
    HttpRequestLengthRequired,
    HttpRequestBodySize(bytes: Option<u64>),
    HttpRequestMethodInvalid,
    HttpRequestUriInvalid,
    HttpRequestUriTooLong,
    HttpRequestHeaderSectionSize(bytes: Option<u32>),
    HttpRequestHeaderSize(field: Option<FieldSizePayload>),
    HttpRequestTrailerSectionSize(bytes: Option<u32>),
    HttpRequestTrailerSize(field: FieldSizePayload),
    HttpResponseIncomplete,
    HttpResponseHeaderSectionSize(bytes: Option<u32>),
    HttpResponseHeaderSize(field: FieldSizePayload),
    HttpResponseBodySize(bytes: Option<u64>),
    HttpResponseTrailerSectionSize(bytes: Option<u32>),
    HttpResponseTrailerSize(field: FieldSizePayload),
    HttpResponseTransferCoding(coding: Option<String>),
    HttpResponseContentCoding(coding: Option<String>),
    HttpResponseTimeout,
    HttpUpgradeFailed,
    HttpProtocolError,
    LoopDetected,
    ConfigurationError,
    InternalError(text: Option<String>),
});

record!(DnsErrorPayload { rcode: Option<String>, info_code: Option<u16> });
record!(TlsAlertReceivedPayload { alert_id: Option<u8>, alert_message: Option<String> });
record!(FieldSizePayload { field_name: Option<String>, field_size: Option<u32> });
record!(Datetime { seconds: u64, nanoseconds: u32 });

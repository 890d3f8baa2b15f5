//! Against the engine's own idea of the same types, and there and back.

use super::*;
use proptest::prelude::*;
use wasmtime::component::{ComponentType, Resource};
use wasmtime_wasi::p2::bindings::clocks::wall_clock::Datetime;
use wasmtime_wasi_http::p2::bindings::http::types::{
    DnsErrorPayload, ErrorCode, FieldSizePayload, HeaderError, Method, Scheme, TlsAlertReceivedPayload,
};
use wasmtime_wasi_io::bindings::wasi::io::streams::StreamError;

macro_rules! like_the_engine {
    ($($of:ty),* $(,)?) => {$({
        let engine = <$of as ComponentType>::ABI;
        let ours = (<$of as Value>::SIZE, <$of as Value>::ALIGN, <$of as Value>::FLATS);
        let theirs = (engine.size32 as usize, engine.align32 as usize, usize::from(engine.flat_count.unwrap()));
        assert_eq!(ours, theirs, "{}", stringify!($of));
        let mut flats = Vec::new();
        <$of as Value>::flatten(&mut flats);
        assert_eq!(flats.len(), <$of as Value>::FLATS, "{}", stringify!($of));
    })*};
}

#[test]
fn types_are_laid_out_as_the_engine_lays_them_out() {
    like_the_engine!(
        u8,
        u16,
        u32,
        u64,
        bool,
        String,
        Vec<u8>,
        Vec<Vec<u8>>,
        Vec<(String, Vec<u8>)>,
        Option<u8>,
        Option<u64>,
        Option<String>,
        Option<FieldSizePayload>,
        Result<(), ()>,
        Result<u64, StreamError>,
        Result<Vec<u8>, StreamError>,
        Result<(), HeaderError>,
        Result<(), ErrorCode>,
        Option<Result<Result<Option<Resource<u8>>, ErrorCode>, ()>>,
        (u64, u64),
        Method,
        Option<Scheme>,
        HeaderError,
        ErrorCode,
        DnsErrorPayload,
        TlsAlertReceivedPayload,
        FieldSizePayload,
        Datetime,
    );
}

/// Bytes of the guest that the tests speak to.
const MEMORY: usize = 64 << 10;

/// Hands a value to a guest, which gives room one piece after the other, and reads it again.
fn there_and_back<T: Lower + Lift>(value: T) -> T {
    let mut memory = vec![0xaa; MEMORY];
    let mut image = Image::of(value);
    let mut next = 4096;
    while let Some((bytes, align)) = image.wants() {
        let at = aligned(next, align);
        image.place(&mut memory, at).unwrap();
        next = at + bytes + 1;
    }
    image.finish(&mut memory, 1024, T::SIZE, T::ALIGN).unwrap();
    T::load(&mut Source::new(&memory), 1024).unwrap()
}

proptest! {
    #[test]
    fn lists_come_back_as_they_went(fields in prop::collection::vec((".{0,40}", prop::collection::vec(any::<u8>(), 0..60)), 0..20)) {
        prop_assert_eq!(there_and_back(fields.clone()), fields);
    }

    #[test]
    fn errors_come_back_as_they_went(text in prop::option::of(".{0,40}"), number in prop::option::of(any::<u64>()), short in prop::option::of(any::<u32>())) {
        let field = FieldSizePayload { field_name: text.clone(), field_size: short };
        for error in [
            ErrorCode::DnsTimeout,
            ErrorCode::HttpRequestBodySize(number),
            ErrorCode::HttpRequestHeaderSize(Some(field.clone())),
            ErrorCode::HttpResponseTrailerSize(field),
            ErrorCode::HttpResponseTransferCoding(text.clone()),
            ErrorCode::ConfigurationError,
            ErrorCode::InternalError(text.clone()),
        ] {
            prop_assert_eq!(format!("{:?}", there_and_back(Err::<u64, _>(error.clone()))), format!("Err({error:?})"));
        }
    }

    /// Whatever a guest passes, the host reads within its memory or says what is wrong.
    #[test]
    fn nothing_that_a_guest_passes_does_harm(at in any::<u32>(), len in any::<u32>(), memory in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut slots = [0; MAX_FLAT_PARAMS + 1];
        (slots[0], slots[1]) = (at.into(), len.into());
        for at in [0, at, at % 256] {
            slots[0] = at.into();
            for len in [len, len % 64] {
                slots[1] = len.into();
                let params = || Params::new(&slots, &memory);
                let bytes = Vec::<u8>::lift(&mut params());
                prop_assert_eq!(bytes.is_ok(), at as usize + len as usize <= memory.len());
                let _ = String::lift(&mut params());
                let _ = Vec::<Vec<u8>>::lift(&mut params());
                let _ = Vec::<(String, Vec<u8>)>::lift(&mut params());
                let _ = Result::<Resource<u8>, ErrorCode>::lift(&mut params());
                let _ = Option::<Scheme>::lift(&mut params());
            }
        }
    }
}

#[test]
fn one_call_carries_so_much_and_no_more() {
    let memory = vec![0; HOSTCALL_BYTES + 1];
    let lift = |len: usize| {
        let mut slots = [0; MAX_FLAT_PARAMS + 1];
        slots[1] = len as u64;
        Vec::<u8>::lift(&mut Params::new(&slots, &memory))
    };
    assert!(lift(HOSTCALL_BYTES).is_ok());
    assert!(lift(HOSTCALL_BYTES + 1).unwrap_err().downcast_ref::<CallTooLarge>().is_some());
    // A list of lists that all are the same bytes is as many bytes to the host.
    let pointers: Vec<u8> = (0..1000).flat_map(|_| [0_u32, 1000].map(u32::to_le_bytes)).flatten().collect();
    let mut slots = [0; MAX_FLAT_PARAMS + 1];
    slots[1] = 1000;
    let all = Vec::<Vec<u8>>::lift(&mut Params::new(&slots, &pointers));
    assert!(all.unwrap_err().downcast_ref::<CallTooLarge>().is_some());
}

#[test]
fn a_guest_that_gives_room_elsewhere_is_told() {
    let mut memory = vec![0; 64];
    for at in [65, usize::MAX, 62] {
        let mut image = Image::of(String::from("four"));
        assert!(image.place(&mut memory, at).is_err(), "{at}");
    }
    let mut image = Image::of(vec![String::new()]);
    assert!(image.place(&mut memory, 2).is_err(), "not a multiple of 4");
}

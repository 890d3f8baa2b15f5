//! Trace context (W3C): the headers by which a request says which trace it belongs to.

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::trace::{SpanId, TraceId, TraceState};
use std::str::FromStr;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// A place in a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Context {
    pub(crate) trace: TraceId,
    pub(crate) span: SpanId,
    pub(crate) is_sampled: bool,
}

/// Bytes of `traceparent`, as far as this version of the standard knows it: `00-TRACE-SPAN-FLAGS`.
const LENGTH: usize = 55;
const SAMPLED: u32 = 1;

impl Context {
    /// What a request says. `None` where it says nothing, or anything but what the standard asks for, to the letter: it
    /// may come from anybody.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(TRACEPARENT).iter();
        let (Some(value), None) = (values.next(), values.next()) else { return None };
        Self::parse(value.as_bytes())
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let (known, more) = text.split_at_checked(LENGTH)?;
        let is_whole = match hex(&known[..2])? {
            0 => more.is_empty(),
            0xff => false,
            // What later versions say comes behind.
            _ => more.first().is_none_or(|next| *next == b'-'),
        };
        let has_dashes = [2, 35, 52].into_iter().all(|at| known[at] == b'-');
        let (trace, span) = (TraceId::from(hex(&known[3..35])?), SpanId::from(hex(&known[36..52])? as u64));
        let is_sampled = hex(&known[53..])? as u32 & SAMPLED != 0;
        let is_valid = is_whole && has_dashes && trace != TraceId::INVALID && span != SpanId::INVALID;
        is_valid.then_some(Self { trace, span, is_sampled })
    }

    /// Its flags, as headers and records have them.
    pub(crate) fn flags(self) -> u32 {
        if self.is_sampled { SAMPLED } else { 0 }
    }

    /// Puts a request in this place, wherever it was.
    pub(super) fn put(self, headers: &mut HeaderMap) {
        let Self { trace, span, .. } = self;
        let text = format!("00-{trace}-{span}-{:02x}", self.flags());
        headers.insert(TRACEPARENT, HeaderValue::try_from(text).expect("digits and dashes are visible ASCII"));
    }
}

/// A number in hexadecimal digits, of which the standard takes the small ones only. There are no more than 32.
fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |number, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(digit))
    })
}

/// What tracing systems say to each other: it goes with the trace, whatever it is.
pub(super) fn state(headers: &HeaderMap) -> Vec<HeaderValue> {
    headers.get_all(TRACESTATE).iter().cloned().collect()
}

/// Takes away what was said of a trace that the request does not belong to.
pub(super) fn forget_state(headers: &mut HeaderMap) {
    headers.remove(TRACESTATE);
}

/// Adds what was said of the trace, unless something is said already.
pub(super) fn add_state(headers: &mut HeaderMap, state: &[HeaderValue]) {
    if !headers.contains_key(TRACESTATE) {
        headers.extend(state.iter().map(|value| (TRACESTATE, value.clone())));
    }
}

/// Bytes of it that a span carries: what the standard asks everybody to pass on.
const STATE_BYTES: usize = 512;

/// The same for a span, where it is not too long and what the standard asks for.
pub(super) fn state_of_span(state: &[HeaderValue]) -> TraceState {
    let lines: Option<Vec<_>> = state.iter().map(|line| line.to_str().ok()).collect();
    let text = lines.unwrap_or_default().join(",");
    let state = (text.len() <= STATE_BYTES).then(|| TraceState::from_str(&text).ok());
    state.flatten().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn parse(text: &str) -> Option<Context> {
        Context::parse(text.as_bytes())
    }

    #[test]
    fn reads_what_it_writes() {
        let context = parse(GOOD).unwrap();
        assert!(context.is_sampled);
        let mut headers = HeaderMap::new();
        context.put(&mut headers);
        assert_eq!(headers[TRACEPARENT], GOOD);
        assert_eq!(Context::of(&headers), Some(context));
        assert!(!parse(&GOOD.replace("-01", "-02")).unwrap().is_sampled, "other flags mean other things");
        assert_eq!(parse(&GOOD.replacen("00", "cc", 1)), Some(context), "a later version");
        assert_eq!(parse(&(GOOD.replacen("00", "cc", 1) + "-more")), Some(context));
    }

    #[test]
    fn what_the_standard_does_not_know_is_nothing() {
        let bad = [
            String::new(),
            "42".into(),
            GOOD[1..].into(),
            format!("{GOOD}-"),
            format!(" {GOOD}"),
            GOOD.to_uppercase(),
            GOOD.replace('-', "_"),
            GOOD.replace("4bf9", "+bf9"),
            GOOD.replacen("00", "ff", 1),
            GOOD.replacen("00", "cc", 1) + "more",
            GOOD.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            GOOD.replace("00f067aa0ba902b7", &"0".repeat(16)),
            GOOD.replace("-01", "-0g"),
        ];
        for text in bad {
            assert_eq!(parse(&text), None, "{text:?}");
        }
    }

    #[test]
    fn a_request_with_two_places_has_none() {
        let mut headers = HeaderMap::new();
        headers.append(TRACEPARENT, HeaderValue::from_static(GOOD));
        assert!(Context::of(&headers).is_some());
        headers.append(TRACEPARENT, HeaderValue::from_static(GOOD));
        assert_eq!(Context::of(&headers), None);
    }

    #[test]
    fn a_span_carries_no_more_state_than_it_may() {
        let state = |text: &str| state_of_span(&[HeaderValue::from_str(text).unwrap()]).header();
        assert_eq!(state("a=1,b=2"), "a=1,b=2");
        assert_eq!(state("not a state"), "");
        assert_eq!(state(&format!("a={}", "x".repeat(STATE_BYTES))), "");
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_or_left(text in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Some(context) = Context::parse(&text) {
                prop_assert!(context.trace != TraceId::INVALID && context.span != SpanId::INVALID);
            }
        }
    }
}

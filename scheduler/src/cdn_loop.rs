//! Loops (RFC 8586): a request that functions send carries what the request that made them send it carried, and our
//! name once more. So a function that calls itself, by whatever way around, is told apart from one that is called often.

use http::{HeaderMap, HeaderName, HeaderValue};

const CDN_LOOP: HeaderName = HeaderName::from_static("cdn-loop");
/// Our name in it: a pseudonym, the same on every node, since a loop may lead over several.
const OURS: &str = "wasmway";

/// How often a request with these headers has come through functions of ours on its way here.
pub fn passes(headers: &HeaderMap) -> usize {
    let values = headers.get_all(CDN_LOOP).iter().filter_map(|value| value.to_str().ok());
    let names = values.flat_map(|value| value.split(',')).map(|entry| entry.split(';').next().unwrap_or(entry).trim());
    names.filter(|name| name.eq_ignore_ascii_case(OURS)).count()
}

/// The way that a request came.
#[derive(Debug, Default)]
pub(crate) struct CameBy(Vec<HeaderValue>);

impl CameBy {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        Self(headers.get_all(CDN_LOOP).iter().cloned().collect())
    }

    /// Puts it on a request that goes out, with our name as the latest, in the place of whatever a guest has put there.
    pub(crate) fn mark(&self, headers: &mut HeaderMap) {
        headers.remove(CDN_LOOP);
        for value in self.0.iter().cloned().chain([HeaderValue::from_static(OURS)]) {
            headers.append(CDN_LOOP, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[&'static str]) -> HeaderMap {
        values.iter().map(|value| (CDN_LOOP, HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn counts_our_passes_alone() {
        assert_eq!(passes(&headers(&[])), 0);
        assert_eq!(passes(&headers(&["wasmway"])), 1);
        assert_eq!(passes(&headers(&["wasmway, other.example; abc=123,Wasmway;x=y", "wasmway ,wasmways"])), 3);
        assert_eq!(passes(&headers(&["", ",,;", "not-wasmway"])), 0);
    }

    #[test]
    fn a_request_that_goes_out_has_one_pass_more_whatever_the_guest_says() {
        let mut headers = headers(&["other", "wasmway"]);
        for passed in 2..10 {
            let came_by = CameBy::of(&headers);
            headers = HeaderMap::from_iter([(CDN_LOOP, HeaderValue::from_static("forged, wasmway, wasmway"))]);
            came_by.mark(&mut headers);
            assert_eq!(passes(&headers), passed);
            assert_eq!(headers[CDN_LOOP], "other", "what others have said is kept");
        }
    }
}

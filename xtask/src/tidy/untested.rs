//! A guest that no test runs shows nothing.

use std::path::Path;

use anyhow::{Result, anyhow};
use proc_macro2::{TokenStream, TokenTree};

use super::Finding;

/// A finding for each guest that no string of the tests names, as `"echo"` or `"…/echo.wasm"`.
pub(super) fn check(folder: &Path, guests: &[String], tests: &[String]) -> Result<Vec<Finding>> {
    let mut strings = Vec::new();
    for test in tests {
        let tokens = test.parse().map_err(|error| anyhow!("a test does not parse: {error}"))?;
        collect_strings(tokens, &mut strings);
    }
    let named = |guest: &&String| strings.iter().any(|string| names(string, guest));
    Ok(guests
        .iter()
        .filter(|guest| !named(guest))
        .map(|guest| Finding::new(&folder.join(guest), 0, "no test names this guest"))
        .collect())
}

/// Strings inside of macro calls count as well, so tokens are looked at, not syntax.
fn collect_strings(tokens: TokenStream, strings: &mut Vec<String>) {
    for token in tokens {
        match token {
            TokenTree::Group(group) => collect_strings(group.stream(), strings),
            TokenTree::Literal(literal) => {
                if let syn::Lit::Str(string) = syn::Lit::new(literal) {
                    strings.push(string.value());
                }
            }
            TokenTree::Ident(_) | TokenTree::Punct(_) => {}
        }
    }
}

fn names(string: &str, guest: &str) -> bool {
    let file = string.rsplit('/').next().unwrap_or(string);
    file.strip_suffix(".wasm").unwrap_or(file) == guest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn untested(guest: &str, test: &str) -> bool {
        let found = check(Path::new("guests"), &[guest.to_owned()], &[test.to_owned()]);
        !found.unwrap().is_empty()
    }

    #[test]
    fn a_guest_counts_as_tested_when_a_string_names_it() {
        assert!(!untested("loop", r#"fn f() { deploy("loop"); }"#));
        assert!(!untested("loop", r#"fn f() { assert!(run("guests/loop.wasm").is_err()); }"#));
    }

    #[test]
    fn a_keyword_a_comment_or_a_longer_name_does_not_count() {
        assert!(untested("loop", "fn f() { loop {} }"));
        assert!(untested("loop", "// \"loop\"\nfn f() {}"));
        assert!(untested("loop", r#"fn f() { deploy("start-loop"); }"#));
    }
}

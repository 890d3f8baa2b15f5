//! Habits inside one Rust file.

use std::path::Path;

use anyhow::{Context as _, Result};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use super::{Finding, names};

const FILE_LINES_MAX: usize = 400;
const FUNCTION_LINES_MAX: usize = 70;

/// Files that may hold `unsafe`, each of which says at its top why it must: one of the platform, and a guest, whose unsafe code
/// is the sandbox's to hold.
const MAY_BE_UNSAFE: &[&str] = &["guests/remember/src/lib.rs", "scheduler/src/code_cache.rs"];

/// Marks of unfinished work, in two halves so that this file does not hold them.
const UNFINISHED: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME")];

/// Checks the text of the Rust file at `path`, which is relative to the repository.
///
/// # Errors
/// When the text is not Rust.
pub(super) fn check(path: &Path, text: &str) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let lines = text.lines().count();
    if lines > FILE_LINES_MAX {
        let message = format!("{lines} lines, where {FILE_LINES_MAX} are enough: split the file");
        findings.push(Finding::new(path, 0, message));
    }
    for (index, line) in text.lines().enumerate() {
        for mark in UNFINISHED.iter().filter(|mark| has_word(line, mark)) {
            findings.push(Finding::new(path, index + 1, format!("{mark}: finish it or file it")));
        }
    }
    let file = syn::parse_file(text).with_context(|| format!("reading {}", path.display()))?;
    let mut visitor = Visitor { path, findings };
    visitor.visit_file(&file);
    Ok(visitor.findings)
}

fn has_word(line: &str, word: &str) -> bool {
    line.split(|character: char| !character.is_alphanumeric() && character != '_').any(|found| found == word)
}

struct Visitor<'a> {
    path: &'a Path,
    findings: Vec<Finding>,
}

impl Visitor<'_> {
    fn found(&mut self, at: &impl Spanned, message: impl Into<String>) {
        let line = at.span().start().line;
        self.findings.push(Finding::new(self.path, line, message));
    }

    fn check_function(&mut self, signature: &syn::Signature, body: &syn::Block) {
        let first = signature.span().start().line;
        let lines = body.span().end().line + 1 - first;
        if lines > FUNCTION_LINES_MAX {
            let name = &signature.ident;
            let message = format!("`{name}` has {lines} lines, where {FUNCTION_LINES_MAX} are enough");
            self.found(signature, message);
        }
        if let Some(word) = &signature.unsafety {
            self.check_unsafe(word);
        }
    }

    fn check_unsafe(&mut self, word: &syn::Token![unsafe]) {
        if !MAY_BE_UNSAFE.iter().any(|allowed| self.path == Path::new(allowed)) {
            self.found(word, "unsafe code belongs in the one file that is documented for it");
        }
    }
}

impl<'ast> Visit<'ast> for Visitor<'_> {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.check_function(&item.sig, &item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.check_function(&item.sig, &item.block);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(body) = &item.default {
            self.check_function(&item.sig, body);
        }
        visit::visit_trait_item_fn(self, item);
    }

    fn visit_expr_unsafe(&mut self, block: &'ast syn::ExprUnsafe) {
        self.check_unsafe(&block.unsafe_token);
        visit::visit_expr_unsafe(self, block);
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        if let Some(word) = &item.unsafety {
            self.check_unsafe(word);
        }
        visit::visit_item_impl(self, item);
    }

    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if names::says_nothing(&module.ident.to_string()) {
            self.found(module, format!("`{}` says nothing: name it after what it does", module.ident));
        }
        visit::visit_item_mod(self, module);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        let name = call.path.segments.last().map(|segment| segment.ident.to_string());
        if let Some(name @ ("todo" | "unimplemented")) = name.as_deref() {
            self.found(call, format!("`{name}!`: finish it"));
        }
        visit::visit_macro(self, call);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(text: &str) -> Vec<String> {
        let found = check(Path::new("x/src/lib.rs"), text).unwrap();
        found.into_iter().map(|finding| finding.message).collect()
    }

    fn assert_finds(text: &str, part: &str) {
        let messages = messages(text);
        assert!(messages.len() == 1 && messages[0].contains(part), "{messages:?}");
    }

    #[test]
    fn good_code_is_left_alone() {
        assert_eq!(messages("/// Adds.\nfn add(a: u8, b: u8) -> u8 { a + b }\n").len(), 0);
    }

    #[test]
    fn long_files_are_found() {
        assert!(messages(&"\n".repeat(FILE_LINES_MAX)).is_empty());
        assert_finds(&"\n".repeat(FILE_LINES_MAX + 1), "split the file");
    }

    #[test]
    fn long_functions_are_found_wherever_they_are() {
        let body = |lines: usize| format!("{{{}}}", "\n".repeat(lines - 1));
        let long = body(FUNCTION_LINES_MAX + 1);
        assert!(messages(&format!("fn f() {}", body(FUNCTION_LINES_MAX))).is_empty());
        assert_finds(&format!("fn f() {long}"), "`f` has 71 lines");
        assert_finds(&format!("impl X {{ fn f() {long} }}"), "`f` has 71 lines");
        assert_finds(&format!("trait X {{ fn f() {long} }}"), "`f` has 71 lines");
        assert_finds(&format!("mod m {{ fn f() {long} }}"), "`f` has 71 lines");
    }

    #[test]
    fn documentation_does_not_make_a_function_long() {
        let text = format!("{}fn f() {{}}", "/// Line.\n".repeat(FUNCTION_LINES_MAX + 1));
        assert!(messages(&text).is_empty());
    }

    #[test]
    fn unfinished_work_is_found() {
        for mark in UNFINISHED {
            assert_finds(&format!("// {mark}: later\n"), mark);
        }
        assert_finds("fn f() { todo!() }", "`todo!`");
        assert_finds("fn f() { std::unimplemented!(\"x\") }", "`unimplemented!`");
        assert!(messages("// a mastodon\n").is_empty());
    }

    #[test]
    fn unsafe_code_is_found() {
        let part = "unsafe code belongs";
        assert_finds("fn f() { unsafe { g() } }", part);
        assert_finds("unsafe fn f() {}", part);
        assert_finds("unsafe impl Send for X {}", part);
    }

    #[test]
    fn inline_modules_are_named_after_what_they_do() {
        assert_finds("mod helpers {}", "says nothing");
        assert_finds("mod common;", "says nothing");
    }

    #[test]
    fn a_finding_has_its_line() {
        let found = check(Path::new("x.rs"), "\n\nfn f() { todo!() }").unwrap();
        assert_eq!(found[0].line, 3);
    }
}

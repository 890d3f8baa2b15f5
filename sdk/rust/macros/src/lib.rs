//! The attribute of the crate `wasmway-sdk`, which documents it.

use proc_macro::{TokenStream, TokenTree};

/// Makes an ordinary function, `async` or not, the handler of this component. The function stays what it is: tests
/// call it.
#[proc_macro_attribute]
pub fn handler(options: TokenStream, item: TokenStream) -> TokenStream {
    let export = match function_name(&item) {
        _ if !options.is_empty() => refusal("`#[wasmway::handler]` takes no options"),
        Some(name) => export(&name),
        None => refusal("`#[wasmway::handler]` belongs on a function"),
    };
    item.into_iter().chain(export).collect()
}

/// The word after the first `fn` that is outside of every bracket: of a function, its name.
fn function_name(item: &TokenStream) -> Option<String> {
    let mut words = item.clone().into_iter().map_while(|token| match token {
        // A module, or the block of whatever else it is, comes before any `fn`.
        TokenTree::Group(group) if group.delimiter() == proc_macro::Delimiter::Brace => None,
        token => Some(token.to_string()),
    });
    words.find(|word| word == "fn")?;
    words.next()
}

/// In a component, the export. On other targets nobody calls the handler but tests: there it is only looked at, so that
/// one that does not fit is told so, and one that does is no dead code.
fn export(name: &str) -> TokenStream {
    let code = format!(
        "#[cfg(target_family = \"wasm\")]
        const _: () = {{
            struct Function;
            impl ::wasmway::wasi::Guest for Function {{
                fn handle(
                    request: ::wasmway::wasi::IncomingRequest,
                    response: ::wasmway::wasi::ResponseOutparam,
                ) {{
                    ::wasmway::wasi::serve({name}, request, response)
                }}
            }}
            ::wasmway::wasi::wasip2::http::proxy::export!(Function with_types_in ::wasmway::wasi::wasip2);
        }};
        #[cfg(not(target_family = \"wasm\"))]
        const _: () = ::wasmway::must_be_handler(&{name});"
    );
    code.parse().expect("this is Rust")
}

fn refusal(message: &str) -> TokenStream {
    format!("::core::compile_error!({message:?});").parse().expect("this is Rust")
}

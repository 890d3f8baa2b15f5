//! The description of the API, for programs and for people.

use axum::Router;
use utoipa::{
    Modify, OpenApi,
    openapi::{
        Content, Ref, RefOr, Response,
        security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};
use utoipa_swagger_ui::SwaggerUi;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Wasmway control API",
        description = "Deploy WebAssembly components as HTTP functions, and watch them. Errors are RFC 9457 problem documents \
                       with a stable `code`."
    ),
    tags(
        (name = "functions", description = "What is served"),
        (name = "versions", description = "What was served, and going back to it"),
        (name = "observing", description = "What functions print and use"),
        (name = "access", description = "Who may do what, and who did")
    ),
    modifiers(&Bearer)
)]
struct Document;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("The token in the file admin.token of the data folder."))
            .build();
        document.components.get_or_insert_default().add_security_scheme("token", SecurityScheme::Http(scheme));
        document.security = Some(vec![SecurityRequirement::new("token", Vec::<String>::new())]);
    }
}

/// The part of the description that is the same for every route.
pub(super) fn document() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

/// What every route may answer: before it is reached, or when its stores are away. Routes name only what is theirs alone.
const EVERYWHERE: [(&str, &str); 5] = [
    ("400", "A name, a parameter or the body is not what it should be"),
    ("401", "No token, or a wrong or an expired one"),
    ("403", "A token that is not good for this"),
    ("429", "Too many wrong tokens from one address, or too much at once; `Retry-After` says when to come back"),
    ("503", "The registry's stores are away, or the server is about to stop"),
];

/// Adds [what every route may answer](EVERYWHERE), and says that all that fails is a problem document.
fn complete(document: &mut utoipa::openapi::OpenApi) {
    let problem = || {
        let schema = Ref::from_schema_name("Problem");
        ("application/problem+json".to_owned(), RefOr::T(Content::new(Some(schema))))
    };
    for item in document.paths.paths.values_mut() {
        let operations = [&mut item.get, &mut item.put, &mut item.post, &mut item.delete];
        for operation in operations.into_iter().flatten() {
            let responses = &mut operation.responses.responses;
            for (status, why) in EVERYWHERE {
                responses.entry(status.to_owned()).or_insert_with(|| Response::new(why).into());
            }
            for (status, response) in responses {
                if let RefOr::T(response) = response
                    && status.as_str() >= "400"
                {
                    response.content = [problem()].into_iter().collect();
                }
            }
        }
    }
}

/// `/openapi.json` and `/docs`.
pub(super) fn pages<S: Clone + Send + Sync + 'static>(mut document: utoipa::openapi::OpenApi) -> Router<S> {
    complete(&mut document);
    SwaggerUi::new("/docs").url("/openapi.json", document).into()
}

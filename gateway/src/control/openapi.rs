//! The description of the API, for programs and for people.

use axum::Router;
use utoipa::{
    Modify, OpenApi,
    openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
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

/// `/openapi.json` and `/docs`.
pub(super) fn pages<S: Clone + Send + Sync + 'static>(document: utoipa::openapi::OpenApi) -> Router<S> {
    SwaggerUi::new("/docs").url("/openapi.json", document).into()
}

//! Who may do what, how much, and who did: namespaces, tokens and the audit log. For operators alone.

use super::{
    super::{Dashboard, Frame, page, units},
    When,
};
use crate::{control::Access, problem::Problem};
use askama::Template;
use axum::{
    Extension,
    extract::{Query, State},
    response::Response,
};
use http::StatusCode;
use serde::Deserialize;
use std::sync::Arc;
use wasmway_registry::{NamespaceRecord, Quota, manifest::ByteSize};

/// Entries of the audit log on one page.
const ENTRIES: u32 = 100;

fn only_operators(access: &Access) -> Result<(), Problem> {
    if access.is_operator() {
        return Ok(());
    }
    let detail = "that takes a token of the role admin that is good for all namespaces";
    Err(Problem::platform(StatusCode::FORBIDDEN, "forbidden", "Forbidden", detail))
}

#[derive(Template)]
#[template(path = "namespaces.html")]
struct Namespaces {
    frame: Frame,
    namespaces: Vec<Namespace>,
    /// Of a namespace that is yet to be.
    no_quota: QuotaForm,
}

struct Namespace {
    name: String,
    functions: Bounded,
    components: Bounded,
    quota: QuotaForm,
}

/// A quota as the form has it: what has no bound is empty.
#[derive(Default)]
struct QuotaForm {
    functions: String,
    components: String,
    memory: String,
    concurrency: String,
    rate: String,
    cpu_weight: String,
}

impl From<Quota> for QuotaForm {
    fn from(quota: Quota) -> Self {
        let number = |bound: Option<u32>| bound.map(|it| it.to_string()).unwrap_or_default();
        let size = |bound: Option<ByteSize>| bound.map(|it| it.to_string()).unwrap_or_default();
        Self {
            functions: number(quota.functions),
            components: size(quota.component_bytes),
            memory: size(quota.memory),
            concurrency: number(quota.concurrency),
            rate: number(quota.requests_per_second),
            cpu_weight: number(quota.cpu_weight),
        }
    }
}

/// What there is of something, and of how much.
struct Bounded {
    used: String,
    most: Option<String>,
    percent: u64,
}

impl Bounded {
    fn of(used: u64, most: Option<u64>, text: fn(u64) -> String) -> Self {
        let percent = most.map_or(0, |most| (used.saturating_mul(100) / most.max(1)).min(100));
        Self { used: text(used), most: most.map(text), percent }
    }
}

impl From<NamespaceRecord> for Namespace {
    fn from(record: NamespaceRecord) -> Self {
        let NamespaceRecord { name, quota, functions, component_bytes } = record;
        Self {
            name: name.into(),
            functions: Bounded::of(functions, quota.functions.map(u64::from), units::count),
            components: Bounded::of(component_bytes, quota.component_bytes.map(|it| it.as_u64()), units::bytes),
            quota: quota.into(),
        }
    }
}

/// What namespaces have, and may have.
pub(in crate::dashboard) async fn namespaces(
    State(dashboard): State<Arc<Dashboard>>,
    Extension(access): Extension<Access>,
) -> Result<Response, Problem> {
    only_operators(&access)?;
    let namespaces = dashboard.plane.registry.namespaces().await?;
    page(&Namespaces {
        frame: dashboard.frame("Namespaces", "namespaces", &access),
        namespaces: namespaces.into_iter().map(Namespace::from).collect(),
        no_quota: QuotaForm::default(),
    })
}

#[derive(Template)]
#[template(path = "tokens.html")]
struct Tokens {
    frame: Frame,
    tokens: Vec<Token>,
}

struct Token {
    id: String,
    name: String,
    role: String,
    namespace: Option<String>,
    created: When,
    expires: Option<String>,
    has_expired: bool,
    used: Option<When>,
}

impl From<wasmway_registry::Token> for Token {
    fn from(token: wasmway_registry::Token) -> Self {
        let has_expired = token.has_expired();
        let wasmway_registry::Token { id, name, role, namespace, created_at, expires_at, last_used_at } = token;
        Self {
            id,
            name,
            role: role.to_string(),
            namespace: namespace.map(String::from),
            created: When::at(created_at),
            expires: expires_at.map(units::moment),
            has_expired,
            used: last_used_at.map(When::at),
        }
    }
}

/// All tokens but the one of the data folder.
pub(in crate::dashboard) async fn tokens(
    State(dashboard): State<Arc<Dashboard>>,
    Extension(access): Extension<Access>,
) -> Result<Response, Problem> {
    only_operators(&access)?;
    let tokens = dashboard.plane.registry.tokens().await?.into_iter().map(Token::from).collect();
    page(&Tokens { frame: dashboard.frame("Tokens", "tokens", &access), tokens })
}

/// Which part of the log.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::dashboard) struct Asked {
    /// Entries before this one; the latest when it is no number.
    before: String,
}

#[derive(Template)]
#[template(path = "audit.html")]
struct Audit {
    frame: Frame,
    entries: Vec<Entry>,
    is_first: bool,
    next: Option<i64>,
}

struct Entry {
    when: When,
    author: String,
    address: String,
    request_id: String,
    action: String,
    subject: String,
    before: String,
    after: String,
}

/// Who changed what.
pub(in crate::dashboard) async fn audit(
    State(dashboard): State<Arc<Dashboard>>,
    Extension(access): Extension<Access>,
    Query(asked): Query<Asked>,
) -> Result<Response, Problem> {
    only_operators(&access)?;
    let before = asked.before.parse().ok();
    let entries = dashboard.plane.registry.audit(before, ENTRIES).await?;
    let is_full = entries.len() == ENTRIES as usize;
    let next = entries.last().filter(|_| is_full).map(|last| last.id);
    let shown = |side: Option<String>| side.unwrap_or_else(|| units::NONE.to_owned());
    let entry = |entry: wasmway_registry::AuditEntry| Entry {
        when: When::at(entry.at),
        author: entry.author,
        address: entry.address,
        request_id: entry.request_id,
        action: entry.action,
        subject: entry.subject,
        before: shown(entry.before),
        after: shown(entry.after),
    };
    page(&Audit {
        frame: dashboard.frame("Audit log", "audit", &access),
        entries: entries.into_iter().map(entry).collect(),
        is_first: before.is_none(),
        next,
    })
}

//! All functions: searched, sorted, a page at a time.

use super::{
    super::{Dashboard, Entry, Frame, link, page, sampling, units, visible},
    When,
};
use crate::{control::Access, dashboard::sampling::Summary, problem::Problem};
use askama::Template;
use axum::{
    Extension,
    extract::{Query, State},
    response::Response,
};
use serde::Deserialize;
use std::{cmp::Ordering, collections::HashMap, sync::Arc};

/// Functions on one page.
const PAGE: usize = 50;

/// Which part of the list, in which order. What is not understood is passed over.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::dashboard) struct Asked {
    /// A part of the name.
    q: String,
    namespace: String,
    sort: String,
    /// `asc` or `desc`.
    order: String,
    /// Counted from 1.
    page: String,
}

#[derive(Template)]
#[template(path = "functions.html")]
struct Functions {
    frame: Frame,
    asked: Asked,
    namespaces: Vec<String>,
    columns: Vec<Column>,
    rows: Vec<Row>,
    /// Of those that match, and of all.
    found: String,
    all: usize,
    first: usize,
    last: usize,
    previous: Option<String>,
    next: Option<String>,
    /// Whether some of these are counted together with others.
    some_together: bool,
    /// Where the numbers of these rows come from.
    live: String,
}

struct Column {
    label: &'static str,
    link: String,
    /// As screen readers are told.
    order: &'static str,
    is_number: bool,
}

struct Row {
    key: String,
    name: String,
    namespace: String,
    link: String,
    version: u32,
    split: Option<String>,
    deployed: When,
    numbers: Numbers,
}

/// What a row says of a function's calls.
pub(in crate::dashboard) struct Numbers {
    pub(in crate::dashboard) rate: String,
    pub(in crate::dashboard) failed: String,
    pub(in crate::dashboard) p50: String,
    pub(in crate::dashboard) p99: String,
    pub(in crate::dashboard) total: String,
}

impl Numbers {
    /// Those of a function by its key, `NAMESPACE/NAME`.
    pub(in crate::dashboard) fn of(dashboard: &Dashboard, key: &str, summaries: &HashMap<String, Summary>) -> Self {
        let is_counted = key.split_once('/').is_some_and(|(namespace, name)| dashboard.is_counted(namespace, name));
        if !is_counted {
            let none = || units::NONE.to_owned();
            return Self { rate: none(), failed: none(), p50: none(), p99: none(), total: none() };
        }
        let summary = summaries.get(key).copied().unwrap_or_default();
        Self {
            rate: units::rate(summary.requests_s),
            failed: units::known(summary.failed, units::percent),
            p50: units::known(summary.p50_s, units::seconds),
            p99: units::known(summary.p99_s, units::seconds),
            total: units::count(summary.total),
        }
    }
}

/// Columns by the name that an order has in an address.
const COLUMNS: [(&str, &str, bool); 7] = [
    ("name", "Function", false),
    ("version", "Version", false),
    ("requests", "Requests", true),
    ("failed", "Failed", true),
    ("p50", "p50", true),
    ("p99", "p99", true),
    ("deployed", "Deployed", false),
];

/// The page.
pub(in crate::dashboard) async fn show(
    State(dashboard): State<Arc<Dashboard>>,
    Extension(access): Extension<Access>,
    Query(asked): Query<Asked>,
) -> Result<Response, Problem> {
    let all = dashboard.functions().await?;
    let functions: Vec<&Entry> = visible(&all, &access).collect();
    let mut namespaces: Vec<String> = functions.iter().map(|entry| entry.namespace.to_string()).collect();
    namespaces.dedup();
    let summaries = dashboard.sampler.summaries();
    let text = asked.q.trim().to_ascii_lowercase();
    let matches = |entry: &&&Entry| {
        (asked.namespace.is_empty() || entry.namespace.as_str() == asked.namespace)
            && (text.is_empty() || entry.name.as_str().contains(&text))
    };
    let mut found: Vec<&Entry> = functions.iter().filter(matches).copied().collect();
    sort(&mut found, &asked, &summaries);
    let pages = found.len().div_ceil(PAGE).max(1);
    let number = asked.page.parse().unwrap_or(1).clamp(1, pages);
    let first = (number - 1) * PAGE;
    let rows: Vec<Row> = found.iter().skip(first).take(PAGE).map(|entry| row(&dashboard, entry, &summaries)).collect();
    let at = |number: usize| asked.link(&asked.sort, &asked.order, number);
    page(&Functions {
        frame: dashboard.frame("Functions", "functions", &access),
        namespaces,
        columns: COLUMNS
            .iter()
            .filter(|it| dashboard.plane.catalog.is_some() || !it.2)
            .map(|it| asked.column(it))
            .collect(),
        found: units::count(found.len() as u64),
        all: functions.len(),
        first: (first + 1).min(found.len()),
        last: first + rows.len(),
        previous: (number > 1).then(|| at(number - 1)),
        next: (number < pages).then(|| at(number + 1)),
        some_together: rows.iter().any(|row| !dashboard.is_counted(&row.namespace, &row.name)),
        live: live(&rows),
        rows,
        asked,
    })
}

fn sort(found: &mut [&Entry], asked: &Asked, summaries: &HashMap<String, Summary>) {
    // The number, and of equal ones those with more requests.
    let number = |entry: &Entry| {
        let summary = summaries.get(&sampling::key(entry.namespace.as_str(), entry.name.as_str()))?;
        let number = match asked.sort.as_str() {
            "requests" => Some(summary.requests_s),
            "failed" => summary.failed,
            "p50" => summary.p50_s,
            _ => summary.p99_s,
        };
        number.map(|number| (number, summary.total))
    };
    let is_descending = asked.order == "desc";
    let turned = |order: Ordering| if is_descending { order.reverse() } else { order };
    match asked.sort.as_str() {
        "requests" | "failed" | "p50" | "p99" => {
            let mut keyed: Vec<_> = found.iter().map(|entry| (number(entry), *entry)).collect();
            // Those without a number come last, whichever way it is looked at.
            keyed.sort_by(|(one, _), (other, _)| match (one, other) {
                (Some(one), Some(other)) => turned(one.0.total_cmp(&other.0).then(one.1.cmp(&other.1))),
                (one, other) => other.is_some().cmp(&one.is_some()),
            });
            found.iter_mut().zip(keyed).for_each(|(place, (_, entry))| *place = entry);
        }
        "version" => found.sort_by(|one, other| turned(one.version.cmp(&other.version))),
        "deployed" => found.sort_by(|one, other| turned(one.deployed_at.cmp(&other.deployed_at))),
        _ => found.sort_by(|one, other| turned(one.name.as_str().cmp(other.name.as_str()))),
    }
}

fn row(dashboard: &Dashboard, entry: &Entry, summaries: &HashMap<String, Summary>) -> Row {
    let key = sampling::key(entry.namespace.as_str(), entry.name.as_str());
    Row {
        name: entry.name.to_string(),
        namespace: entry.namespace.to_string(),
        link: link(&entry.namespace, &entry.name),
        version: entry.version,
        split: entry.split.clone(),
        deployed: When::at(entry.deployed_at),
        numbers: Numbers::of(dashboard, &key, summaries),
        key,
    }
}

fn live(rows: &[Row]) -> String {
    const PATH: &str = "/live/functions?";
    let mut query = url::form_urlencoded::Serializer::for_suffix(PATH.to_owned(), PATH.len());
    query.extend_pairs(rows.iter().map(|row| ("k", row.key.as_str())));
    query.finish()
}

impl Asked {
    fn link(&self, sort: &str, order: &str, page: usize) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        for (key, value) in [("q", self.q.as_str()), ("namespace", &self.namespace), ("sort", sort), ("order", order)] {
            if !value.is_empty() {
                query.append_pair(key, value);
            }
        }
        if page > 1 {
            query.append_pair("page", &page.to_string());
        }
        format!("/functions?{}", query.finish())
    }

    /// A column, whose heading turns the order round, or sorts by it: by numbers the greatest first.
    fn column(&self, &(name, label, is_number): &(&'static str, &'static str, bool)) -> Column {
        let sorted = if self.sort.is_empty() { "name" } else { &self.sort };
        let is_sorted = sorted == name;
        let is_descending = self.order == "desc";
        let order = match (is_sorted, is_descending) {
            (true, true) => "asc",
            (true, false) => "desc",
            (false, _) if is_number || name == "deployed" => "desc",
            (false, _) => "asc",
        };
        let said = match (is_sorted, is_descending) {
            (true, true) => "descending",
            (true, false) => "ascending",
            (false, _) => "none",
        };
        Column { label, link: self.link(name, order, 1), order: said, is_number }
    }
}

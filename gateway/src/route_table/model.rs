//! The route table against a model: all rules in one list, looked through from the first to the last for each request.
//! It is slow and plainly right.

use super::{RouteTable, Served};
use crate::{
    address::Address,
    backend::{Backend, Published},
    journal::Journal,
    metrics::Metrics,
};
use proptest::{collection, option, prelude::*, sample};
use std::{cmp::Reverse, collections::HashSet, path::PathBuf, sync::Arc, time::Duration};
use wasmway_registry::manifest::RouteRule;
use wasmway_scheduler::{Function, Limits, OutboundPolicy, Tenant, World};

/// Few words, so that they meet often: as names, as namespaces, in hosts and in paths.
const WORDS: &[&str] = &["a", "b", "default", "shop", "a.shop", "b.default"];
const HOSTS: &[&str] = &["a", "fn.test", "a.fn.test", "a.shop.fn.test", "b.default.fn.test", "shop.example"];
/// Hosts that are declared beside those.
const WILDCARDS: &[&str] = &["*.fn.test", "*.shop.fn.test", "*.default.fn.test"];

#[derive(Clone, Debug)]
struct Declared {
    namespace: &'static str,
    name: &'static str,
    routes: Vec<RouteRule>,
}

#[derive(Clone, Debug)]
struct Asked {
    host: Option<String>,
    path: String,
}

/// Where a request goes, as the model has it: the function, and how much of the path it does not see.
fn model(functions: &[Declared], domain: Option<&str>, asked: &Asked) -> Option<(String, usize)> {
    let host = asked.host.clone().unwrap_or_default().to_lowercase();
    let host = host.strip_suffix('.').unwrap_or(&host);
    let asked_for: Vec<&str> = asked.path.split('/').skip(1).collect();
    let mut found = Vec::new();
    for Declared { namespace, name, routes } in functions {
        let id = format!("{name}.{namespace}");
        let names = if *namespace == "default" { vec![name.to_string(), id.clone()] } else { vec![id.clone()] };
        for called in &names {
            if domain.is_some_and(|domain| host == format!("{called}.{domain}")) {
                found.push((1, Reverse(0), id.clone(), 0));
            }
            if asked_for[0] == called {
                found.push((3, Reverse(0), id.clone(), 1 + called.len()));
            }
        }
        for rule in routes {
            let prefix: Vec<&str> = rule.path().split('/').skip(1).filter(|segment| !segment.is_empty()).collect();
            if !asked_for.starts_with(&prefix) {
                continue;
            }
            let hidden = prefix.iter().map(|segment| 1 + segment.len()).sum();
            match rule.host() {
                Some(declared) if declared == host => found.push((0, Reverse(prefix.len()), id.clone(), hidden)),
                Some(declared) if declared.starts_with("*.") => {
                    // One label, whatever it is.
                    let (labels, asked): (Vec<_>, Vec<_>) = (declared.split('.').collect(), host.split('.').collect());
                    if labels.len() == asked.len() && labels[1..] == asked[1..] {
                        found.push((2, Reverse(prefix.len()), id.clone(), hidden));
                    }
                }
                Some(_) => {}
                None => found.push((4, Reverse(prefix.len()), id.clone(), hidden)),
            }
        }
    }
    found.into_iter().min().map(|(_, _, id, hidden)| (id, hidden))
}

/// Where a request goes, as the table has it.
fn table(functions: &[Declared], domain: Option<&str>, asked: &[Asked]) -> Vec<Option<(String, usize)>> {
    let metrics = Metrics::new().unwrap();
    let table = RouteTable::new(
        functions
            .iter()
            .map(|function| published(served(function.namespace, function.name, function.routes.clone(), &metrics))),
        domain,
    );
    let find = |asked: &Asked| {
        let found = table.find(&Address { host: asked.host.as_deref(), path: &asked.path, authority: None })?;
        let function = &found.backend.leader().function;
        Some((format!("{}.{}", function.name(), function.namespace()), found.prefix))
    };
    asked.iter().map(find).collect()
}

/// A function without routes of its own.
pub(super) fn named(namespace: &str, name: &str, metrics: &Metrics) -> Published {
    published(served(namespace, name, Vec::new(), metrics))
}

fn published(served: Served) -> Published {
    Published { backend: Backend::One(Arc::new(served)), previews: Vec::new() }
}

fn served(namespace: &str, name: &str, routes: Vec<RouteRule>, metrics: &Metrics) -> Served {
    let limits = Limits {
        memory: 0,
        cpu: Duration::ZERO,
        timeout: Duration::ZERO,
        cpu_weight: 100,
        concurrency: 1,
        request_body: 0,
        response_body: 0,
    };
    let outbound = OutboundPolicy::new(namespace.to_owned(), Box::new(|_, _, _| false), false);
    Served {
        function: Function::new(
            Arc::new(Tenant::new(namespace)),
            name.to_owned(),
            1,
            ([0; 32], World::Http02, PathBuf::new()),
            limits,
            Vec::new(),
            outbound,
        ),
        journal: Arc::new(Journal::new(1, "node".into())),
        created_at: jiff::Timestamp::UNIX_EPOCH,
        metrics: metrics.function(namespace, name),
        debug: false,
        server_timing: false,
        routes,
    }
}

/// A path of a few words; with `empty`, also with nothing between two slashes or behind the last.
fn path(empty: bool) -> impl Strategy<Value = String> {
    let words: Vec<&str> = WORDS.iter().copied().chain(empty.then_some("")).collect();
    collection::vec(sample::select(words), 0..4).prop_map(|segments| format!("/{}", segments.join("/")))
}

fn rule() -> impl Strategy<Value = RouteRule> {
    let hosts: Vec<_> = HOSTS.iter().chain(WILDCARDS).copied().collect();
    (option::of(sample::select(hosts)), path(false))
        .prop_map(|(host, path)| RouteRule::new(host, &path).expect("hosts and paths of plain words"))
}

/// What the registry lets be: no name twice in a namespace, and no rule twice at all.
fn functions() -> impl Strategy<Value = Vec<Declared>> {
    let names = (sample::select(&["default", "shop"][..]), sample::select(&["a", "b", "shop"][..]));
    collection::vec((names, collection::vec(rule(), 0..4)), 0..6).prop_map(|functions| {
        let (mut named, mut ruled) = (HashSet::new(), HashSet::new());
        let functions = functions.into_iter().filter(|(name, _)| named.insert(*name)).collect::<Vec<_>>();
        let unique = |routes: Vec<RouteRule>, ruled: &mut HashSet<RouteRule>| {
            routes.into_iter().filter(|rule| ruled.insert(rule.clone())).collect()
        };
        let declared = functions.into_iter().map(|((namespace, name), routes)| {
            let routes = unique(routes, &mut ruled);
            Declared { namespace, name, routes }
        });
        declared.collect()
    })
}

fn asked() -> impl Strategy<Value = Asked> {
    // As clients write it: in any case, with or without the dot at the end.
    let host = (sample::select(HOSTS), any::<bool>(), any::<bool>()).prop_map(|(host, loud, dot)| {
        let host = if loud { host.to_uppercase() } else { host.to_owned() };
        if dot { host + "." } else { host }
    });
    (option::of(host), path(true)).prop_map(|(host, path)| Asked { host, path })
}

proptest! {
    #[test]
    fn the_table_finds_what_the_model_finds(
        functions in functions(),
        domain in option::of(Just("fn.test")),
        asked in collection::vec(asked(), 1..20),
    ) {
        let expected: Vec<_> = asked.iter().map(|asked| model(&functions, domain, asked)).collect();
        prop_assert_eq!(table(&functions, domain, &asked), expected);
    }

    #[test]
    fn no_path_that_is_declared_stands_before_a_name(functions in functions(), path in path(true)) {
        let asked = Asked { host: None, path };
        let Some(first) = asked.path.split('/').nth(1) else { unreachable!("a path begins with a slash") };
        let named = functions.iter().find(|declared| declared.namespace == "default" && declared.name == first);
        if let Some(named) = named {
            let found = table(&functions, None, std::slice::from_ref(&asked)).remove(0);
            prop_assert_eq!(found, Some((format!("{}.default", named.name), 1 + first.len())));
        }
    }
}

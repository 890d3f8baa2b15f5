//! What a deploy would change: between the version that answers requests and the one that would.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::manifest::{Limits, Manifest};
use crate::records::VersionRecord;

/// One thing that would be different.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// What it is: `import`, or the manifest's key, such as `limits.memory` or `outbound.allow`.
    pub what: String,
    /// As it is; `None` when it is new.
    pub before: Option<String>,
    /// As it would be; `None` when it would go.
    pub after: Option<String>,
    /// Whether the function could do or use more than it can now.
    pub grows: bool,
    /// What an import is for.
    pub meaning: Option<String>,
}

/// What would change if a component that imports `imports` were deployed with `manifest`. Without a version `before`,
/// everything that differs from a component without imports and an empty manifest.
pub fn differences(before: Option<&VersionRecord>, imports: &[String], manifest: &Manifest) -> Vec<Difference> {
    let nothing = Manifest::default();
    let (old_imports, old) = before.map_or((&[][..], &nothing), |before| (&before.imports, &before.manifest));
    let mut found = of_imports(old_imports, imports);
    let mut grown = grown_limits(&old.limits, &manifest.limits);
    // Requests that share an instance are kept apart by less.
    grown.extend((old.instances.reuse < manifest.instances.reuse).then_some("instances.reuse"));
    let (old, new) = (leaves(old), leaves(manifest));
    let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    for key in keys {
        let (before, after) = (old.get(key), new.get(key));
        let gone: Vec<_> =
            before.into_iter().flatten().filter(|it| after.is_none_or(|all| !all.contains(*it))).collect();
        let come: Vec<_> =
            after.into_iter().flatten().filter(|it| before.is_none_or(|all| !all.contains(*it))).collect();
        if let ([before], [after]) = (gone.as_slice(), come.as_slice())
            && !is_list(key)
        {
            let grows = grown.contains(key.as_str()) || (key == "debug" && *after == "true");
            found.push(difference(key, Some(*before), Some(*after), grows));
            continue;
        }
        found.extend(gone.into_iter().map(|before| difference(key, Some(before), None, false)));
        found.extend(come.into_iter().map(|after| difference(key, None, Some(after), is_list(key))));
    }
    found
}

fn difference(what: &str, before: Option<&String>, after: Option<&String>, grows: bool) -> Difference {
    Difference { what: what.to_owned(), before: before.cloned(), after: after.cloned(), grows, meaning: None }
}

/// Imports by their names; another version of the same interface is the same capability.
fn of_imports(old: &[String], new: &[String]) -> Vec<Difference> {
    let name = |import: &String| import.split('@').next().unwrap_or_default().to_owned();
    let by_name = |imports: &[String]| imports.iter().map(|it| (name(it), it.clone())).collect::<BTreeMap<_, _>>();
    let (old, new) = (by_name(old), by_name(new));
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let changed = names.into_iter().filter(|name| old.get(*name) != new.get(*name));
    let describe = |name: &String| {
        let (meaning, is_capability) = meaning_of_interface(name);
        let grows = is_capability && !old.contains_key(name);
        Difference { meaning: Some(meaning.to_owned()), ..difference("import", old.get(name), new.get(name), grows) }
    };
    changed.map(describe).collect()
}

/// What an interface, named without its version, is for; and whether having it lets a function reach anything beyond the
/// request it answers.
pub fn meaning_of_interface(interface: &str) -> (&'static str, bool) {
    match interface {
        "wasi:http/outgoing-handler" | "wasi:http/client" => {
            ("outbound HTTP, to the servers that outbound.allow names", true)
        }
        "wasi:http/types" => ("HTTP messages", false),
        "wasi:cli/environment" => ("its own environment", false),
        _ if interface.starts_with("wasi:cli/") => ("its log and its exit", false),
        _ if interface.starts_with("wasi:clocks/") => ("clocks", false),
        _ if interface.starts_with("wasi:io/") => ("streams", false),
        _ if interface.starts_with("wasi:random/") => ("random numbers", false),
        _ if interface.starts_with("wasi:sockets/") => ("sockets, of which there are none here", true),
        _ if interface.starts_with("wasi:filesystem/") => ("files, of which there are none here", true),
        _ => ("not known", true),
    }
}

/// Keys of the limits that would be higher.
fn grown_limits(old: &Limits, new: &Limits) -> BTreeSet<&'static str> {
    let pairs = [
        ("limits.memory", old.memory < new.memory),
        ("limits.cpu", old.cpu < new.cpu),
        ("limits.timeout", old.timeout < new.timeout),
        ("limits.cpu_weight", old.cpu_weight < new.cpu_weight),
        ("limits.concurrency", old.concurrency < new.concurrency),
        ("limits.request_body", old.request_body < new.request_body),
        ("limits.response_body", old.response_body < new.response_body),
    ];
    pairs.into_iter().filter(|(_, grows)| *grows).map(|(key, _)| key).collect()
}

/// Keys whose values are many, each of which lets a function do more.
fn is_list(key: &str) -> bool {
    matches!(key, "outbound.allow" | "routes")
}

/// What a manifest says, by dotted keys. How it is built is nobody's business here.
fn leaves(manifest: &Manifest) -> BTreeMap<String, Vec<String>> {
    // A manifest is made of texts, numbers and maps with text keys, all of which JSON has.
    let value = serde_json::to_value(manifest).expect("JSON can hold it");
    let mut found = BTreeMap::new();
    collect("", &value, &mut found);
    found.retain(|key, _| key != "name" && !key.starts_with("build."));
    found
}

fn collect(key: &str, value: &Value, found: &mut BTreeMap<String, Vec<String>>) {
    match value {
        Value::Null => {}
        Value::Object(fields) if key != "routes" => {
            for (name, value) in fields {
                let key = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
                collect(&key, value, found);
            }
        }
        Value::Object(route) => {
            let part = |name| route.get(name).and_then(Value::as_str).unwrap_or_default();
            found.entry(key.to_owned()).or_default().push(format!("{}{}", part("host"), part("path")));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(key, item, found)),
        Value::String(text) => found.entry(key.to_owned()).or_default().push(text.clone()),
        other => found.entry(key.to_owned()).or_default().push(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::digest::Digest;
    use crate::names::Version;

    fn version(imports: &[&str], manifest: &str) -> VersionRecord {
        VersionRecord {
            version: Version::FIRST,
            digest: Digest::of(b""),
            size: 0,
            world: String::new(),
            imports: names(imports),
            manifest: Manifest::from_toml(manifest).unwrap(),
            created_at: Timestamp::UNIX_EPOCH,
            active: true,
        }
    }

    fn names(imports: &[&str]) -> Vec<String> {
        imports.iter().map(|name| (*name).to_owned()).collect()
    }

    /// Each as `what: before -> after`, with a `!` where it grows.
    fn shown(before: Option<&VersionRecord>, imports: &[&str], manifest: &str) -> Vec<String> {
        let manifest = Manifest::from_toml(manifest).unwrap();
        let found = differences(before, &names(imports), &manifest);
        let side = |it: Option<String>| it.unwrap_or_else(|| "-".to_owned());
        let line = |it: Difference| {
            format!("{}: {} -> {}{}", it.what, side(it.before), side(it.after), if it.grows { " !" } else { "" })
        };
        found.into_iter().map(line).collect()
    }

    #[test]
    fn what_stays_the_same_is_not_mentioned() {
        let before = version(&["wasi:io/streams@0.2.6"], "[limits]\nmemory = \"64MiB\"");
        assert!(shown(Some(&before), &["wasi:io/streams@0.2.6"], "[limits]\nmemory = \"65536KiB\"").is_empty());
    }

    #[test]
    fn an_import_that_comes_is_a_capability_or_is_not() {
        let before = version(&["wasi:io/streams@0.2.6", "wasi:cli/exit@0.2.6"], "");
        let after = ["wasi:io/streams@0.2.9", "wasi:sockets/tcp@0.2.6", "wasi:clocks/wall-clock@0.2.6"];
        assert_eq!(
            shown(Some(&before), &after, ""),
            [
                "import: wasi:cli/exit@0.2.6 -> -",
                "import: - -> wasi:clocks/wall-clock@0.2.6",
                "import: wasi:io/streams@0.2.6 -> wasi:io/streams@0.2.9",
                "import: - -> wasi:sockets/tcp@0.2.6 !",
            ]
        );
    }

    #[test]
    fn limits_origins_and_routes_grow_and_shrink() {
        let before = version(
            &[],
            "[limits]\nmemory = \"64MiB\"\ncpu = \"2s\"\n[outbound]\nallow = [\"https://a.example\"]\n[env]\nA = \"1\"\nB = \"2\"",
        );
        let after = "debug = true\n[limits]\nmemory = \"256MiB\"\ncpu = \"500ms\"\n\
             [outbound]\nallow = [\"https://a.example\", \"https://api.example.com\"]\n[env]\nA = \"one\"\n\
             [[routes]]\nhost = \"shop.example\"\npath = \"/api\"";
        assert_eq!(
            shown(Some(&before), &[], after),
            [
                "debug: false -> true !",
                "env.A: 1 -> one",
                "env.B: 2 -> -",
                "limits.cpu: 2s -> 500ms",
                "limits.memory: 64MiB -> 256MiB !",
                "outbound.allow: - -> https://api.example.com !",
                "routes: - -> shop.example/api !",
            ]
        );
    }

    #[test]
    fn a_first_version_is_held_against_nothing() {
        let found = shown(None, &["wasi:http/outgoing-handler@0.2.6"], "[limits]\nmemory = \"256MiB\"");
        assert_eq!(found, ["import: - -> wasi:http/outgoing-handler@0.2.6 !", "limits.memory: 128MiB -> 256MiB !"]);
    }
}

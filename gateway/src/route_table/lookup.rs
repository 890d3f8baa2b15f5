//! How long a lookup takes with few functions and with many:
//! `cargo test --workspace --exclude xtask --lib -- --ignored --nocapture lookups`, with `--release` where there is time.

use super::{RouteTable, model};
use crate::{address::Address, metrics::Metrics};
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::{hint::black_box, time::Instant};

const LOOKUPS: usize = 2_000_000;

#[test]
#[ignore = "measures; run it by hand"]
fn lookups_with_few_functions_and_with_many() {
    let metrics = Metrics::new().unwrap();
    for count in [10, 1_000, 10_000] {
        let functions = (0..count).map(|number| model::named("default", &format!("function-{number}"), &metrics));
        let table = RouteTable::new(functions, Some("fn.example.com"));
        let mut random = StdRng::seed_from_u64(1);
        let asked: Vec<(String, String)> = (0..LOOKUPS / 100)
            .map(|_| random.random_range(0..count))
            .map(|number| (format!("function-{number}.fn.example.com"), format!("/function-{number}/some/path")))
            .collect();
        for (way, host_names) in [("by path", false), ("by host", true)] {
            let started = Instant::now();
            for (host, path) in asked.iter().cycle().take(LOOKUPS) {
                let host = if host_names { host.as_str() } else { "127.0.0.1" };
                let found = table.find(black_box(&Address { host: Some(host), path, authority: None }));
                assert!(black_box(found).is_some());
            }
            println!("{count} functions, {way}: {} ns a lookup", started.elapsed().as_nanos() / LOOKUPS as u128);
        }
    }
}

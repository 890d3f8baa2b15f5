use super::*;
use crate::tenant::TenantLimits;
use proptest::prelude::*;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

fn share(namespace: &str, function: &str, weight: u32) -> Share {
    Share { tenant: Arc::new(Tenant::new(namespace)), function: function.into(), weight }
}

/// Runs `requests`, which never end, on `workers` for `total` of virtual time in turns that take what `turn` says;
/// returns what each used.
fn spin(requests: &[Share], workers: usize, total: Duration, mut turn: impl FnMut() -> Duration) -> Vec<Duration> {
    let mut queue = FairQueue::new();
    for (number, share) in requests.iter().enumerate() {
        queue.push(Ticket::new(share.clone()), number);
    }
    let mut used = vec![Duration::ZERO; requests.len()];
    // Turns under way, by the time at which they end.
    let mut running = BinaryHeap::new();
    let mut turns = HashMap::new();
    let mut now = Duration::ZERO;
    while now < total {
        while running.len() < workers {
            let Some((ticket, number)) = queue.pop() else { break };
            let took = turn();
            running.push(Reverse((now + took, number)));
            turns.insert(number, (ticket, took));
        }
        let Reverse((end, number)) = running.pop().unwrap();
        now = end;
        let (mut ticket, took) = turns.remove(&number).unwrap();
        used[number] += took;
        queue.settle(&mut ticket, took);
        queue.push(ticket, number);
    }
    used
}

fn by<K: Ord>(requests: &[Share], used: &[Duration], key: impl Fn(&Share) -> K) -> BTreeMap<K, Duration> {
    let mut sums = BTreeMap::new();
    for (share, used) in requests.iter().zip(used) {
        *sums.entry(key(share)).or_default() += *used;
    }
    sums
}

fn spread(values: impl Iterator<Item = Duration> + Clone) -> f64 {
    let most = values.clone().max().unwrap().as_secs_f64();
    let least = values.min().unwrap().as_secs_f64();
    (most - least) / most
}

const SECOND: Duration = Duration::from_secs(1);

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Shares are within 10% over a second of virtual time, whatever the number of requests and the length of turns.
    #[test]
    fn functions_share_fairly_whatever_their_requests(
        counts in prop::collection::vec(2usize..60, 2..6),
        workers in 1usize..4,
        lengths in prop::collection::vec(200u64..1500, 16),
    ) {
        let requests: Vec<Share> = counts
            .iter()
            .enumerate()
            .flat_map(|(number, &count)| vec![share("n", &format!("f{number}"), 100); count])
            .collect();
        // With as many workers as there are functions each has one to itself.
        let workers = workers.min(counts.len());
        let mut lengths = lengths.into_iter().cycle();
        let used = spin(&requests, workers, SECOND, || Duration::from_micros(lengths.next().unwrap()));
        let functions = by(&requests, &used, |share| share.function.clone());
        prop_assert!(spread(functions.values().copied()) < 0.1, "{functions:?}");
    }

    #[test]
    fn namespaces_share_fairly_whatever_their_functions(counts in prop::collection::vec(1usize..20, 2..5)) {
        let requests: Vec<Share> = counts
            .iter()
            .enumerate()
            .flat_map(|(number, &count)| {
                (0..count).map(move |function| share(&format!("n{number}"), &format!("f{function}"), 100))
            })
            .collect();
        let used = spin(&requests, 1, SECOND, || TURN);
        let namespaces = by(&requests, &used, |share| share.tenant.name().clone());
        prop_assert!(spread(namespaces.values().copied()) < 0.1, "{namespaces:?}");
    }

    #[test]
    fn weights_of_namespaces_divide_the_time(weights in prop::collection::vec(20u32..500, 2..5)) {
        let of_one = |(number, &weight): (usize, &u32)| {
            let one = share(&format!("n{number}"), "f", 100);
            one.tenant.limit(TenantLimits { cpu_weight: Some(weight), ..TenantLimits::default() });
            // However many requests it has.
            vec![one; 1 + number]
        };
        let requests: Vec<Share> = weights.iter().enumerate().flat_map(of_one).collect();
        let used = spin(&requests, 1, SECOND, || TURN);
        let namespaces = by(&requests, &used, |share| share.tenant.name().clone());
        let per_weight = namespaces.values().zip(&weights).map(|(used, &weight)| *used / weight);
        prop_assert!(spread(per_weight) < 0.1, "{namespaces:?}");
    }

    #[test]
    fn weights_divide_the_time(weights in prop::collection::vec(20u32..500, 2..5)) {
        let requests: Vec<Share> =
            weights.iter().enumerate().map(|(number, &weight)| share("n", &format!("f{number}"), weight)).collect();
        let used = spin(&requests, 1, SECOND, || TURN);
        let per_weight = used.iter().zip(&weights).map(|(used, &weight)| *used / weight);
        prop_assert!(spread(per_weight) < 0.1, "{used:?}");
    }

    /// No request of a function waits for ever: each gets its part.
    #[test]
    fn requests_of_a_function_share_fairly(count in 2usize..100) {
        let requests = vec![share("n", "f", 100); count];
        let used = spin(&requests, 2.min(count - 1), 20 * SECOND, || TURN);
        prop_assert!(spread(used.iter().copied()) < 0.1, "{used:?}");
    }
}

#[test]
fn a_newcomer_is_served_beside_those_who_have_run_for_long() {
    let mut queue = FairQueue::new();
    let mut old = 0;
    queue.push(Ticket::new(share("n", "old", 100)), "old");
    for _ in 0..1000 {
        let (mut ticket, request) = queue.pop().unwrap();
        queue.settle(&mut ticket, TURN);
        queue.push(ticket, request);
    }
    queue.push(Ticket::new(share("n", "new", 100)), "new");
    for _ in 0..100 {
        let (mut ticket, request) = queue.pop().unwrap();
        old += u32::from(request == "old");
        queue.settle(&mut ticket, TURN);
        queue.push(ticket, request);
    }
    assert!((45..=55).contains(&old), "a rest earns no credit, and costs none: {old}");
}

#[test]
fn a_request_that_outlives_its_functions_entry_is_not_punished() {
    let mut queue = FairQueue::new();
    queue.push(Ticket::new(share("n", "f", 100)), "long");
    for _ in 0..5000 {
        let (mut ticket, request) = queue.pop().unwrap();
        queue.settle(&mut ticket, TURN);
        queue.push(ticket, request);
    }
    let (mut ticket, long) = queue.pop().unwrap();
    queue.settle(&mut ticket, TURN);
    // While it waits for something, others come and go, and its function is forgotten.
    for number in 0..4 * RESTING {
        queue.push(Ticket::new(share("n", &format!("f{number}"), 100)), "other");
        let (mut ticket, _) = queue.pop().unwrap();
        queue.settle(&mut ticket, 10 * TURN);
    }
    assert!(queue.namespaces.members["n"].content.functions.members.len() <= 2 * RESTING, "the history is bounded");
    queue.push(Ticket::new(share("n", "f", 100)), "new");
    queue.push(ticket, long);
    let mut turns = 0;
    for _ in 0..100 {
        let (mut ticket, request) = queue.pop().unwrap();
        turns += u32::from(request == "long");
        queue.settle(&mut ticket, TURN);
        queue.push(ticket, request);
    }
    assert!((45..=55).contains(&turns), "{turns}");
}

#[test]
fn turns_given_out_at_once_go_to_different_functions() {
    let mut queue = FairQueue::new();
    for _ in 0..10 {
        queue.push(Ticket::new(share("n", "many", 100)), "many");
    }
    queue.push(Ticket::new(share("n", "one", 100)), "one");
    let mut first = [queue.pop().unwrap().1, queue.pop().unwrap().1];
    first.sort_unstable();
    assert_eq!(first, ["many", "one"]);
    assert_eq!(queue.len(), 9);
}

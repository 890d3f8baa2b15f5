use super::*;
use crate::log_line::Level;

pub(crate) fn call(id: &str, outcome: Outcome) -> Arc<InvocationDetail> {
    let record = InvocationRecord {
        time: Timestamp::UNIX_EPOCH,
        request_id: id.into(),
        namespace: "default".into(),
        function: "f".into(),
        version: 1,
        method: Method::GET,
        path: "/".into(),
        status: 200,
        outcome,
        cpu_us: 0,
        memory_bytes: 0,
        wall_us: 0,
        queued_us: 0,
        cold: false,
        bytes_in: 0,
        bytes_out: 0,
        outbound_requests: 0,
        outbound_bytes: 0,
        error: None,
    };
    Arc::new(InvocationDetail { record, node: "n".into(), stderr: None })
}

fn journal(lines_kept: usize) -> Journal {
    Journal::new(lines_kept, "n".into())
}

#[test]
fn a_failure_is_found_after_a_flood_of_good_calls() {
    let journal = journal(1);
    journal.record(call("failed", Outcome::Trap));
    for number in 0..10 * INVOCATIONS {
        journal.record(call(&format!("good-{number}"), Outcome::Ok));
    }
    assert!(journal.invocation("failed").is_some());
    assert!(journal.invocation("good-0").is_none(), "the rings are bounded");
    let listed = journal.invocations();
    assert_eq!(listed.len(), INVOCATIONS + 1);
    assert_eq!(listed[INVOCATIONS].record.request_id.as_str(), "failed", "newest first");

    for number in 0..10 * INVOCATIONS {
        journal.record(call(&format!("failed-{number}"), Outcome::CpuLimit));
    }
    assert!(journal.invocation("failed").is_none(), "this ring too");
    assert_eq!(journal.invocations().len(), INVOCATIONS + FAILURES);
}

#[test]
fn calls_that_say_much_are_fewer() {
    let journal = journal(1);
    for number in 0..INVOCATIONS {
        let mut call = (*call(&format!("{number}"), Outcome::Trap)).clone();
        call.stderr = Some("x".repeat(CAUSES_BYTES / 10));
        journal.record(Arc::new(call));
    }
    let kept = journal.invocations();
    assert_eq!(kept.len(), 10);
    assert_eq!(kept[0].record.request_id.as_str(), (INVOCATIONS - 1).to_string(), "the latest are kept");
}

#[test]
fn of_one_id_the_latest_call_is_found() {
    let journal = journal(1);
    journal.record(call("same", Outcome::Trap));
    journal.record(call("same", Outcome::Ok));
    assert_eq!(journal.invocation("same").map(|found| found.record.outcome), Some(Outcome::Ok));
}

#[test]
fn keeps_the_end_of_a_text() {
    let mut text = String::new();
    for _ in 0..1000 {
        keep_end(&mut text, "äöü");
    }
    keep_end(&mut text, "last");
    assert!(text.len() <= STDERR_BYTES && text.ends_with("ü\nlast\n"), "{text}");
}

fn line(message: &str) -> LogLine {
    LogLine {
        time: Timestamp::UNIX_EPOCH,
        level: Stream::Stdout.level(),
        stream: Stream::Stdout,
        node: "n".into(),
        namespace: "default".into(),
        function: "f".into(),
        version: 1,
        request_id: "r".into(),
        message: message.into(),
    }
}

fn kept(journal: &Journal, tail: usize) -> Vec<String> {
    journal.follow(tail, &Wanted::default()).0.iter().map(|line| line.message.clone()).collect()
}

#[test]
fn keeps_the_latest_lines() {
    let journal = journal(3);
    for message in ["a", "b", "c", "d"] {
        journal.append(line(message).into());
    }
    assert_eq!(kept(&journal, 10), ["b", "c", "d"]);
    assert_eq!(kept(&journal, 1), ["d"]);
}

#[test]
fn the_tail_is_that_of_the_lines_that_are_wanted() {
    let journal = journal(10);
    for (second, stream, request_id) in
        [(0, Stream::Stdout, "a"), (1, Stream::Stderr, "a"), (2, Stream::Platform, "b"), (3, Stream::Stdout, "b")]
    {
        let time = Timestamp::from_second(second).unwrap();
        let (level, request_id) = (stream.level(), request_id.into());
        journal.append(LogLine { time, level, stream, request_id, ..line(&second.to_string()) }.into());
    }
    let kept = |tail, wanted: Wanted| -> Vec<String> {
        journal.follow(tail, &wanted).0.iter().map(|line| line.message.clone()).collect()
    };
    let since = Timestamp::from_second(1).ok();
    assert_eq!(kept(9, Wanted { since, ..Wanted::default() }), ["1", "2", "3"]);
    assert_eq!(kept(9, Wanted { level: Some(Level::Warn), ..Wanted::default() }), ["1", "2"]);
    assert_eq!(kept(1, Wanted { request_id: Some("a".into()), ..Wanted::default() }), ["1"]);
}

#[test]
fn keeps_a_bounded_number_of_bytes() {
    let journal = journal(1_000_000);
    for _ in 0..10 {
        journal.append(line(&"x".repeat(LOG_BYTES / 4)).into());
    }
    assert_eq!(kept(&journal, 100).len(), 4);
}

#[test]
fn a_follower_misses_nothing_and_sees_nothing_twice() {
    let journal = journal(10);
    journal.append(line("before").into());
    let (tail, mut live) = journal.follow(10, &Wanted::default());
    journal.append(line("after").into());
    assert_eq!(tail.len(), 1);
    assert_eq!(live.try_recv().unwrap().message, "after");
    drop(live);
    journal.append(line("unheard").into());
    assert!(journal.recent().live.is_none(), "it costs nothing when nobody follows");
}

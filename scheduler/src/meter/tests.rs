use super::*;

#[test]
fn hands_over_one_receipt_when_the_last_holder_is_gone() {
    let (tx, rx) = std::sync::mpsc::channel();
    let meter = Meter::new(Duration::from_secs(1), None, move |receipt| tx.send(receipt).unwrap());
    let other = meter.clone();
    meter.end(Some(Failure::NoResponse));
    meter.end(None);
    drop(meter);
    assert!(rx.try_recv().is_err(), "somebody still holds it");
    drop(other);
    assert_eq!(rx.recv().unwrap().outcome(), Outcome::NoResponse, "the first end counts");
    assert!(rx.recv().is_err(), "only one");
}

#[test]
fn an_end_that_nobody_said_is_a_client_that_left() {
    let meter = Meter::for_test(Duration::from_secs(1));
    assert_eq!(meter.receipt().outcome(), Outcome::Cancelled);
}

#[test]
fn charges_work_and_not_waiting() {
    let meter = Meter::for_test(Duration::from_millis(5));
    let slice = Duration::from_millis(1);
    meter.turn(slice, || std::thread::sleep(Duration::from_millis(20)));
    assert!(meter.cpu_used() < Duration::from_millis(5), "sleeping is free: {:?}", meter.cpu_used());
    while meter.turn(slice, || {
        loop {
            match meter.check() {
                Check::GoOn => {}
                other => break other,
            }
        }
    }) == Check::SliceSpent
    {
        assert!(meter.was_preempted() && meter.last_turn() >= slice);
    }
    assert!(meter.cpu_used() >= Duration::from_millis(5));
    meter.stop();
    assert_eq!(meter.turn(slice, || meter.check()), Check::Stopped);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn charges_work_that_is_done_elsewhere() {
    let meter = Meter::for_test(Duration::from_millis(5));
    let spin = async || {
        let started = thread_cpu_ns();
        while thread_cpu_ns() - started < 1_000_000 {}
        tokio::task::yield_now().await;
    };
    let working = meter.clone();
    let work = async move {
        while working.cpu_used() < Duration::from_millis(5) {
            spin().await;
        }
    };
    tokio::spawn(charged(meter.clone(), work)).await.unwrap();
    assert!(meter.receipt().cpu >= Duration::from_millis(5));
}

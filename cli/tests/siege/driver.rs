//! Runs the cases, and watches the server and a neighbour meanwhile.

use std::panic::{self, AssertUnwindSafe};
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use futures::FutureExt;
use reqwest::Method;

use crate::arguments::Arguments;
use crate::case::{Answered, Attack, CannotRun, Case, Ground, OwnServer, PREFIX, armed};
use crate::harness::{Memory, Neighbour, Platform, Served, Server};
use crate::table::{self, Row, Verdict};

/// What a case came to.
pub(crate) struct Course {
    pub(crate) answered: Answered,
    /// Bytes that the server had at most, and by how much that was more than at the start.
    pub(crate) memory: Option<(u64, u64)>,
    pub(crate) neighbour: Option<Result<Served, String>>,
    pub(crate) took: Duration,
}

/// The first panic since it was last taken: what did not hold, and where.
static BROKEN: Mutex<Option<String>> = Mutex::new(None);

fn broken() -> std::sync::MutexGuard<'static, Option<String>> {
    BROKEN.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

pub(crate) fn run(cases: &[Case], arguments: &Arguments) -> ExitCode {
    panic::set_hook(Box::new(|panic| {
        let _ = broken().get_or_insert_with(|| panic.to_string());
    }));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let result =
        runtime.map_err(|error| error.to_string()).and_then(|runtime| runtime.block_on(besiege(cases, arguments)));
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("the siege could not be laid: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What the cases that do not start a server of their own attack.
enum Shared {
    Ours(Box<Platform>),
    Theirs(Server, Option<u32>),
}

impl Shared {
    fn server(&self) -> &Server {
        match self {
            Shared::Ours(platform) => platform,
            Shared::Theirs(server, _) => server,
        }
    }

    fn memory(&self) -> Option<Memory> {
        match self {
            Shared::Ours(platform) => Some(platform.process().memory_of()),
            Shared::Theirs(_, pid) => pid.map(Memory),
        }
    }
}

/// True when every case holds.
async fn besiege(cases: &[Case], arguments: &Arguments) -> Result<bool, String> {
    let shared = match arguments.server()? {
        Some(server) => Shared::Theirs(server, arguments.pid),
        None => Shared::Ours(Box::new(started(&OwnServer::new(&[], false)).await)),
    };
    deploy_neighbour(shared.server()).await;
    table::heading();
    let mut tally = table::Tally::default();
    for case in cases.iter().filter(|case| arguments.only.is_empty() || arguments.only.contains(&case.number)) {
        let verdict = verdict(case, &shared).await;
        table::print(&Row { case, verdict: &verdict });
        let holds = tally.count(case, &verdict);
        if !holds
            && let Shared::Ours(platform) = &shared
            && matches!(case.ground, Ground::Shared(_))
        {
            show_log(platform);
        }
        if !holds && !arguments.keep_going {
            break;
        }
    }
    disarm(shared.server()).await;
    Ok(tally.print())
}

async fn verdict(case: &Case, shared: &Shared) -> Verdict {
    match case.ground {
        Ground::Elsewhere(why) => Verdict::Elsewhere(why),
        Ground::Shared(attack) => {
            let server = shared.server();
            let (watch, server) = (Watch::begin(server, shared.memory()), server);
            judged(case, watch.over(attack(server)).await)
        }
        Ground::Own(..) if matches!(shared, Shared::Theirs(..)) => {
            Verdict::NotRun("it needs a server of its own".to_owned())
        }
        Ground::Own(own, attack) => judged(case, on_own(&own, attack).await),
    }
}

async fn on_own(own: &OwnServer, attack: fn(&mut Platform) -> Attack<'_>) -> Course {
    let began = Instant::now();
    let course = |answered| Course { answered, memory: None, neighbour: None, took: began.elapsed() };
    if let Some(needs) = own.needs
        && !Command::new("/bin/sh").args(["-c", needs]).status().is_ok_and(|status| status.success())
    {
        return course(Err(CannotRun(format!("this machine does not let us `{needs}`"))));
    }
    let made = AssertUnwindSafe(async {
        let platform = started(own).await;
        deploy_neighbour(&platform).await;
        platform
    });
    // What broke is in BROKEN.
    let Ok(mut platform) = made.catch_unwind().await else { return course(Ok(String::new())) };
    let course = if own.alone {
        let answered = caught(attack(&mut platform)).await;
        Course { answered, memory: None, neighbour: None, took: began.elapsed() }
    } else {
        let watch = Watch::begin(&platform, Some(platform.process().memory_of()));
        watch.over(attack(&mut platform)).await
    };
    if broken().is_some() {
        show_log(&platform);
    }
    course
}

fn show_log(platform: &Platform) {
    let end = platform.process().end_of_log();
    if !end.is_empty() {
        println!("\n--- the end of the server's log\n{end}\n---");
    }
}

async fn started(own: &OwnServer) -> Platform {
    let builder = own.settings.iter().fold(Platform::builder(), |builder, setting| builder.arg(*setting));
    let builder = own.after.iter().fold(builder, |builder, commands| builder.after(commands));
    let builder = own.env.iter().fold(builder, |builder, (name, value)| builder.env(name, value));
    builder.start().await
}

/// An answer, where a panic leaves what broke in [`BROKEN`].
async fn caught(attack: Attack<'_>) -> Answered {
    AssertUnwindSafe(attack).catch_unwind().await.unwrap_or_else(|_| Ok(String::new()))
}

fn judged(case: &Case, course: Course) -> Verdict {
    if let Some(broken) = broken().take() {
        return Verdict::Broken(broken, course);
    }
    if let Err(CannotRun(why)) = course.answered {
        return Verdict::NotRun(why);
    }
    if let Some((peak, grown)) = course.memory
        && grown > case.memory_mib << 20
    {
        let (peak, grown, may) = (peak >> 20, grown >> 20, case.memory_mib);
        return Verdict::Broken(
            format!("it took {peak} MiB, {grown} more than before, where {may} are allowed"),
            course,
        );
    }
    match &course.neighbour {
        Some(Err(error)) => Verdict::Broken(error.clone(), course),
        Some(Ok(_)) | None => Verdict::Holds(course),
    }
}

/// What is looked at while a case runs.
struct Watch {
    memory: Option<(Memory, u64)>,
    neighbour: Neighbour,
    began: Instant,
}

impl Watch {
    fn begin(server: &Server, memory: Option<Memory>) -> Self {
        // Not ours to look at, as far as it fails.
        let memory =
            memory.and_then(|memory| memory.forget_peak().and_then(|()| memory.now()).ok().map(|now| (memory, now)));
        let neighbour = Neighbour::calling(server, &format!("/{}/", armed("hello")));
        Self { memory, neighbour, began: Instant::now() }
    }

    async fn over(self, attack: Attack<'_>) -> Course {
        let answered = caught(attack).await;
        let took = self.began.elapsed();
        let peak = self.memory.and_then(|(memory, before)| Some((memory.peak().ok()?, before)));
        let memory = peak.map(|(peak, before)| (peak, peak.saturating_sub(before)));
        let neighbour = self.neighbour;
        let served = tokio::task::spawn_blocking(|| neighbour.served()).await;
        let neighbour = Some(served.unwrap_or_else(|error| Err(error.to_string())));
        Course { answered, memory, neighbour, took }
    }
}

async fn deploy_neighbour(server: &Server) {
    server.deploy("hello").named(&armed("hello")).await;
}

/// Removes what the siege deployed.
async fn disarm(server: &Server) {
    // In the order of names: after this one come those with the prefix.
    let list = server.api(Method::GET, "/functions?after=siege&limit=1000").await.expect(200).json();
    for function in list["functions"].as_array().into_iter().flatten() {
        let name = function["name"].as_str().unwrap_or_default();
        if name.starts_with(PREFIX) {
            server.api(Method::DELETE, &format!("/functions/{name}")).await.expect(204);
        }
    }
}

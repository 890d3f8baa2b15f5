//! The table of what came of the attacks.

use crate::case::Case;
use crate::driver::Course;

pub(crate) enum Verdict {
    Holds(Course),
    /// What did not hold.
    Broken(String, Course),
    /// Why it could not be run here.
    NotRun(String),
    Elsewhere(&'static str),
}

pub(crate) struct Row<'a> {
    pub(crate) case: &'a Case,
    pub(crate) verdict: &'a Verdict,
}

pub(crate) fn heading() {
    println!(
        "{:>4}  {:<11}  {:<46}  {:>16}  {:>16}  {:>6}  {:<8}  answer",
        "case", "by", "attack", "peak memory, MiB", "neighbour", "took", "verdict"
    );
}

pub(crate) fn print(row: &Row<'_>) {
    let Row { case, verdict } = row;
    let (course, word, answer) = match verdict {
        Verdict::Holds(course) => (Some(course), "holds", course.answered.as_deref().unwrap_or_default()),
        Verdict::Broken(why, course) => (Some(course), "BROKEN", first_line(why)),
        Verdict::NotRun(why) => (None, "not run", why.as_str()),
        Verdict::Elsewhere(why) => (None, "elsewhere", *why),
    };
    let took = course.map(|course| format!("{:.1} s", course.took.as_secs_f64())).unwrap_or_default();
    println!(
        "{:>4}  {:<11}  {:<46}  {:>16}  {:>16}  {took:>6}  {word:<8}  {answer}",
        case.number,
        case.by.as_str(),
        case.what,
        memory(course),
        neighbour(course),
    );
    if let Verdict::Broken(why, _) = verdict
        && why.lines().count() > 1
    {
        println!("\n{why}\n");
    }
}

/// The first line, after the one that says where it broke.
fn first_line(why: &str) -> &str {
    why.lines().find(|line| !line.starts_with("panicked at")).unwrap_or(why)
}

fn memory(course: Option<&Course>) -> String {
    let Some(course) = course else { return String::new() };
    if course.neighbour.is_none() {
        return "-".to_owned();
    }
    course.memory.map_or_else(|| "?".to_owned(), |(peak, grown)| format!("{} (+{})", peak >> 20, grown >> 20))
}

fn neighbour(course: Option<&Course>) -> String {
    match course.map(|course| &course.neighbour) {
        None => String::new(),
        Some(None) => "-".to_owned(),
        Some(Some(Err(_))) => "FAILED".to_owned(),
        Some(Some(Ok(served))) => format!("{} / {} ms", served.calls, served.slowest.as_millis()),
    }
}

/// How the cases went, in all.
#[derive(Default)]
pub(crate) struct Tally {
    held: usize,
    broken: Vec<u8>,
    not_run: Vec<u8>,
    elsewhere: Vec<(u8, &'static str)>,
}

impl Tally {
    /// True unless the case does not hold.
    pub(crate) fn count(&mut self, case: &Case, verdict: &Verdict) -> bool {
        match verdict {
            Verdict::Holds(_) => self.held += 1,
            Verdict::Broken(..) => self.broken.push(case.number),
            Verdict::NotRun(_) => self.not_run.push(case.number),
            Verdict::Elsewhere(why) => self.elsewhere.push((case.number, why)),
        }
        !matches!(verdict, Verdict::Broken(..))
    }

    /// True when every case that was run holds.
    pub(crate) fn print(&self) -> bool {
        println!("\n{} of {} cases hold", self.held, self.held + self.broken.len());
        if !self.broken.is_empty() {
            println!("these do not: {:?}", self.broken);
        }
        if !self.not_run.is_empty() {
            println!("not run: {:?}", self.not_run);
        }
        for (number, why) in &self.elsewhere {
            println!("shown elsewhere: {number}, by {why}");
        }
        self.broken.is_empty()
    }
}

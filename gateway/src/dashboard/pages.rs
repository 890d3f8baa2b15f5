//! The pages, one file for each or for a few that belong together.

pub(super) mod access;
pub(super) mod calls;
pub(super) mod deploy;
mod fleet;
pub(super) mod function;
pub(super) mod functions;
pub(super) mod nodes;
pub(super) mod overview;
pub(super) mod settings;
pub(super) mod versions;

use super::assets;
use crate::problem::Problem;
use askama::Template;

/// The page in place of one that there is not.
#[derive(Template)]
#[template(path = "failed.html")]
pub(super) struct Failed<'a> {
    status: u16,
    title: &'static str,
    detail: &'a str,
}

impl<'a> Failed<'a> {
    pub(super) fn of(problem: &'a Problem) -> Self {
        Self { status: problem.status().as_u16(), title: problem.title(), detail: problem.detail() }
    }

    fn asset(&self, name: &str) -> &'static str {
        assets::path(name)
    }
}

/// A moment, for people: how long ago it was, and when exactly.
pub(super) struct When {
    ago: String,
    exactly: String,
    machine: String,
}

impl When {
    pub(super) fn at(time: jiff::Timestamp) -> Self {
        Self { ago: super::units::ago(time), exactly: super::units::moment(time), machine: time.to_string() }
    }
}

//! The commands that talk to a platform, or about this program; one file each.

pub(crate) mod audit;
pub(crate) mod backup;
pub(crate) mod build;
pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod delete;
pub(crate) mod deploy;
pub(crate) mod doctor;
pub(crate) mod invocations;
pub(crate) mod invoke;
pub(crate) mod list;
pub(crate) mod logs;
pub(crate) mod man;
pub(crate) mod namespace;
pub(crate) mod new;
pub(crate) mod nodes;
mod plan;
pub(crate) mod promote;
pub(crate) mod rollback;
pub(crate) mod show;
pub(crate) mod token;
pub(crate) mod trace;
pub(crate) mod traffic;
pub(crate) mod upload;
pub(crate) mod versions;

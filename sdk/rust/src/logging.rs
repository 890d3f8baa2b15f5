//! The crate `log`, on the two streams that the platform reads.

use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::host;

/// The platform gives every line of standard output the level `info` and every line of standard error `warn`.
struct Streams;

impl Log for Streams {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let text = record.args();
        match record.level() {
            Level::Error => host::print_warning(format!("error: {text}\n")),
            Level::Warn => host::print_warning(format!("{text}\n")),
            Level::Info => host::print(format!("{text}\n")),
            Level::Debug => host::print(format!("debug: {text}\n")),
            Level::Trace => host::print(format!("trace: {text}\n")),
        }
    }

    fn flush(&self) {}
}

/// From here on the macros of `log` write; `log::set_max_level` lets more through than `info`.
pub(crate) fn install() {
    // An error says that the function, or a test before, has a logger already.
    if log::set_logger(&Streams).is_ok() {
        log::set_max_level(LevelFilter::Info);
    }
}

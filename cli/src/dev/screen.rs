//! What a developer sees: a line for everything that happens, with a bar below them while a component is on its way.

use std::fmt::Display;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use console::Style;
use indicatif::ProgressBar;
use jiff::Zoned;

/// Standard output, shared by all who have something to say.
#[derive(Clone, Default)]
pub(super) struct Screen(Arc<Mutex<Option<ProgressBar>>>);

/// Columns that the words before each text take.
const LABEL_WIDTH: usize = 9;

impl Screen {
    /// Something goes its way.
    pub(super) fn note(&self, label: &str, text: impl Display) {
        self.line(label, &Style::new().dim(), text);
    }

    /// Something went well.
    pub(super) fn good(&self, label: &str, text: impl Display) {
        self.line(label, &Style::new().green(), text);
    }

    /// Something deserves a look.
    pub(super) fn odd(&self, label: &str, text: impl Display) {
        self.line(label, &Style::new().yellow(), text);
    }

    /// Something failed.
    pub(super) fn bad(&self, label: &str, text: impl Display) {
        self.line(label, &Style::new().red().bold(), text);
    }

    fn line(&self, label: &str, style: &Style, text: impl Display) {
        let text = text.to_string();
        let mut lines = text.trim_end().lines();
        let time = Style::new().dim().apply_to(Zoned::now().strftime("%H:%M:%S").to_string());
        let mut block =
            format!("{time} {} {}\n", style.apply_to(format!("{label:>LABEL_WIDTH$}")), lines.next().unwrap_or(""));
        for line in lines {
            block.push_str(&format!("{:width$}{line}\n", "", width = LABEL_WIDTH + 10));
        }
        let bar = self.bar();
        // Nobody is left to be told when standard output is gone; the session goes on.
        let write = || io::stdout().lock().write_all(block.as_bytes()).unwrap_or_default();
        match &*bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    /// Keeps `bar` below the lines until what is answered is dropped.
    pub(super) fn with_bar(&self, bar: ProgressBar) -> Shown {
        *self.bar() = Some(bar);
        Shown(self.clone())
    }

    fn bar(&self) -> MutexGuard<'_, Option<ProgressBar>> {
        // There is a bar or there is none, whoever panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A bar that is shown.
pub(super) struct Shown(Screen);

impl Drop for Shown {
    fn drop(&mut self) {
        if let Some(bar) = self.0.bar().take() {
            bar.finish_and_clear();
        }
    }
}

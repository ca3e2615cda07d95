//! How far something has come, in one line on a terminal; elsewhere nothing.
//!
//! The line is on standard error, so that results can be piped; it is drawn again only when a hundredth more
//! is done, and wiped away at the end.

use std::io::{self, IsTerminal, Write};

/// Goes to the first column and clears the line.
const REWIND: &str = "\r\x1b[2K";
/// Characters of the bar.
const WIDTH: usize = 30;

/// See the module's documentation.
#[derive(Debug)]
pub struct Bar {
    what: &'static str,
    is_terminal: bool,
    shown: Option<usize>,
}

impl Bar {
    /// A bar for `what` is done.
    #[must_use]
    pub fn new(what: &'static str) -> Self {
        Self { what, is_terminal: io::stderr().is_terminal(), shown: None }
    }

    /// So many of so many are done.
    pub fn show(&mut self, done: usize, total: usize) {
        if self.is_terminal
            && let Some(line) = self.line(done, total)
        {
            write!(io::stderr(), "{REWIND}{line}").unwrap_or_default();
        }
    }

    /// So many thousandths of `what` are done, and what else there is to say of it.
    pub fn tell(&mut self, what: &'static str, permille: usize, detail: &str) {
        self.what = what;
        if self.is_terminal
            && let Some(line) = self.line(permille, 1000)
        {
            write!(io::stderr(), "{REWIND}{line}  {detail}").unwrap_or_default();
        }
    }

    /// Wipes it away.
    pub fn end(&mut self) {
        if self.shown.take().is_some() {
            write!(io::stderr(), "{REWIND}").unwrap_or_default();
        }
    }

    /// The line, if it says something new.
    fn line(&mut self, done: usize, total: usize) -> Option<String> {
        let percent = done.min(total) * 100 / total.max(1);
        if self.shown.replace(percent) == Some(percent) {
            return None;
        }
        let full = percent * WIDTH / 100;
        let (full, rest) = ("#".repeat(full), "-".repeat(WIDTH - full));
        Some(format!("{} [{full}{rest}] {percent:>3} %", self.what))
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_drawn_for_each_hundredth() {
        let mut bar = Bar::new("restoring");
        let half = bar.line(500, 1000).expect("something new");
        assert_eq!(half, "restoring [###############---------------]  50 %");
        assert_eq!(bar.line(501, 1000), None);
        assert!(bar.line(1000, 1000).is_some_and(|line| line.ends_with("] 100 %")));
        assert!(bar.line(0, 0).is_some_and(|line| line.ends_with("]   0 %")));
    }
}

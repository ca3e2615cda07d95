//! Bytes into lines, in bounded memory. Pure.

use crate::decode::RAW_BYTES_MAX;

/// Cuts a stream of bytes into lines.
#[derive(Debug)]
pub(super) struct Lines {
    /// What follows the last line end, or the start of a line that is too long.
    rest: Vec<u8>,
    /// Bytes of the line that `rest` starts: more than it holds where the line is too long.
    size: usize,
    line_bytes_max: usize,
    /// Lines that are complete.
    count: u64,
}

/// A line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line<'l> {
    /// Its bytes, or as many of them as were kept.
    pub(super) bytes: &'l [u8],
    /// How many bytes it has.
    pub(super) size: usize,
    /// Its number, from 1.
    pub(super) number: u64,
}

impl Lines {
    pub(super) fn new(line_bytes_max: usize) -> Self {
        Self { rest: Vec::new(), size: 0, line_bytes_max, count: 0 }
    }

    /// Goes on after `count` lines.
    pub(super) fn after(count: u64, line_bytes_max: usize) -> Self {
        Self { count, ..Self::new(line_bytes_max) }
    }

    /// Bytes taken in since the end of the last complete line.
    pub(super) fn open_bytes(&self) -> usize {
        self.size
    }

    /// How many lines are complete.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Takes in `chunk` and gives every line that is complete.
    pub(super) fn take(&mut self, mut chunk: &[u8], mut give: impl FnMut(Line<'_>)) {
        while let Some(end) = memchr::memchr(b'\n', chunk) {
            let (line, after) = (&chunk[..end], &chunk[end + 1..]);
            self.count += 1;
            if self.size == 0 {
                give(Line { bytes: line, size: line.len(), number: self.count });
            } else {
                self.keep(line);
                give(Line { bytes: &self.rest, size: self.size, number: self.count });
                self.rest.clear();
                self.size = 0;
            }
            chunk = after;
        }
        self.keep(chunk);
    }

    /// The end of the input: gives the line that has no end.
    pub(super) fn finish(&mut self, mut give: impl FnMut(Line<'_>)) {
        if self.size > 0 {
            self.count += 1;
            give(Line { bytes: &self.rest, size: self.size, number: self.count });
            self.rest.clear();
            self.size = 0;
        }
    }

    /// Adds to the line at hand what may still be needed of it.
    fn keep(&mut self, part: &[u8]) {
        self.size += part.len();
        if self.size <= self.line_bytes_max {
            self.rest.extend_from_slice(part);
            return;
        }
        // Too long already: a reject shows its start alone.
        let room = RAW_BYTES_MAX.saturating_sub(self.rest.len());
        self.rest.extend_from_slice(&part[..part.len().min(room)]);
        self.rest.truncate(RAW_BYTES_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(chunks: &[&str], max: usize) -> Vec<(String, usize, u64)> {
        let (mut lines, mut found) = (Lines::new(max), Vec::new());
        let mut give = |line: Line<'_>| {
            let text = String::from_utf8(line.bytes.to_vec()).unwrap();
            found.push((text, line.size, line.number));
        };
        for chunk in chunks {
            lines.take(chunk.as_bytes(), &mut give);
        }
        lines.finish(&mut give);
        found
    }

    #[test]
    fn any_chunks_give_the_same_lines() {
        let text = "first\n\nthird, longer\nlast";
        let whole = lines(&[text], 100);
        let numbers: Vec<_> =
            whole.iter().map(|(text, _, number)| (text.as_str(), *number)).collect();
        assert_eq!(numbers, [("first", 1), ("", 2), ("third, longer", 3), ("last", 4)]);
        for cut in 0..text.len() {
            assert_eq!(lines(&[&text[..cut], &text[cut..]], 100), whole, "{cut}");
        }
        let letters: Vec<String> = text.chars().map(String::from).collect();
        let letters: Vec<&str> = letters.iter().map(String::as_str).collect();
        assert_eq!(lines(&letters, 100), whole);
    }

    #[test]
    fn a_long_line_is_not_held() {
        let part = "x".repeat(RAW_BYTES_MAX / 2 + 7);
        let found = lines(&[&part, &part, &part, "\nnext\n"], RAW_BYTES_MAX + 1);
        assert_eq!(found[0].0.len(), RAW_BYTES_MAX);
        assert_eq!((found[0].1, found[0].2), (part.len() * 3, 1));
        assert_eq!(found[1], ("next".to_owned(), 4, 2));
    }
}

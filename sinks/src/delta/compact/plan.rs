//! What is to be merged next: a pure decision about the files of a table and day.
//!
//! ```text
//! files of cuts ──Sort──► sorted files of a slot or day, small ──Merge──► sorted files of a day, about 128 MiB
//!                 in memory                                      a merge of runs
//! ```
//!
//! 1. A file is touched when **all its cuts are older than `compact_after`**, and so are those that would be merged with
//!    it: a slot (an hour, or `compact_after` where that is shorter) or the day is over for that long. *So no slot is
//!    merged twice, and what changes every minute is left alone.*
//! 2. While the day lasts, the files of a slot's cuts are sorted and merged. When it is over, whatever is left of cuts
//!    is sorted, and then all small sorted files are merged. *A day of minutes is so written three times in all, not
//!    once an hour.*
//! 3. **Nothing is done where fewer than two small files are**, and each work leaves fewer of them: merged files are
//!    rolled at their full size, so at most one is small. *So a second pass finds nothing to do, and a work that is
//!    bounded by what it may take at once comes to its end.*
//! 4. Large files are left as they are, and files that are not named by us: somebody else's compaction made them.
//!
//! A day is a partition, and none is ever crossed.

use plumeline_pipelines::model::time::DAY_MS;

use crate::delta::place::FileName;

/// A file that has grown so large is left alone, bytes: half of what merged files are rolled at.
pub(super) const SMALL_BYTES: u64 = 64 * 1024 * 1024;
/// Files of cuts that are sorted into one version's files at most: a version names them all.
const SORTED_FILES_MAX: usize = 4_096;
/// Sorted files that are merged at once at most: each has a row group in memory.
pub(super) const MERGED_FILES_MAX: usize = 64;
/// The longest slot, ms.
const SLOT_MS_MAX: i64 = 3_600_000;

/// A live file of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) name: FileName,
    /// As the log has it.
    pub(super) path: String,
    pub(super) bytes: u64,
}

/// What to do with some files of a day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// Sort rows of files of cuts, in their order.
    Sort(Vec<Candidate>),
    /// Merge sorted files.
    Merge(Vec<Candidate>),
}

impl Work {
    /// What it is done with.
    pub(super) fn files(&self) -> &[Candidate] {
        let (Self::Sort(files) | Self::Merge(files)) = self;
        files
    }
}

/// When files may be merged.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Ripeness {
    /// How old a file's cuts have to be, ms.
    pub(super) after_ms: i64,
    /// The committed cut, ms: what counts as now.
    pub(super) now_ms: i64,
}

impl Ripeness {
    /// Whether what ends at `end_ms` is old enough.
    fn is_over(self, end_ms: i64) -> bool {
        end_ms.saturating_add(self.after_ms) <= self.now_ms
    }

    /// Whether the day that begins at `start_ms` is.
    pub(super) fn is_day_over(self, start_ms: i64) -> bool {
        self.is_over(start_ms + DAY_MS)
    }

    fn slot_ms(self) -> i64 {
        self.after_ms.clamp(1, SLOT_MS_MAX)
    }

    /// Counts the slots that have become old enough: something may be due when it changes.
    pub(super) fn slots(self) -> i64 {
        (self.now_ms - self.after_ms).div_euclid(self.slot_ms())
    }

    /// The end of the slot that holds an instant of the day that begins at `start_ms`.
    fn slot_end_ms(self, start_ms: i64, ms: i64) -> i64 {
        let slot = (ms - start_ms).div_euclid(self.slot_ms());
        (start_ms + (slot + 1) * self.slot_ms()).min(start_ms + DAY_MS)
    }
}

/// How many files of a day there may be something to do with.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Small {
    cuts: usize,
    sorted: usize,
}

impl Small {
    /// Counts a file.
    pub(super) fn add(&mut self, name: FileName, bytes: u64) {
        match name {
            _ if bytes >= SMALL_BYTES => {}
            FileName::Cut(_) => self.cuts += 1,
            FileName::Merged(_) => self.sorted += 1,
        }
    }

    /// Whether files of such a day are worth a look.
    pub(super) fn is_worth_it(self, is_day_over: bool) -> bool {
        if is_day_over { self.cuts + self.sorted > 1 } else { self.cuts > 1 }
    }
}

/// The next work on the files of the day that begins at `start_ms`; `None` if there is none now.
pub(super) fn plan(start_ms: i64, files: Vec<Candidate>, ripeness: Ripeness) -> Option<Work> {
    let small = files.into_iter().filter(|file| file.bytes < SMALL_BYTES);
    let is_cut = |file: &Candidate| matches!(file.name, FileName::Cut(_));
    let (mut cuts, mut sorted): (Vec<_>, Vec<_>) = small.partition(is_cut);
    // In the order of their cuts, whatever order the log has them in.
    for files in [&mut cuts, &mut sorted] {
        files.sort_by(|a, b| (a.name.first(), &a.path).cmp(&(b.name.first(), &b.path)));
    }
    if ripeness.is_day_over(start_ms) {
        if cuts.len() + sorted.len() < 2 {
            return None;
        }
        if cuts.is_empty() {
            sorted.truncate(MERGED_FILES_MAX);
            return Some(Work::Merge(sorted));
        }
        cuts.truncate(SORTED_FILES_MAX);
        return Some(Work::Sort(cuts));
    }
    let end_ms = |file: &Candidate| ripeness.slot_end_ms(start_ms, file.name.last().ms());
    let mut slots = cuts.chunk_by(|a, b| end_ms(a) == end_ms(b));
    let slot = slots.find(|slot| slot.len() > 1 && ripeness.is_over(end_ms(&slot[0])))?;
    Some(Work::Sort(slot[..slot.len().min(SORTED_FILES_MAX)].to_vec()))
}

#[cfg(test)]
mod tests {
    use plumeline_pipelines::model::{Cause, Tick};

    use super::*;
    use crate::delta::TableName;
    use crate::delta::place::{DataFileName, MergedFileName};

    const HOUR_MS: i64 = 3_600_000;
    const MINUTE_MS: i64 = 60_000;
    /// 2026-01-01T00:00:00Z.
    const DAY: i64 = 1_767_225_600_000;

    fn tick(ms: i64) -> Tick {
        Tick::new(DAY + ms, Cause::Cut)
    }

    fn cut(ms: i64, part: usize) -> Candidate {
        let name = DataFileName { table: TableName::Activity, cut: tick(ms), part, sequence: 0 };
        Candidate { path: name.below_table(), name: FileName::Cut(name), bytes: 1_000 }
    }

    fn merged(first_ms: i64, last_ms: i64, bytes: u64) -> Candidate {
        let (table, first, last) = (TableName::Activity, tick(first_ms), tick(last_ms));
        let name = MergedFileName { table, first, last, sequence: 0 };
        Candidate { path: name.below_table(), name: FileName::Merged(name), bytes }
    }

    fn at(ms: i64) -> Ripeness {
        Ripeness { after_ms: HOUR_MS, now_ms: DAY + ms }
    }

    fn sorted(files: &[Candidate], ms: i64) -> Option<usize> {
        match plan(DAY, files.to_vec(), at(ms)) {
            Some(Work::Sort(files)) => Some(files.len()),
            Some(Work::Merge(files)) => panic!("{files:?}"),
            None => None,
        }
    }

    #[test]
    fn an_hour_is_merged_when_it_is_over_for_an_hour() {
        let files: Vec<_> = (0..90).rev().map(|minute| cut(minute * MINUTE_MS, 0)).collect();
        assert_eq!(sorted(&files, 2 * HOUR_MS - 1), None);
        assert_eq!(sorted(&files, 2 * HOUR_MS), Some(60));
        // What is left of the first hour is what it was merged to.
        let mut left: Vec<_> =
            files.into_iter().filter(|f| f.name.first() >= tick(HOUR_MS)).collect();
        left.push(merged(0, 59 * MINUTE_MS, 60_000));
        assert_eq!(sorted(&left, 2 * HOUR_MS), None);
        assert_eq!(sorted(&left, 3 * HOUR_MS), Some(30));
    }

    #[test]
    fn one_small_file_is_left_alone() {
        assert_eq!(sorted(&[cut(0, 0)], 30 * HOUR_MS), None);
        let (large, small) = (merged(0, 1, SMALL_BYTES), merged(2, 3, 5));
        assert_eq!(plan(DAY, vec![large, small], at(30 * HOUR_MS)), None);
        // Two parts of one cut are two files.
        assert_eq!(sorted(&[cut(0, 0), cut(0, 1)], 2 * HOUR_MS), Some(2));
    }

    #[test]
    fn a_day_that_is_over_is_sorted_and_then_merged() {
        let hours: Vec<_> =
            (0..23).map(|hour| merged(hour * HOUR_MS, hour * HOUR_MS + 9, 9)).collect();
        let mut files = hours.clone();
        files.push(cut(23 * HOUR_MS, 0));
        assert_eq!(sorted(&files, 25 * HOUR_MS - 1), None);
        assert_eq!(sorted(&files, 25 * HOUR_MS), Some(1));
        assert_eq!(plan(DAY, hours.clone(), at(25 * HOUR_MS - 1)), None);
        assert_eq!(plan(DAY, hours.clone(), at(25 * HOUR_MS)), Some(Work::Merge(hours)));
    }

    #[test]
    fn short_slots_end_with_their_day() {
        let ripeness = Ripeness { after_ms: 7 * MINUTE_MS, now_ms: DAY };
        assert_eq!(ripeness.slot_end_ms(DAY, DAY), DAY + 7 * MINUTE_MS);
        assert_eq!(ripeness.slot_end_ms(DAY, DAY + DAY_MS - 1), DAY + DAY_MS);
        assert_eq!(Ripeness { after_ms: 9 * HOUR_MS, ..ripeness }.slot_ms(), HOUR_MS);
    }

    #[test]
    fn what_is_taken_at_once_is_bounded_and_comes_to_an_end() {
        let mut files: Vec<_> = (0..200).map(|index| merged(index, index, 9)).collect();
        let mut works = 0;
        while let Some(work) = plan(DAY, files.clone(), at(30 * HOUR_MS)) {
            assert!(work.files().len() <= MERGED_FILES_MAX && work.files().len() > 1);
            files.retain(|file| !work.files().contains(file));
            files.push(merged(0, 1_000 + works, 9));
            works += 1;
        }
        assert_eq!((works, files.len()), (4, 1));
    }
}

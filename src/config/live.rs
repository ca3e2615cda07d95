//! What may change on a live ledger: what each change of the pipeline file or its tables does to what is booked.
//!
//! A pipeline with a journal goes on from what it has booked. So a change is free where nothing booked depends on it;
//! it restates, where what it would have booked can be computed anew and the difference be booked; and it is refused
//! where the ledger would go on from where it never was. One table says which: the program, the README and the tests
//! (`tests/live.rs`, one a line) all go by it.

/// What a change does.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It takes effect with the next start; what is booked stays.
    Free,
    /// What differs is restated, also below `retain`.
    Restates,
    /// It is refused at the start, with what to do about it.
    Refused(&'static str),
}

/// A line of the table.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The key of the pipeline file, or what else changes.
    pub key: &'static str,
    /// What a change of it does.
    pub change: Change,
    /// That in words.
    pub words: &'static str,
}

const fn line(key: &'static str, change: Change, words: &'static str) -> Line {
    Line { key, change, words }
}

const ANEW: &str = "put the old value back, or begin anew under another name, state_dir and url";

/// The table.
pub const LINES: [Line; 17] = [
    line("workers", Change::Free, "the same entries, whatever their number"),
    line("windows", Change::Free, "the new ones are there once the state is restored"),
    line("listen", Change::Free, "with the next start"),
    line("commit_every", Change::Free, "cuts follow at the new pace"),
    line("rows of tables", Change::Restates, "from their validity on, while the pipeline runs"),
    line(
        "aliases of a meter",
        Change::Restates,
        "what came under a new one within `retain` is booked as the meter's; one that goes takes nothing along",
    ),
    line(
        "timezone",
        Change::Restates,
        "dates in tables mean other instants; `period_date` of what is written from then on",
    ),
    line(
        "name of a source",
        Change::Refused("write `id` under it: its old name, to go on where that was, or a new one"),
        "under another name it would be read anew",
    ),
    line(
        "name",
        Change::Refused("put the old name back, or begin anew under another state_dir and url"),
        "tables belong to a pipeline by its name",
    ),
    line("period", Change::Refused(ANEW), "entries are of periods"),
    line("grace", Change::Refused(ANEW), "when a period was booked cannot be changed"),
    line(
        "longer retain",
        Change::Free,
        "the horizon stands still until the longer one reaches it; windows that begin before it are shown from then on",
    ),
    line("shorter retain", Change::Refused(ANEW), "the journal holds what the old one needs"),
    line(
        "gwp",
        Change::Restates,
        "everything that was booked, with reason `gwp_change`, before the start",
    ),
    line(
        "other sets that `gwp` lists",
        Change::Free,
        "`footprints_by_gwp` shows them as soon as `plumeline views` prints it again",
    ),
    line(
        "semantics_version",
        Change::Restates,
        "everything, with reason `method_change`, where the program before it ended in order",
    ),
    line(
        "url",
        Change::Refused("put the tables where the url says, or begin anew under another state_dir"),
        "the ledger goes on from what is there",
    ),
];

/// What a change of `key` does; refused where nobody has thought about it.
#[must_use]
pub fn change(key: &str) -> Change {
    let line = LINES.iter().find(|line| line.key == key);
    line.map_or(Change::Refused(ANEW), |line| line.change)
}

impl Line {
    /// A row of the table in Markdown.
    #[must_use]
    pub fn row(&self) -> String {
        let Self { key, change, words } = self;
        match change {
            Change::Free => format!("| {key} | free | {words} |"),
            Change::Restates => format!("| {key} | restates | {words} |"),
            Change::Refused(remedy) => format!("| {key} | refused | {words}: {remedy} |"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_says_what_the_program_does() {
        let readme = include_str!("../../README.md");
        for line in LINES {
            assert!(readme.contains(&line.row()), "README.md lacks this row:\n{}", line.row());
        }
    }

    #[test]
    fn what_nobody_has_thought_about_is_refused() {
        assert_eq!(change("workers"), Change::Free);
        assert_eq!(change("timezone"), Change::Restates);
        assert_eq!(change("period"), Change::Refused(ANEW));
        assert_eq!(change("something new"), Change::Refused(ANEW));
    }
}

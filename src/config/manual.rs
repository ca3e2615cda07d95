//! `reference.md` and `example.toml`, printed from the table of keys. A test fails when they are stale;
//! `REWRITE=1 cargo test` prints them anew.

use std::fmt::Write;

use super::catalogue::SECTIONS;
use super::keys::{Absent, Key, Section};
use super::value::described;

/// The manual of the pipeline file.
#[must_use]
pub fn reference() -> String {
    let mut text = String::from(
        "# The pipeline file\n\n<!-- Printed from src/config/catalogue.rs by REWRITE=1 cargo test. -->\n\n\
         TOML. Relative paths are relative to the file. Durations are written `15m`, `1h30m`, `7d` \
         (units `w d h m s ms`),\nsizes `64KiB`, `1MiB`, `10MB`. Unknown keys are errors.\n",
    );
    for section in SECTIONS {
        let title = match section.kind {
            _ if section.header.is_empty() => "The top of the file".into(),
            Some(kind) => format!("`{}` with `type = \"{kind}\"`", section.header),
            None => format!("`{}`", section.header),
        };
        let rows: String = section.keys.iter().map(row).collect();
        let head = "| key | value | without it | |\n|---|---|---|---|\n";
        text.extend(["\n## ", &*title, "\n\n", section.doc, "\n\n", head, &*rows]);
    }
    text
}

fn row(key: &Key) -> String {
    let without = match key.absent {
        Absent::Required => "required".into(),
        Absent::Means(means) => means.into(),
        Absent::Default(literal) => format!("`{literal}`"),
    };
    format!("| `{}` | {} | {without} | {} |\n", key.name, described(key.kind), key.doc)
}

/// A pipeline file with every key there is.
#[must_use]
pub fn example() -> String {
    let mut text = String::from(
        "# Every key of a pipeline file, with its default or an example. Keys that are commented out are\n\
         # optional and have no default. Printed from src/config/catalogue.rs by REWRITE=1 cargo test.\n",
    );
    for section in SECTIONS {
        text.push('\n');
        if !section.header.is_empty() {
            text.extend(["# ", section.doc, "\n", section.header, "\n"]);
        }
        for key in section.keys {
            text.push_str(&line(section, key));
        }
    }
    text
}

fn line(section: &Section, key: &Key) -> String {
    let value = match (key.name, section.kind, key.absent) {
        ("type", Some(kind), _) => format!("\"{kind}\""),
        ("name", Some("kafka"), _) => "\"erp\"".into(),
        ("name", Some("file"), _) => "\"history\"".into(),
        ("properties", ..) => key.example.into(),
        (_, _, Absent::Default(literal)) => literal.into(),
        _ => key.example.into(),
    };
    // TLS and credentials need a broker that has them, and properties one that asks for them.
    let is_off = matches!(key.absent, Absent::Means(_)) && section.header == "[[source]]";
    let is_off = is_off || key.name == "properties";
    let mut line = String::new();
    let first = key.doc.split_once(". ").map_or(key.doc, |(first, _)| first).trim_end_matches('.');
    let off = if is_off { "# " } else { "" };
    write!(line, "{:<38}# {first}", format!("{off}{} = {value}", key.name))
        .expect("a String takes every text");
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn is_current(name: &str, printed: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config").join(name);
        if std::env::var_os("REWRITE").is_some() {
            std::fs::write(&path, printed).unwrap();
        }
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(kept == printed, "src/config/{name} is stale: REWRITE=1 cargo test prints it anew");
    }

    #[test]
    fn the_reference_is_current() {
        is_current("reference.md", &reference());
    }

    #[test]
    fn the_example_is_current_and_a_pipeline_file() {
        is_current("example.toml", &example());
        let file = Path::new("example.toml");
        let pipeline = super::super::parse(file, &example(), &|_| None).unwrap();
        assert_eq!((pipeline.sources.len(), pipeline.warnings.len()), (3, 0));
    }
}

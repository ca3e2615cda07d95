//! `plumeline check` on pipelines that are broken in known ways: its output is a file beside each.
//!
//! `fixtures/check/NAME/pipeline.toml` is checked, and what comes out must be `expected.txt` next to it.
//! `REWRITE=1 cargo test --test check` writes them anew; read the difference before committing it.

use std::path::{Path, PathBuf};

use plumeline::check::check_files;

fn env(name: &str) -> Option<String> {
    (name == "MQTT_PASSWORD").then(|| "canary".into())
}

/// Every folder of `fixtures/check`, by name.
fn cases() -> Vec<PathBuf> {
    let folder = Path::new("fixtures/check");
    let entries = std::fs::read_dir(folder).expect("the fixtures are there");
    let entries = entries.map(|entry| entry.expect("a readable folder").path());
    let mut cases: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    cases.sort();
    assert!(cases.len() >= 8, "the fixtures are there");
    cases
}

#[test]
fn broken_pipelines_are_told_what_to_mend() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut stale = Vec::new();
    for case in cases() {
        let (_, report) = check_files(&case.join("pipeline.toml"), &env);
        let code = report.exit_code();
        let shown = format!("{report}\nexit code {code}\n");
        let shown = shown.replace(&here.display().to_string(), "<here>");
        assert!(!shown.contains("canary"), "{}: a secret is shown", case.display());
        assert_eq!(code, u8::from(!case.ends_with("good")), "{}:\n{shown}", case.display());
        let kept = case.join("expected.txt");
        if std::env::var_os("REWRITE").is_some() {
            std::fs::write(&kept, &shown).unwrap();
        }
        if std::fs::read_to_string(&kept).unwrap_or_default() != shown {
            stale.push(format!("{}:\n{shown}", case.display()));
        }
    }
    assert!(stale.is_empty(), "differs from expected.txt (REWRITE=1):\n{}", stale.join("\n"));
}

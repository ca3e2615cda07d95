//! `plumeline factors list|show|export|import-pact`: published factors that come along, and those of suppliers.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use plumeline::factors;

use super::FactorsLook;
use crate::say;

/// Prints what is asked for.
pub(crate) fn look(look: &FactorsLook) -> Result<ExitCode, String> {
    let told = match look {
        FactorsLook::List { text } => {
            // `list "diesel litre"` means what `list diesel litre` does.
            let words: Vec<String> =
                text.iter().flat_map(|text| text.split_whitespace()).map(str::to_owned).collect();
            factors::list(&words)?
        }
        FactorsLook::Show { key } => factors::show(key)?,
        FactorsLook::Export { names } => factors::export(names)?,
        FactorsLook::ImportPact { files, category, deprecated } => {
            import_pact(files, *category, *deprecated)?
        }
    };
    say(&mut std::io::stdout().lock(), told.trim_end());
    Ok(ExitCode::SUCCESS)
}

/// The table of footprints; what was left out is told beside it.
fn import_pact(files: &[PathBuf], category: u8, deprecated: bool) -> Result<String, String> {
    let documents: Result<Vec<(String, String)>, String> =
        files.iter().map(|file| Ok((file.display().to_string(), read(file)?))).collect();
    let imported = factors::import_pact(&documents?, category, deprecated)?;
    for remark in &imported.remarks {
        say(&mut std::io::stderr().lock(), remark);
    }
    Ok(imported.table)
}

fn read(file: &Path) -> Result<String, String> {
    let unreadable = |error: std::io::Error| {
        format!("{}: cannot be read: {error}; name a JSON document", file.display())
    };
    let size = std::fs::metadata(file).map_err(unreadable)?.len();
    if size > factors::DOCUMENT_BYTES_MAX {
        let most = factors::DOCUMENT_BYTES_MAX;
        return Err(format!("{}: {size} bytes are more than {most}; split it", file.display()));
    }
    std::fs::read_to_string(file).map_err(unreadable)
}

//! `plumeline factors list|show|export`: published factors that come along.

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
    };
    say(&mut std::io::stdout().lock(), told.trim_end());
    Ok(ExitCode::SUCCESS)
}

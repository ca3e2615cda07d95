//! Product footprints of suppliers, as the PACT network exchanges them, as rows of `factors`:
//! `plumeline factors import-pact`.
//!
//! ```text
//! ProductFootprint, one or many ──► fields, each by its path ──► footprint ──► rows of `factors` on stdout
//!                                        └─► problems, all at once    └─► remarks on stderr
//! ```
//!
//! 1. **The document is a footprint, an array of them, or either under `data`**: what the API answers with. Of versions,
//!    2.x and 3.x are read ([`footprint`] says which field is which number).
//! 2. **A number is the text it was written as**, in quotes or without, and never a float. Emissions of 3.x are per
//!    `declaredUnitAmount` and are divided by it: exactly where the quotient is a decimal, else rounded half-even to
//!    1e-18 kg, which is remarked. *A bottle of 12.5 litres is no litre.*
//! 3. **The factor is the product**: the first of `productIds`. Its revision is when the footprint was last updated, as
//!    `YYYYMMDDhhmmss`: a later one wins where both are valid. *A version starts anew with every id, and 3.x has none.*
//! 4. **The scope holds what is emitted, without biogenic CO2**; that is a line outside of scopes, of gas `co2_biogenic`.
//!    Uptake and removals are no emission of a factor: they are remarked, and never make a number smaller.
//! 5. **It holds for its validity period**, whole days of UTC, and without one for three years from the end of its
//!    reference period, as PACT has it. *An instant within an accounting period could not be booked by.*
//! 6. **One mistake, and nothing is printed**: all of them are told with their path and what to write. What is left out on
//!    purpose (deprecated footprints) is remarked.
//!
//! Sources: PACT Technical Specifications 2.3 (`pact-openapi-2.3.0.yaml`) and 3.0 (`spec/v3/openapi.yaml`), WBCSD; what
//! 2.x says of biogenic emissions it does not split into CO2 and other gases.

mod fields;
mod footprint;

use serde_json::value::RawValue;

use self::fields::Json;
use self::footprint::{Footprint, Terms};
use super::row::COLUMNS;

/// The scope 3 category of products, if nothing else is said: purchased goods and services.
pub const DEFAULT_CATEGORY: u8 = 1;
/// Bytes of a document.
pub const DOCUMENT_BYTES_MAX: u64 = 64 << 20;

/// What an import has made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// A `factors` table, without a newline at its end.
    pub table: String,
    /// What was left out or rounded, and why.
    pub remarks: Vec<String>,
}

/// The table of the footprints in `documents`, which are names and texts, for products of `category`; with `deprecated`
/// those that their supplier has replaced are among them.
///
/// # Errors
/// All that is wrong, a line each: the document, the path in it, and what to write.
pub fn import_pact(
    documents: &[(String, String)],
    category: u8,
    deprecated: bool,
) -> Result<Imported, String> {
    let (mut problems, mut remarks, mut lines) = (Vec::new(), Vec::new(), Vec::new());
    for (name, text) in documents {
        let mut terms = Terms { category, problems: Vec::new(), remarks: Vec::new() };
        for json in footprints(text, &mut terms.problems) {
            let Some(footprint) = Footprint::read(&json, &mut terms) else { continue };
            if footprint.is_deprecated && !deprecated {
                let remark = "is deprecated: left out; --deprecated imports it all the same";
                terms.remarks.push(format!("{}: {remark}", json.path));
            } else {
                lines.extend(footprint.lines(&json.path, &mut terms));
            }
        }
        problems.extend(terms.problems.into_iter().map(|problem| format!("{name}: {problem}")));
        remarks.extend(terms.remarks.into_iter().map(|remark| format!("{name}: {remark}")));
    }
    if !problems.is_empty() {
        return Err(problems.join("\n"));
    }
    Ok(Imported { table: table(&lines)?, remarks })
}

/// The footprints of a document, each with its path.
fn footprints<'a>(text: &'a str, problems: &mut Vec<String>) -> Vec<Json<'a>> {
    let root: &'a RawValue = match serde_json::from_str(text.trim_start_matches('\u{feff}')) {
        Ok(root) => root,
        Err(error) => {
            problems.push(format!("$: is no JSON ({error}); write a PACT ProductFootprint"));
            return Vec::new();
        }
    };
    let root = Json { path: "$".to_owned(), raw: root };
    let data = root.fields().ok().and_then(|fields| fields.get("data"));
    let data = data.unwrap_or(root);
    if data.is_array() {
        return data.items();
    }
    vec![data]
}

/// Lines of cells as CSV under the header of `factors`.
fn table(lines: &[[String; COLUMNS.len()]]) -> Result<String, String> {
    let mut writer = csv::WriterBuilder::new().from_writer(Vec::new());
    let unwritten = |error: csv::Error| format!("a row cannot be written: {error}");
    writer.write_record(COLUMNS).map_err(unwritten)?;
    for line in lines {
        writer.write_record(line).map_err(unwritten)?;
    }
    let bytes = writer.into_inner().map_err(|error| error.to_string())?;
    let text = String::from_utf8(bytes).map_err(|error| error.to_string())?;
    Ok(text.trim_end().to_owned())
}

#[cfg(test)]
#[path = "pact_tests.rs"]
mod tests;

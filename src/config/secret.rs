//! Secrets: `${env:NAME}` and `${file:/path}` become values at load, and are never shown again.

use std::path::Path;

use plumeline_connectors::config::Secret;
use thiserror::Error;

/// Bytes of a secret's file; a larger one is no secret but a mistake.
pub const SECRET_BYTES_MAX: usize = 64 * 1024;

/// Why a reference has no value.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SecretError {
    /// The variable is not set.
    #[error("the environment variable `{0}` is not set")]
    NotSet(String),
    /// The file cannot be read.
    #[error("cannot read the secret in `{path}`: {reason}")]
    Unreadable {
        /// Its path.
        path: String,
        /// What the system says.
        reason: String,
    },
    /// Neither `${env:...}` nor `${file:...}`.
    #[error("`${{{0}}}` is no reference")]
    UnknownReference(String),
    /// `${` without `}`.
    #[error("a `${{` is not closed")]
    Unclosed,
}

/// A text with its references replaced, and whether it had any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Resolved {
    /// The value.
    pub(super) value: Secret,
    /// Whether the text held a reference; if not, the secret itself stands in the file.
    pub(super) is_reference: bool,
}

/// Replaces every `${env:NAME}` by a variable and every `${file:PATH}` by a file's text without its last
/// line end; a relative path is relative to `dir`.
///
/// # Errors
/// If a reference is unknown, unclosed, or has no value.
pub(super) fn resolve(
    text: &str,
    dir: &Path,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Resolved, SecretError> {
    let (mut value, mut rest, mut is_reference) = (String::new(), text, false);
    while let Some((before, after)) = rest.split_once("${") {
        let (reference, after) = after.split_once('}').ok_or(SecretError::Unclosed)?;
        value.push_str(before);
        value.push_str(&match reference.split_once(':') {
            Some(("env", name)) => env(name).ok_or_else(|| SecretError::NotSet(name.into()))?,
            Some(("file", path)) => read(&dir.join(path))?,
            _ => return Err(SecretError::UnknownReference(reference.into())),
        });
        (rest, is_reference) = (after, true);
    }
    value.push_str(rest);
    Ok(Resolved { value: Secret::new(value), is_reference })
}

fn read(path: &Path) -> Result<String, SecretError> {
    let unreadable =
        |reason: String| SecretError::Unreadable { path: path.display().to_string(), reason };
    let text = std::fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?;
    if text.len() > SECRET_BYTES_MAX {
        return Err(unreadable(format!("it is larger than {SECRET_BYTES_MAX} bytes")));
    }
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(text.strip_suffix('\r').unwrap_or(text).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(name: &str) -> Option<String> {
        (name == "MQTT_PASSWORD").then(|| "canary".into())
    }

    #[test]
    fn references_are_replaced_and_hidden() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("key"), "from file\n").unwrap();
        let of = |text: &str| resolve(text, dir.path(), &env);
        let found = of("a-${env:MQTT_PASSWORD}-${file:key}").unwrap();
        assert_eq!(found.value.expose(), "a-canary-from file");
        assert!(found.is_reference && !format!("{found:?}").contains("canary"));
        assert!(!of("plain").unwrap().is_reference);
        assert_eq!(of("${env:NONE}"), Err(SecretError::NotSet("NONE".into())));
        assert_eq!(of("${vault:x}"), Err(SecretError::UnknownReference("vault:x".into())));
        assert_eq!(of("${env:X"), Err(SecretError::Unclosed));
        assert!(matches!(of("${file:none}"), Err(SecretError::Unreadable { .. })));
    }
}

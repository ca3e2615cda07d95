//! The text exposition format, 0.0.4: heads, labels, and decimals that never were floats.

use std::fmt::Write;

use super::catalogue::Definition;

/// Decimals of a gram in a balance: balances are in 1e-21 kg.
const GRAM_DECIMALS: usize = 18;
/// Decimals of a joule: 36 of its last one are 1e-21 kWh.
const JOULE_DECIMALS: usize = 16;
/// Decimals of a second in an instant.
const SECOND_DECIMALS: usize = 3;
/// Decimals of a ratio: more than there are meters, so that one of them shows.
const RATIO_DECIMALS: usize = 9;

/// Appends the `# HELP` and `# TYPE` lines.
pub(super) fn write_head(text: &mut String, definition: &Definition) {
    let Definition { name, kind, help, .. } = definition;
    // Writing to a `String` cannot fail.
    writeln!(text, "# HELP {name} {help}\n# TYPE {name} {}", kind.name()).unwrap_or_default();
}

/// A line of a series and its value.
pub(super) fn line(series: &str, value: &str) -> String {
    format!("{series} {value}\n")
}

/// `name{a="x",b="y"}`, values escaped.
pub(super) fn series<'a>(
    definition: &Definition,
    values: impl IntoIterator<Item = &'a str>,
) -> String {
    let mut text = String::from(definition.name);
    for (index, (label, value)) in definition.labels.iter().zip(values).enumerate() {
        text.push(if index == 0 { '{' } else { ',' });
        text.push_str(label);
        text.push_str("=\"");
        for character in value.chars() {
            match character {
                '\\' => text.push_str("\\\\"),
                '"' => text.push_str("\\\""),
                '\n' => text.push_str("\\n"),
                other => text.push(other),
            }
        }
        text.push('"');
    }
    if !definition.labels.is_empty() {
        text.push('}');
    }
    text
}

/// 1e-21 kg as grams, exactly.
pub(super) fn grams(mass: i128) -> String {
    decimal(mass, GRAM_DECIMALS)
}

/// 1e-21 kWh as joules, exactly.
///
/// # Panics
/// Beyond 4e15 kWh, a hundred times what the world uses in a year.
pub(super) fn joules(energy: i128) -> String {
    // A kWh is 3.6e6 J.
    let energy = energy.checked_mul(36).expect("energy of a window is less than the world's");
    decimal(energy, JOULE_DECIMALS)
}

/// ms as seconds, exactly.
pub(super) fn seconds(ms: i64) -> String {
    decimal(ms.into(), SECOND_DECIMALS)
}

/// `part / whole`, rounded down: it is 1 only if nothing is missing. `whole` is not 0.
pub(super) fn ratio(part: u64, whole: u64) -> String {
    let units = i128::from(part) * 10_i128.pow(9) / i128::from(whole);
    decimal(units, RATIO_DECIMALS)
}

fn decimal(value: i128, decimals: usize) -> String {
    let sign = if value < 0 { "-" } else { "" };
    let digits = format!("{:0>width$}", value.unsigned_abs(), width = decimals + 1);
    let (whole, fraction) = digits.split_at(digits.len() - decimals);
    match fraction.trim_end_matches('0') {
        "" => format!("{sign}{whole}"),
        fraction => format!("{sign}{whole}.{fraction}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grams_are_exact() {
        for (mass, text) in [
            (0, "0"),
            (1, "0.000000000000000001"),
            (-1_500_000_000_000_000_000, "-1.5"),
            (10_i128.pow(21), "1000"),
            (i128::MAX, "170141183460469231731.687303715884105727"),
            (i128::MIN, "-170141183460469231731.687303715884105728"),
        ] {
            assert_eq!(grams(mass), text);
        }
        assert_eq!(seconds(1_767_225_600_123), "1767225600.123");
        assert_eq!(joules(10_i128.pow(21)), "3600000");
        assert_eq!(joules(-1), "-0.0000000000000036");
    }

    #[test]
    fn a_ratio_is_1_only_if_nothing_is_missing() {
        for ((part, whole), text) in [
            ((0, 4), "0"),
            ((4, 4), "1"),
            ((1, 2), "0.5"),
            ((2, 3), "0.666666666"),
            ((99_999_999, 100_000_000), "0.99999999"),
            ((9_999_999_999, 10_000_000_000), "0.999999999"),
        ] {
            assert_eq!(ratio(part, whole), text);
        }
    }

    #[test]
    fn label_values_are_escaped() {
        let text = series(&super::super::catalogue::WINDOW_END, ["a\"b\\c\nd"]);
        assert_eq!(text, r#"ghg_window_end_timestamp_seconds{window="a\"b\\c\nd"}"#);
    }
}

//! Decimal numbers exactly as they were written: a mantissa and a power of ten. Never through a float.

use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Significant digits a number may have: what an `i128` always holds.
pub const MAX_DIGITS: usize = 38;
/// Digits after the point a number may have.
pub const MAX_SCALE: u8 = 30;
/// Bytes of a number's text; longer ones are refused unread.
pub const MAX_TEXT: usize = 64;

/// `mantissa * 10^-scale`, normalised: no trailing zero after the point, so equal numbers are equal values.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Decimal {
    mantissa: super::quantity::Wide,
    scale: u8,
}

/// Why a text is not a number we can hold.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DecimalError {
    /// Not a decimal number at all (`nan`, `inf`, `1,5`, an empty text).
    #[error("`{0}` is not a decimal number")]
    NotANumber(String),
    /// More digits than are held exactly.
    #[error("`{0}` has more than {MAX_DIGITS} significant digits or {MAX_SCALE} decimals")]
    TooLong(String),
}

impl Decimal {
    /// Zero.
    pub const ZERO: Self = Self { mantissa: super::quantity::Wide::ZERO, scale: 0 };
    /// One.
    pub const ONE: Self = Self { mantissa: super::quantity::Wide::new(1), scale: 0 };

    /// `mantissa * 10^-scale`, normalised.
    #[must_use]
    pub fn new(mut mantissa: i128, mut scale: u8) -> Self {
        // Almost every number is short, and a division of 64 bits takes a tenth of the time.
        if let Ok(mut short) = i64::try_from(mantissa) {
            while scale > 0 && short % 10 == 0 {
                short /= 10;
                scale -= 1;
            }
            return Self { mantissa: i128::from(short).into(), scale };
        }
        while scale > 0 && mantissa % 10 == 0 {
            mantissa /= 10;
            scale -= 1;
        }
        Self { mantissa: mantissa.into(), scale }
    }

    /// The digits, as one integer.
    #[must_use]
    pub fn mantissa(self) -> i128 {
        self.mantissa.get()
    }

    /// How many of the digits stand behind the point.
    #[must_use]
    pub fn scale(self) -> u8 {
        self.scale
    }

    /// Whether it is below zero.
    #[must_use]
    pub fn is_negative(self) -> bool {
        self.mantissa() < 0
    }

    /// Their product, if it is held exactly.
    #[must_use]
    pub fn times(self, other: Self) -> Option<Self> {
        let mantissa = self.mantissa().checked_mul(other.mantissa())?;
        let product = Self::new(mantissa, self.scale.checked_add(other.scale)?);
        // One more digit than an `i128` always holds is one too many.
        let is_held = product.mantissa().unsigned_abs().to_string().len() <= MAX_DIGITS;
        (is_held && product.scale <= MAX_SCALE).then_some(product)
    }

    /// Reads `12.34`, `-5`, `1e3`, `2.5E-2` exactly.
    ///
    /// # Errors
    /// If the text is no decimal number, or longer than is held exactly; the error names the text.
    pub fn parse(text: &str) -> Result<Self, DecimalError> {
        let short = || text.chars().take(MAX_TEXT).collect::<String>();
        let not_a_number = || DecimalError::NotANumber(short());
        if text.len() > MAX_TEXT {
            return Err(if text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b)) {
                DecimalError::TooLong(short())
            } else {
                not_a_number()
            });
        }
        let (body, exponent) = match text.split_once(['e', 'E']) {
            Some((body, exponent)) => (body, exponent.parse::<i32>().map_err(|_| not_a_number())?),
            None => (text, 0),
        };
        let (negative, digits) = match body.as_bytes().first() {
            Some(b'-') => (true, &body[1..]),
            Some(b'+') => (false, &body[1..]),
            _ => (false, body),
        };
        let (mut mantissa, mut decimals, mut seen, mut point) = (0_i128, 0_i32, 0_usize, false);
        let mut significant = 0_usize;
        for byte in digits.bytes() {
            match byte {
                b'0'..=b'9' => {
                    seen += 1;
                    significant += usize::from(significant > 0 || byte != b'0');
                    if significant > MAX_DIGITS {
                        return Err(DecimalError::TooLong(short()));
                    }
                    mantissa = mantissa * 10 + i128::from(byte - b'0');
                    decimals += i32::from(point);
                }
                b'.' if !point && seen > 0 => point = true,
                _ => return Err(not_a_number()),
            }
        }
        if seen == 0 || digits.ends_with('.') {
            return Err(not_a_number());
        }
        if mantissa == 0 {
            return Ok(Self::ZERO);
        }
        while decimals > 0 && mantissa % 10 == 0 {
            mantissa /= 10;
            decimals -= 1;
        }
        let too_long = || DecimalError::TooLong(short());
        let scale = decimals.checked_sub(exponent).ok_or_else(too_long)?;
        let mantissa = if negative { -mantissa } else { mantissa };
        if scale < 0 {
            let power = 10_i128.checked_pow(scale.unsigned_abs()).ok_or_else(too_long)?;
            return mantissa.checked_mul(power).map(|m| Self::new(m, 0)).ok_or_else(too_long);
        }
        let scale = u8::try_from(scale).ok().filter(|&s| s <= MAX_SCALE).ok_or_else(too_long)?;
        Ok(Self::new(mantissa, scale))
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A total order for use as a key: by mantissa, then scale. It is *not* the numeric order.
impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.mantissa(), self.scale).cmp(&(other.mantissa(), other.scale))
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.is_negative() { "-" } else { "" };
        let digits = self.mantissa().unsigned_abs().to_string();
        let scale = usize::from(self.scale);
        if scale == 0 {
            return write!(f, "{sign}{digits}");
        }
        let digits = format!("{digits:0>width$}", width = scale + 1);
        let (whole, fraction) = digits.split_at(digits.len() - scale);
        write!(f, "{sign}{whole}.{fraction}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_prints_exactly() {
        for (text, shown) in [
            ("12.340", "12.34"),
            ("-0.05", "-0.05"),
            ("1e3", "1000"),
            ("2.5E-2", "0.025"),
            ("0.000", "0"),
            ("-0", "0"),
            ("12345678901234567890", "12345678901234567890"),
            ("0.12345678901234567890", "0.1234567890123456789"),
        ] {
            assert_eq!(Decimal::parse(text).expect(text).to_string(), shown, "{text}");
        }
    }

    #[test]
    fn multiplies_exactly_or_not_at_all() {
        let of = |text: &str| Decimal::parse(text).expect(text);
        let times = |a: &str, b: &str| of(a).times(of(b)).map(|product| product.to_string());
        assert_eq!(times("0.475", "0.2").as_deref(), Some("0.095"));
        assert_eq!(times("0.5", "1").as_deref(), Some("0.5"));
        assert_eq!(times("1e-20", "1e-20"), None);
        assert_eq!(times("1e20", "1e20"), None);
    }

    #[test]
    fn refuses_what_is_no_number_and_names_it() {
        for text in
            ["", "nan", "NaN", "inf", "-inf", "1,5", ".5", "5.", "1e", "0x10", "--1", "1.2.3"]
        {
            let error = Decimal::parse(text).expect_err(text);
            assert_eq!(error, DecimalError::NotANumber(text.into()));
        }
    }

    #[test]
    fn refuses_what_it_cannot_hold() {
        let forty = "1".repeat(40);
        for text in ["1e400", "1e-400", "1e2147483648", forty.as_str()] {
            assert!(Decimal::parse(text).is_err(), "{text}");
        }
    }
}

//! Currencies, and money of a price year.
//!
//! ```text
//! GBP          pounds, at the prices of the time they were spent
//! GBP@2021     pounds, at the prices of 2021: what a spend-based factor is told per
//! ```
//!
//! Each currency at each price year is a family of its own: no constant leads from one to another. What leads there is
//! a fact that can be revised ([`super::super::fact::PriceRow`]).
//!
//! Source: ISO 4217 list one (currencies in use, without funds, metals and test codes), and those of list three that
//! ended since 2015, for what was spent before: BGN, CUC, HRK, SLL, VEF, ZWL.

use std::sync::LazyLock;

/// The first price year there is. EEIO models begin with 1995.
pub const PRICE_YEAR_MIN: u16 = 1990;
/// The last one.
pub const PRICE_YEAR_MAX: u16 = 2099;
/// How many there are.
pub(super) const PRICE_YEARS: usize = 110;
const _: () = assert!((PRICE_YEAR_MAX - PRICE_YEAR_MIN) as usize + 1 == PRICE_YEARS);

/// The currencies by code, in order.
#[rustfmt::skip]
pub(super) const CURRENCIES: [&str; CURRENCY_COUNT] = [
    "AED", "AFN", "ALL", "AMD", "ANG", "AOA", "ARS", "AUD", "AWG", "AZN",
    "BAM", "BBD", "BDT", "BGN", "BHD", "BIF", "BMD", "BND", "BOB", "BRL", "BSD", "BTN", "BWP", "BYN", "BZD",
    "CAD", "CDF", "CHF", "CLP", "CNY", "COP", "CRC", "CUC", "CUP", "CVE", "CZK",
    "DJF", "DKK", "DOP", "DZD", "EGP", "ERN", "ETB", "EUR", "FJD", "FKP",
    "GBP", "GEL", "GHS", "GIP", "GMD", "GNF", "GTQ", "GYD", "HKD", "HNL", "HRK", "HTG", "HUF",
    "IDR", "ILS", "INR", "IQD", "IRR", "ISK", "JMD", "JOD", "JPY",
    "KES", "KGS", "KHR", "KMF", "KPW", "KRW", "KWD", "KYD", "KZT", "LAK", "LBP", "LKR", "LRD", "LSL", "LYD",
    "MAD", "MDL", "MGA", "MKD", "MMK", "MNT", "MOP", "MRU", "MUR", "MVR", "MWK", "MXN", "MYR", "MZN",
    "NAD", "NGN", "NIO", "NOK", "NPR", "NZD", "OMR", "PAB", "PEN", "PGK", "PHP", "PKR", "PLN", "PYG",
    "QAR", "RON", "RSD", "RUB", "RWF",
    "SAR", "SBD", "SCR", "SDG", "SEK", "SGD", "SHP", "SLE", "SLL", "SOS", "SRD", "SSP", "STN", "SVC", "SYP", "SZL",
    "THB", "TJS", "TMT", "TND", "TOP", "TRY", "TTD", "TWD", "TZS", "UAH", "UGX", "USD", "UYU", "UZS",
    "VED", "VEF", "VES", "VND", "VUV", "WST", "XAF", "XCD", "XCG", "XOF", "XPF", "YER", "ZAR", "ZMW", "ZWG", "ZWL",
];
const CURRENCY_COUNT: usize = 162;
/// Bytes of `GBP@2021`.
const SYMBOL_BYTES: usize = 8;

/// `AED@1990AED@1991...`: symbols are slices of it.
static SYMBOLS: LazyLock<String> = LazyLock::new(|| {
    let years = || PRICE_YEAR_MIN..=PRICE_YEAR_MAX;
    let all = CURRENCIES.iter().flat_map(|code| years().map(move |year| format!("{code}@{year}")));
    all.collect()
});

/// How the currency of this number is written at the prices of the `year`-th price year, from 0.
pub(super) fn symbol(currency: usize, year: usize) -> &'static str {
    let start = (currency * PRICE_YEARS + year) * SYMBOL_BYTES;
    &SYMBOLS[start..start + SYMBOL_BYTES]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_in_order_and_each_is_there_once() {
        assert!(CURRENCIES.is_sorted_by(|a, b| a < b));
        assert!(CURRENCIES.iter().all(|code| code.len() == 3));
        assert!(CURRENCIES.iter().all(|code| code.bytes().all(|byte| byte.is_ascii_uppercase())));
    }

    #[test]
    fn each_currency_has_a_symbol_at_each_price_year() {
        assert_eq!(symbol(0, 0), "AED@1990");
        let last = symbol(CURRENCIES.len() - 1, PRICE_YEARS - 1);
        assert_eq!(last, "ZWL@2099");
        assert_eq!(SYMBOLS.len(), CURRENCIES.len() * PRICE_YEARS * SYMBOL_BYTES);
    }
}

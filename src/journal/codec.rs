//! Integers and texts as bytes: LEB128 varints, signed ones zigzagged.

use thiserror::Error;

/// Bytes that are not what was written.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Error)]
#[error("the bytes are torn: {0}")]
pub struct Torn(pub &'static str);

/// Writes.
#[derive(Debug, Default)]
pub(super) struct Out(pub(super) Vec<u8>);

impl Out {
    /// Any count or index.
    pub(super) fn unsigned(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.0.push((value & 0x7f) as u8);
    }

    /// Any difference.
    pub(super) fn signed(&mut self, value: i64) {
        self.unsigned(((value << 1) ^ (value >> 63)).cast_unsigned());
    }

    /// Digits of a decimal: most fit 64 bits, and those that do not come in two halves.
    pub(super) fn wide(&mut self, value: i128) {
        let zigzag = ((value << 1) ^ (value >> 127)).cast_unsigned();
        let half = |bits: u128| u64::try_from(bits & u128::from(u64::MAX)).expect("64 bits");
        let (low, high) = (half(zigzag), half(zigzag >> 64));
        // The lowest bit says whether a second half follows.
        self.unsigned(low >> 63 << 1 | u64::from(high != 0));
        self.unsigned(low & (u64::MAX >> 1));
        if high != 0 {
            self.unsigned(high);
        }
    }

    /// Bytes, after their length.
    pub(super) fn text(&mut self, bytes: &[u8]) {
        self.unsigned(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }
}

/// Reads what [`Out`] wrote.
#[derive(Debug)]
pub(super) struct In<'b>(pub(super) &'b [u8]);

impl<'b> In<'b> {
    #[inline]
    pub(super) fn unsigned(&mut self) -> Result<u64, Torn> {
        // Differences and numbers of names are short: most take a byte.
        if let [byte @ 0..0x80, rest @ ..] = self.0 {
            self.0 = rest;
            return Ok(u64::from(*byte));
        }
        self.long()
    }

    /// A number of several bytes.
    fn long(&mut self) -> Result<u64, Torn> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first().ok_or(Torn("they end too early"))?;
            self.0 = rest;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Torn("a number is too long"))
    }

    pub(super) fn signed(&mut self) -> Result<i64, Torn> {
        let zigzag = self.unsigned()?;
        Ok((zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed())
    }

    pub(super) fn wide(&mut self) -> Result<i128, Torn> {
        let flags = self.unsigned()?;
        let low = self.unsigned()? | flags >> 1 << 63;
        let high = if flags & 1 == 1 { self.unsigned()? } else { 0 };
        let zigzag = u128::from(high) << 64 | u128::from(low);
        Ok((zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed())
    }

    pub(super) fn text(&mut self) -> Result<&'b [u8], Torn> {
        let length = self.length()?;
        let (text, rest) = self.0.split_at_checked(length).ok_or(Torn("they end too early"))?;
        self.0 = rest;
        Ok(text)
    }

    /// A count of things that take at least a byte each.
    pub(super) fn length(&mut self) -> Result<usize, Torn> {
        let length = usize::try_from(self.unsigned()?).map_err(|_| Torn("a length is absurd"))?;
        if length > self.0.len() { Err(Torn("a length is absurd")) } else { Ok(length) }
    }

    /// An unsigned number of a smaller type.
    pub(super) fn small<T: TryFrom<u64>>(&mut self) -> Result<T, Torn> {
        T::try_from(self.unsigned()?).map_err(|_| Torn("a number is too large"))
    }
}

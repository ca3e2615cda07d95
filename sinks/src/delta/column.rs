//! A column of a table: its type in Delta's log, in Arrow and in SQL.

use arrow::datatypes::{DataType, TimeUnit};
use delta_kernel::KernelResult;
use delta_kernel::schema::{DataType as DeltaType, StructField};

/// A column of a table.
#[derive(Copy, Clone, Debug)]
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) is_nullable: bool,
    pub(super) has_statistics: bool,
    /// Tables of earlier programs, and files written by them, do not have it: it is null there.
    pub(super) came_later: bool,
}

impl Column {
    pub(super) fn delta_field(&self) -> KernelResult<StructField> {
        Ok(StructField::new(self.name, self.kind.delta()?, self.is_nullable))
    }
}

/// What a column holds.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Microseconds, UTC.
    Time,
    /// Days.
    Date,
    /// One of few texts: dictionary-coded from the start.
    Name,
    /// One of many texts.
    Text,
    /// 32 bits.
    Int,
    /// 64 bits.
    Long,
    /// True or false.
    Flag,
    /// Bytes.
    Bytes,
    /// A decimal of so many digits, so many of them behind the point.
    Decimal(u8, u8),
}

impl Kind {
    fn delta(self) -> KernelResult<DeltaType> {
        Ok(match self {
            Self::Time => DeltaType::TIMESTAMP,
            Self::Date => DeltaType::DATE,
            Self::Name | Self::Text => DeltaType::STRING,
            Self::Int => DeltaType::INTEGER,
            Self::Long => DeltaType::LONG,
            Self::Flag => DeltaType::BOOLEAN,
            Self::Bytes => DeltaType::BINARY,
            Self::Decimal(precision, scale) => DeltaType::decimal(precision, scale)?,
        })
    }

    pub(super) fn arrow(self) -> DataType {
        match self {
            Self::Time => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::Date => DataType::Date32,
            Self::Name => DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)),
            Self::Text => DataType::Utf8,
            Self::Int => DataType::Int32,
            Self::Long => DataType::Int64,
            Self::Flag => DataType::Boolean,
            Self::Bytes => DataType::Binary,
            Self::Decimal(precision, scale) => {
                DataType::Decimal128(precision, scale.try_into().expect("scales are small"))
            }
        }
    }

    /// Its type in SQL, as `DuckDB` has it.
    pub(super) fn sql(self) -> String {
        match self {
            Self::Time => "TIMESTAMP WITH TIME ZONE".into(),
            Self::Date => "DATE".into(),
            Self::Name | Self::Text => "VARCHAR".into(),
            Self::Int => "INTEGER".into(),
            Self::Long => "BIGINT".into(),
            Self::Flag => "BOOLEAN".into(),
            Self::Bytes => "BLOB".into(),
            Self::Decimal(precision, scale) => format!("DECIMAL({precision},{scale})"),
        }
    }
}

pub(super) const fn key(name: &'static str, kind: Kind) -> Column {
    Column { has_statistics: true, ..plain(name, kind) }
}
pub(super) const fn plain(name: &'static str, kind: Kind) -> Column {
    Column { name, kind, is_nullable: false, has_statistics: false, came_later: false }
}
pub(super) const fn optional(name: &'static str, kind: Kind) -> Column {
    Column { is_nullable: true, ..plain(name, kind) }
}
pub(super) const fn later(name: &'static str, kind: Kind) -> Column {
    Column { came_later: true, ..optional(name, kind) }
}

/// `amount`: 1e-9 of its unit.
pub(super) const AMOUNT: Kind = Kind::Decimal(20, 9);
/// `rate_kg_per_unit`: 1e-12 kg per unit.
pub(super) const RATE: Kind = Kind::Decimal(17, 12);
/// `mass_kg`, `co2e_kg`: 1e-21 kg.
pub(super) const MASS: Kind = Kind::Decimal(38, 21);

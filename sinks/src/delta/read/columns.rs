//! The columns of a batch, whatever wrote it: dictionaries and plain texts, one unit of time or another.

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Int64Type, TimeUnit, TimestampMicrosecondType};
use plumeline_pipelines::model::time::LATEST_MS;

/// See the module's documentation.
pub(super) struct Columns<'b>(pub(super) &'b RecordBatch);

impl Columns<'_> {
    pub(super) fn rows(&self) -> usize {
        self.0.num_rows()
    }

    fn column(&self, name: &'static str, kind: &DataType) -> Result<ArrayRef, String> {
        let column = self.0.column_by_name(name).ok_or_else(|| format!("no column `{name}`"))?;
        cast(column, kind).map_err(|error| format!("column `{name}`: {error}"))
    }

    pub(super) fn texts(&self, name: &'static str) -> Result<Texts, String> {
        let array = self.column(name, &DataType::Utf8)?.as_string::<i32>().clone();
        Ok(Texts { name, array })
    }

    /// Texts of a column that files of earlier programs do not have: null there.
    pub(super) fn later_texts(&self, name: &'static str) -> Result<Texts, String> {
        if self.0.column_by_name(name).is_some() {
            return self.texts(name);
        }
        Ok(Texts { name, array: StringArray::new_null(self.rows()) })
    }

    pub(super) fn numbers(&self, name: &'static str) -> Result<Numbers, String> {
        let array = self.column(name, &DataType::Int64)?.as_primitive::<Int64Type>().clone();
        Ok(Numbers { name, array })
    }

    pub(super) fn flags(&self, name: &'static str) -> Result<BooleanArray, String> {
        Ok(self.column(name, &DataType::Boolean)?.as_boolean().clone())
    }

    /// Instants, ms.
    pub(super) fn times(&self, name: &'static str) -> Result<Times, String> {
        let kind = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let array = self.column(name, &kind)?.as_primitive::<TimestampMicrosecondType>().clone();
        Ok(Times { name, array })
    }

    /// Decimals, in units of the last of `scale` places.
    pub(super) fn decimals(
        &self,
        name: &'static str,
        (precision, scale): (u8, i8),
    ) -> Result<Decimals, String> {
        let kind = DataType::Decimal128(precision, scale);
        let array = self.column(name, &kind)?.as_primitive::<Decimal128Type>().clone();
        Ok(Decimals { name, array })
    }
}

/// A column of texts.
pub(super) struct Texts {
    name: &'static str,
    array: StringArray,
}

impl Texts {
    pub(super) fn get(&self, row: usize) -> Option<&str> {
        (!self.array.is_null(row)).then(|| self.array.value(row))
    }

    pub(super) fn at(&self, row: usize) -> Result<&str, String> {
        self.get(row).ok_or_else(|| format!("column `{}` is null", self.name))
    }

    /// What `parse` makes of the text.
    pub(super) fn parsed<T>(
        &self,
        row: usize,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, String> {
        let text = self.at(row)?;
        parse(text).ok_or_else(|| format!("column `{}` says `{text}`", self.name))
    }

    /// The same, where it may be null.
    pub(super) fn optional<T>(
        &self,
        row: usize,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, String> {
        self.get(row).map(|_| self.parsed(row, parse)).transpose()
    }
}

/// A column of whole numbers.
pub(super) struct Numbers {
    name: &'static str,
    array: Int64Array,
}

impl Numbers {
    pub(super) fn at<T: TryFrom<i64>>(&self, row: usize) -> Result<T, String> {
        let number = (!self.array.is_null(row)).then(|| self.array.value(row));
        let number = number.ok_or_else(|| format!("column `{}` is null", self.name))?;
        T::try_from(number).map_err(|_| format!("column `{}` says {number}", self.name))
    }
}

/// A column of instants.
pub(super) struct Times {
    name: &'static str,
    array: TimestampMicrosecondArray,
}

impl Times {
    /// In ms, from 1970 to the end of all validities.
    pub(super) fn at(&self, row: usize) -> Result<i64, String> {
        let micros = (!self.array.is_null(row)).then(|| self.array.value(row));
        let is_known =
            |micros: &i64| micros % 1000 == 0 && (0..=LATEST_MS).contains(&(micros / 1000));
        let micros = micros.filter(is_known);
        let micros =
            micros.ok_or_else(|| format!("column `{}` is no instant of ours", self.name))?;
        Ok(micros / 1000)
    }
}

/// A column of decimals.
pub(super) struct Decimals {
    name: &'static str,
    array: Decimal128Array,
}

impl Decimals {
    pub(super) fn get(&self, row: usize) -> Option<i128> {
        (!self.array.is_null(row)).then(|| self.array.value(row))
    }

    pub(super) fn at(&self, row: usize) -> Result<i128, String> {
        self.get(row).ok_or_else(|| format!("column `{}` is null", self.name))
    }
}

//! Rows of a Parquet file as the JSON objects that the decoder reads.
//!
//! Its columns are the fields of an object, as those of a CSV file are: each value as Arrow writes it (instants as
//! RFC 3339 says, decimals to their last digit); a null says nothing. Memory holds one batch of rows, and what the
//! reader needs of a row group's columns.

use std::fmt::Write;

use arrow::array::Array;
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::errors::ParquetError;
use parquet::file::reader::ChunkReader;

use super::table::{end, say};

/// Rows that are decoded, and handed over, at a time.
const BATCH_ROWS: usize = 8_192;

/// See the module's documentation.
pub(super) struct Rows {
    batches: ParquetRecordBatchReader,
    /// Rows that were read, or passed over.
    row: u64,
    total: u64,
}

impl Rows {
    /// The rows of `file` but for the first `skipped`.
    pub(super) fn open<F: ChunkReader + 'static>(
        file: F,
        skipped: u64,
    ) -> Result<Self, ParquetError> {
        let builder = ParquetRecordBatchReaderBuilder::try_new(file)?;
        let total = u64::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);
        let offset = usize::try_from(skipped).unwrap_or(usize::MAX);
        let batches = builder.with_offset(offset).with_batch_size(BATCH_ROWS).build()?;
        Ok(Self { batches, row: skipped, total })
    }

    /// How many rows were read, and how many there are.
    pub(super) fn progress(&self) -> (u64, u64) {
        (self.row, self.total)
    }

    /// Hands out the rows of the next batch, with their numbers from 1; `false` after the last.
    pub(super) fn next(&mut self, mut give: impl FnMut(u64, &[u8])) -> Result<bool, ArrowError> {
        let Some(batch) = self.batches.next().transpose()? else { return Ok(false) };
        let options = FormatOptions::new();
        let schema = batch.schema();
        let columns = schema.fields().iter().zip(batch.columns()).map(|(field, column)| {
            Ok((field.name().as_str(), column, ArrayFormatter::try_new(column, &options)?))
        });
        let columns = columns.collect::<Result<Vec<_>, ArrowError>>()?;
        let (mut json, mut cell) = (Vec::new(), String::new());
        for row in 0..batch.num_rows() {
            json.clear();
            for (name, column, cells) in &columns {
                if !column.is_null(row) {
                    cell.clear();
                    // Writing to a `String` cannot fail; what cannot be shown is refused by the decoder.
                    write!(cell, "{}", cells.value(row)).unwrap_or_default();
                    say(name, cell.as_bytes(), &mut json);
                }
            }
            end(&mut json);
            self.row += 1;
            give(self.row, &json);
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        ArrayRef, Decimal128Array, Float64Array, Int64Array, RecordBatch, StringArray,
        TimestampMillisecondArray,
    };
    use bytes::Bytes;
    use parquet::arrow::ArrowWriter;

    use super::*;

    fn objects(file: &Bytes, skipped: u64) -> Vec<(u64, String)> {
        let mut rows = Rows::open(file.clone(), skipped).unwrap();
        let mut found = Vec::new();
        while rows
            .next(|row, json| found.push((row, String::from_utf8(json.to_vec()).unwrap())))
            .unwrap()
        {}
        assert_eq!(rows.progress(), (2, 2));
        found
    }

    #[test]
    fn a_row_is_an_object_of_what_it_says() {
        let decimals = Decimal128Array::from(vec![Some(1_250), None]);
        let columns: [(&str, ArrayRef); 6] = [
            ("meter", Arc::new(StringArray::from(vec!["m-1", "m \"2\""]))),
            (
                "observed_at",
                Arc::new(
                    TimestampMillisecondArray::from(vec![1_767_225_600_123, 0])
                        .with_timezone("UTC"),
                ),
            ),
            ("value", Arc::new(Float64Array::from(vec![Some(1.5), None]))),
            ("exact", Arc::new(decimals.with_precision_and_scale(20, 3).unwrap())),
            ("unit", Arc::new(StringArray::from(vec![None, Some("kWh")]))),
            ("version", Arc::new(Int64Array::from(vec![7, 8]))),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let mut file = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut file, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        let file = Bytes::from(file);
        let first = r#"{"meter":"m-1","observed_at":"2026-01-01T00:00:00.123Z","value":"1.5","exact":"1.250","version":7}"#;
        let second =
            r#"{"meter":"m \"2\"","observed_at":"1970-01-01T00:00:00Z","unit":"kWh","version":8}"#;
        let rows = [(1, first.to_owned()), (2, second.to_owned())];
        assert_eq!(objects(&file, 0), rows);
        assert_eq!(objects(&file, 1), rows[1..], "numbers are those of the file");
    }

    #[test]
    fn what_is_no_parquet_is_refused() {
        assert!(Rows::open(Bytes::from_static(b"meter,value\n"), 0).is_err());
    }
}

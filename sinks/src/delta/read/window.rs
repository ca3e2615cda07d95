//! Rows of some of a merged file's cuts.

use arrow::array::{AsArray, BooleanArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowPredicateFn, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder, RowFilter,
};
use parquet::errors::Result;
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::statistics::Statistics;
use plumeline_pipelines::model::Tick;

/// The column that tells cuts apart.
const RECORDED_AT: &str = "recorded_at";
/// The column of `rejects` that holds what was refused.
const PAYLOAD: &str = "raw";
/// Rows that are decoded at a time.
const BATCH_ROWS: usize = 8_192;

/// Cuts from one on, and before another.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) from: Tick,
    pub(super) end: Tick,
}

impl Window {
    /// Every cut.
    pub(super) const ALL: Self = Self { from: Tick::ZERO, end: Tick(u64::MAX) };

    /// Whether it holds a cut.
    pub(super) fn holds(self, cut: Tick) -> bool {
        self.from <= cut && cut < self.end
    }

    /// The first and last instants, in microseconds, that its cuts may have: a cut is later than other ticks of its
    /// instant, so both ends may hold some that are not its own.
    fn micros(self) -> (i64, i64) {
        (self.from.ms().saturating_mul(1000), self.end.ms().saturating_mul(1000))
    }

    /// Whether a row group may hold rows of its cuts.
    fn may_be_in(self, group: &RowGroupMetaData, column: Option<usize>) -> bool {
        let statistics = column.and_then(|column| group.column(column).statistics());
        let Some(Statistics::Int64(bounds)) = statistics else { return true };
        let (from, to) = self.micros();
        bounds.max_opt().is_none_or(|max| *max >= from)
            && bounds.min_opt().is_none_or(|min| *min <= to)
    }
}

/// The rows of a file that are of a window's cuts, and perhaps a few of its neighbours.
pub(super) fn rows_in(file: Bytes, window: Window) -> Result<ParquetRecordBatchReader> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(file)?.with_batch_size(BATCH_ROWS);
    // Payloads are large, and nobody asks for them.
    let leaves = builder.parquet_schema();
    let is_read = |leaf: &usize| leaves.column(*leaf).name() != PAYLOAD;
    let read = ProjectionMask::leaves(leaves, (0..leaves.num_columns()).filter(is_read));
    let builder = builder.with_projection(read);
    if window == Window::ALL {
        return builder.build();
    }
    let columns = builder.parquet_schema().columns();
    let place = columns.iter().position(|column| column.name() == RECORDED_AT);
    let groups = builder.metadata().row_groups().iter().enumerate();
    let groups = groups.filter(|(_, group)| window.may_be_in(group, place)).map(|(index, _)| index);
    let groups: Vec<usize> = groups.collect();
    let mask = ProjectionMask::columns(builder.parquet_schema(), [RECORDED_AT]);
    let (from, to) = window.micros();
    let is_in = ArrowPredicateFn::new(mask, move |batch| {
        // As another writer may have them.
        let kind = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let times = cast(batch.column(0), &kind)?;
        let times = times.as_primitive::<TimestampMicrosecondType>();
        Ok(BooleanArray::from_unary(times, |micros| from <= micros && micros <= to))
    });
    let filter = RowFilter::new(vec![Box::new(is_in)]);
    builder.with_row_groups(groups).with_row_filter(filter).build()
}

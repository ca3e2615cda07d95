//! Columns that came later: a table of an earlier program is given them when it is opened to be written.

use std::sync::Arc;

use delta_kernel::committer::FileSystemCommitter;
use delta_kernel::schema::StructField;
use delta_kernel::transaction::{
    CommitResult, UpdateTableOperation, UpdateTableTransactionBuilder,
};

use super::{ENGINE_INFO, Engine, LakeError, TableLog, load};

impl TableLog {
    /// See [`super::TableName::missing`].
    pub(super) fn missing(&self) -> Result<Option<Vec<StructField>>, LakeError> {
        let missing = self.table.missing(&self.snapshot.schema());
        missing.map_err(LakeError::log(self.table, "make the schema"))
    }

    /// Gives a table of an earlier program the columns that came since: null in the rows it has.
    pub(super) fn add_columns(&mut self, engine: &Engine) -> Result<(), LakeError> {
        let missing = self.missing()?.unwrap_or_default();
        if missing.is_empty() {
            return Ok(());
        }
        let table = self.table;
        let operation = UpdateTableOperation::AlterTable;
        let builder = Arc::clone(&self.snapshot).update_table(operation, ENGINE_INFO, false);
        let builder = missing.into_iter().fold(builder, UpdateTableTransactionBuilder::add_column);
        let outcome = builder
            .build(&*engine.kernel, Box::new(FileSystemCommitter::new()))
            .and_then(|transaction| transaction.commit(&*engine.kernel));
        match outcome {
            // Whoever added them: it is read next.
            Ok(CommitResult::Committed(_) | CommitResult::Conflicted(_)) => {}
            Ok(CommitResult::Retryable(retryable)) => {
                return Err(LakeError::log(table, "add columns")(retryable.error));
            }
            Err(error) => return Err(LakeError::log(table, "add columns")(error)),
        }
        self.snapshot = load(engine, table)?;
        self.check_ownership()
    }
}

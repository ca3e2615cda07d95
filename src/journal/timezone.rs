//! In which timezone dates of tables were read: they are instants in the journal, and rows are known by them.

use super::db::Db;
use super::{Journal, JournalError, Reader};

/// The timezone in which dates of tables are read, and in which they were before, in `meta`.
pub(crate) const TIMEZONE: &str = "timezone";
const TIMEZONE_BEFORE: &str = "timezone_before";

/// The timezone in which dates of tables were read before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimezoneBefore {
    /// Its IANA name.
    pub name: String,
    /// Nobody has read them in the one that counts now.
    pub is_new: bool,
}

impl TimezoneBefore {
    /// In which timezone dates were read before they are in `is`, if it ever was another.
    fn of(db: &Db, is: &str) -> Result<Option<Self>, JournalError> {
        let was = db.meta(TIMEZONE)?.filter(|was| was != is);
        let is_new = was.is_some();
        let name = was.map_or_else(|| db.meta(TIMEZONE_BEFORE), |was| Ok(Some(was)))?;
        Ok(name.map(|name| Self { name, is_new }))
    }
}

impl Journal {
    /// Notes in which timezone dates of tables are read; says in which they were before, if it ever was another.
    ///
    /// # Errors
    /// If the journal cannot be written.
    pub fn change_timezone(&self, is: &str) -> Result<Option<TimezoneBefore>, JournalError> {
        self.write(|db| {
            let before = TimezoneBefore::of(db, is)?;
            if let Some(before) = before.as_ref().filter(|before| before.is_new) {
                db.set_meta(TIMEZONE_BEFORE, &before.name)?;
            }
            db.set_meta(TIMEZONE, is)?;
            Ok(before)
        })
    }
}

impl Reader {
    /// In which timezone dates of tables were read before they are in `is`, if it ever was another.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub fn timezone_before(&self, is: &str) -> Result<Option<TimezoneBefore>, JournalError> {
        TimezoneBefore::of(&self.db, is)
    }
}

//! `plumeline report lock`: decides whether a report may be locked, and puts it down.

use plumeline_pipelines::model::{Cause, Tick};
use plumeline_sinks::delta::Reports;

use super::ReportError;
use super::document::{Lock, instant};
use super::figures::Threshold;
use super::ledger::Ledger;
use super::locks::Locks;
use super::span::Span;

/// What is to be locked.
#[derive(Clone, Debug)]
pub struct Order {
    /// The node.
    pub company: String,
    /// Its days.
    pub span: Span,
    /// The zone they are told in.
    pub timezone: String,
    /// As of when, ms; `None`: as of the newest commit.
    pub as_of_ms: Option<i64>,
    /// When it was authorised for issue, ms; `None`: at the as-of.
    pub signed_off_ms: Option<i64>,
    /// From which change on it is restated.
    pub threshold: Threshold,
    /// Whether it is the company's base year from now on.
    pub base_year: bool,
    /// Who locks it.
    pub by: String,
    /// What else there is to say.
    pub note: String,
    /// Whether it may be unfinished.
    pub may_be_unfinished: bool,
}

/// What was locked, or would be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Locked {
    /// The lock.
    pub lock: Lock,
    /// The company's base year, where that is another lock.
    pub base_year: Option<String>,
}

/// What decides whether it may be locked.
#[derive(Copy, Clone, Debug)]
struct Facts {
    committed_ms: i64,
    as_of_ms: i64,
    signed_off_ms: i64,
    /// The newest entry until the as-of.
    newest_ms: Option<i64>,
    /// When the last period of the days is booked.
    settled_ms: i64,
    /// When the last month or year is matched that contracts cover as a whole and that holds some of the days.
    matched_ms: Option<i64>,
    /// Rows that waited to be restated.
    pending: usize,
}

/// Locks a report, or only says what would be locked.
///
/// # Errors
/// If it must not be locked, or the ledger cannot be used.
pub fn lock(ledger: &Ledger, order: &Order, is_dry_run: bool) -> Result<Locked, ReportError> {
    let locks = Locks::of_ledger(ledger)?;
    let committed_ms = ledger.committed.ms();
    let as_of_ms = order.as_of_ms.unwrap_or(committed_ms);
    let signed_off_ms = order.signed_off_ms.unwrap_or(as_of_ms);
    let newest = ledger.newest_gwp(as_of_ms)?;
    let policy = &ledger.policy;
    let matched = ledger.matched((&order.company, &order.span), as_of_ms)?;
    let facts = Facts {
        committed_ms,
        as_of_ms,
        signed_off_ms,
        newest_ms: newest.map(|(cut, _)| cut.ms()),
        settled_ms: policy.settles_ms(policy.period_of(order.span.to_ms - 1)),
        matched_ms: matched.at_ms,
        pending: ledger.pending(matched.reach, as_of_ms)?,
    };
    in_order(&facts)?;
    let unfinished = finished(&order.span.name(), &facts).err();
    let is_unfinished = unfinished.is_some();
    if let Some(why) = unfinished.filter(|_| !order.may_be_unfinished) {
        return Err(why);
    }
    let totals = ledger.totals((&order.company, &order.span), as_of_ms)?;
    let company = ledger.names.intern(&order.company);
    let at = Tick::new(as_of_ms.max(0), Cause::Cut);
    if totals.0.is_empty() && !ledger.forest()?.knows(company, at) {
        return Err(ReportError::UnknownNode(order.company.clone()));
    }
    let last = locks.newest(&order.company, &order.span);
    let base = locks.base_year(&order.company).map(Lock::label);
    let lock = Lock {
        pipeline: ledger.pipeline().to_owned(),
        company: order.company.clone(),
        number: last.map_or(1, |last| last.number + 1),
        span: order.span.clone(),
        timezone: order.timezone.clone(),
        as_of_ms,
        signed_off_ms,
        threshold: order.threshold,
        base_year: order.base_year,
        supersedes: base.clone().filter(|_| order.base_year),
        unfinished: is_unfinished,
        by: order.by.clone(),
        note: order.note.clone(),
        gwp: newest.map_or(policy.gwp, |(_, set)| set),
        totals,
    };
    if let Some(last) = last.filter(|last| last.says_the_same(&lock)) {
        return Err(ReportError::Same(last.label()));
    }
    if !is_dry_run && !Reports::open(ledger.url())?.put(&lock.name(), &lock.to_json())? {
        return Err(ReportError::Taken(lock.label()));
    }
    let base_year = base.filter(|_| !lock.base_year);
    Ok(Locked { lock, base_year })
}

/// As-of, commit and sign-off follow each other.
fn in_order(facts: &Facts) -> Result<(), ReportError> {
    let Facts { committed_ms, as_of_ms, signed_off_ms, .. } = *facts;
    let as_of = instant(as_of_ms);
    if as_of_ms > committed_ms {
        return Err(ReportError::AfterCommit { as_of, committed: instant(committed_ms) });
    }
    if as_of_ms > signed_off_ms {
        return Err(ReportError::AfterSignOff { as_of, signed_off: instant(signed_off_ms) });
    }
    Ok(())
}

/// All of the period was booked at the as-of, and nothing of it waited.
fn finished(period: &str, facts: &Facts) -> Result<(), ReportError> {
    let Facts { committed_ms, as_of_ms, newest_ms, settled_ms, matched_ms, pending, .. } = *facts;
    let period = period.to_owned();
    let [as_of, settled] = [as_of_ms, settled_ms].map(instant);
    if as_of_ms < settled_ms {
        return Err(ReportError::NotOver { period, as_of, settled });
    }
    if let Some(matched_ms) = matched_ms.filter(|ms| as_of_ms < *ms) {
        return Err(ReportError::NotMatched { period, as_of, matched: instant(matched_ms) });
    }
    // What settles is booked by the next cut: the newest one is one, and one that has entries.
    let due_ms = matched_ms.map_or(settled_ms, |matched_ms| settled_ms.max(matched_ms));
    let is_booked = as_of_ms == committed_ms || newest_ms.is_some_and(|ms| ms >= due_ms);
    if !is_booked {
        return Err(ReportError::NotBooked { period, as_of, settled });
    }
    if pending > 0 {
        return Err(ReportError::Pending { period, as_of, rows: pending });
    }
    Ok(())
}

impl std::fmt::Display for Locked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { lock, base_year } = self;
        let Lock { company, supersedes, .. } = lock;
        let [as_of, signed_off] = [lock.as_of_ms, lock.signed_off_ms].map(instant);
        let label = lock.label();
        write!(f, "{company} {label}: as of {as_of}, signed off {signed_off}")?;
        for line in super::lines::lines(&lock.totals, &lock.totals) {
            write!(f, "\n  {:<40} {:>18}", line.name, super::figures::tonnes(line.then))?;
        }
        if lock.unfinished {
            write!(f, "\nit is unfinished: what is booked later is in its restatement list")?;
        }
        match (lock.base_year, supersedes, base_year) {
            (true, Some(old), _) => {
                write!(f, "\nit is the base year of {company} from now on, and {old} is no more")
            }
            (true, None, _) => write!(f, "\nit is the base year of {company}"),
            (false, _, Some(base)) if base.starts_with(&format!("{}-", lock.span.name())) => {
                write!(
                    f,
                    "\n{base} stays the base year of {company}: write --base-year to have it be this one"
                )
            }
            (false, _, _) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOUND: Facts = Facts {
        committed_ms: 500,
        as_of_ms: 400,
        signed_off_ms: 450,
        newest_ms: Some(350),
        settled_ms: 300,
        matched_ms: None,
        pending: 0,
    };

    #[test]
    fn a_report_is_as_of_what_is_known_before_it_is_signed() {
        assert!(in_order(&SOUND).is_ok());
        assert!(in_order(&Facts { as_of_ms: 500, signed_off_ms: 500, ..SOUND }).is_ok());
        let late = in_order(&Facts { as_of_ms: 501, signed_off_ms: 600, ..SOUND }).unwrap_err();
        assert!(matches!(late, ReportError::AfterCommit { .. }), "{late}");
        let signed = in_order(&Facts { signed_off_ms: 399, ..SOUND }).unwrap_err();
        assert!(matches!(signed, ReportError::AfterSignOff { .. }), "{signed}");
    }

    #[test]
    fn a_period_is_finished_once_it_is_over_booked_and_restated() {
        let why = |facts: Facts| finished("2025", &facts).unwrap_err().to_string();
        assert!(finished("2025", &SOUND).is_ok());
        assert!(why(Facts { as_of_ms: 299, ..SOUND }).starts_with("2025 is not over at"));
        assert!(why(Facts { newest_ms: Some(299), ..SOUND }).contains("it is not known"));
        assert!(why(Facts { newest_ms: None, ..SOUND }).contains("it is not known"));
        let newest = Facts { newest_ms: None, committed_ms: 400, ..SOUND };
        assert!(finished("2025", &newest).is_ok(), "the newest commit has booked it");
        let unmatched = Facts { matched_ms: Some(SOUND.as_of_ms + 1), ..SOUND };
        assert!(why(unmatched).contains("contracts that match by the month or the year"));
        let matched = Facts { matched_ms: Some(350), ..SOUND };
        assert!(finished("2025", &matched).is_ok());
        assert!(why(Facts { newest_ms: Some(349), ..matched }).contains("it is not known"));
        assert!(why(Facts { pending: 3, ..SOUND }).contains("3 rows"));
    }
}

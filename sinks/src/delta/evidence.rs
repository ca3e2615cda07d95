//! SQL of the view `evidence`: from an entry of `emissions` to the readings it rests on.
//!
//! ```text
//! readings ─ what was news ─▶ readings_news ─┐
//! meters ── the row that held ───────────────┼─▶ of each instant what held, as of the entry ─▶ spans that meet its period
//! emissions ─ recorded_at, period, subject ──┘                                                  └─▶ count, ends, hash
//! ```
//!
//! 1. **As of the entry's `recorded_at`**: rows recorded later are not looked at, and a correction that came later changes
//!    nothing. *So an entry and the one that corrects it each show their own.*
//! 2. **Of an instant holds what was said last**: the highest version, and in it what was not said before; a null takes back.
//!    That is the rule of `pipelines::lineage::holding_readings`.
//! 3. **A reading stands for a span**: what it says itself; the interval of its meter's row, on the side of its stamp; and
//!    where neither is there, of registers and powers, all between its neighbours, the last power as long as it is held.
//!    *So of a register both ends of a period are shown, however far away.*
//! 4. **The hash is MD5 over lines in the order of instants**: meter, from and to in ms since 1970, value as sent, unit
//!    as sent or nothing, version, with a space between them. Anybody can compute it; it finds damage, not forgery.
//!
//! It is a view: nothing is stored, and nothing can differ from what is. It costs a join of entries with all readings of
//! their meters: ask for one subject and period. An entry that a restatement below the horizon made was computed from
//! what was known at its `known_at` (table `restatements`), which may be a little before its `recorded_at`.

/// The views. They need those of the tables.
pub(super) const EVIDENCE: &str = "
-- Readings and activities that said something new: not of an older version, and not said before in their own. A null takes back.
CREATE OR REPLACE VIEW readings_news AS
  SELECT * EXCLUDE (nth) FROM (
    SELECT *, row_number() OVER (PARTITION BY meter, observed_to, said_version, value, unit, observed_at
                                 ORDER BY number) AS nth
    FROM (SELECT *, CASE WHEN value IS NULL AND version = 0 THEN max(version) OVER said ELSE version END AS said_version
          FROM readings WINDOW said AS (PARTITION BY meter, observed_to ORDER BY number)))
  WHERE nth = 1 OR value IS NULL;

-- What each entry of `emissions` rests on. `calc_id` leads on to `lineage`: the versions of its factor.
CREATE OR REPLACE VIEW evidence AS
  WITH entries AS (
    SELECT DISTINCT recorded_at, subject, subject_kind, period_start, period_end FROM emissions
  ), rows_of_meters AS (
    SELECT e.*, arg_max({'kind': m.kind, 'stamp': m.stamp, 'length': TRY_CAST(m.interval AS INTERVAL),
                         'hold': TRY_CAST(m.max_hold AS INTERVAL),
                         'factor': m.factor, 'revision': m.revision}, m.revision) AS meter
    FROM entries e JOIN meters m ON m.meter = e.subject AND m.recorded_at <= e.recorded_at AND NOT m.withdrawn
     AND m.valid_from <= e.period_start AND m.valid_to > e.period_start
    WHERE e.subject_kind = 'meter' AND NOT EXISTS (
      SELECT 1 FROM meters w WHERE w.withdrawn AND w.meter = m.meter AND w.revision = m.revision
         AND w.valid_from = m.valid_from AND w.learned_at >= m.learned_at AND w.recorded_at <= e.recorded_at)
    GROUP BY ALL
  ), holding AS (
    SELECT e.*, n.observed_to AS heard_at,
           arg_max({'since': n.observed_at, 'value': n.value, 'unit': n.unit, 'version': n.version},
                   CAST(n.said_version AS HUGEINT) * 10000000000000000000 + n.number) AS said
    FROM rows_of_meters e JOIN readings_news n ON n.meter = e.subject AND n.recorded_at <= e.recorded_at
    GROUP BY ALL
  ), spans AS (
    SELECT *, CASE WHEN said.since < heard_at THEN said.since
                   WHEN meter.kind <> 'interval' OR meter.length IS NULL THEN lag(heard_at) OVER entry
                   WHEN meter.stamp = 'start' THEN heard_at ELSE heard_at - meter.length END AS span_from,
           CASE WHEN said.since < heard_at THEN heard_at
                WHEN meter.kind = 'power' THEN coalesce(lead(heard_at) OVER entry, heard_at + meter.hold)
                WHEN meter.kind <> 'interval' OR meter.length IS NULL THEN lead(heard_at) OVER entry
                WHEN meter.stamp = 'start' THEN heard_at + meter.length ELSE heard_at END AS span_to
    FROM holding WHERE said.value IS NOT NULL
    WINDOW entry AS (PARTITION BY recorded_at, subject, period_start, period_end ORDER BY heard_at)
  ), behind AS (
    SELECT recorded_at, subject, subject_kind, period_start, period_end, meter.factor AS asked_factor,
           meter.revision AS meter_revision, count(*) AS readings, min(heard_at) AS first_at, max(heard_at) AS last_at,
           md5(string_agg(concat_ws(' ', subject, epoch_ms(said.since), epoch_ms(heard_at), said.value,
                                    coalesce(said.unit, ''), said.version), chr(10) ORDER BY heard_at)) AS readings_md5
    FROM spans
    WHERE coalesce(span_from, heard_at) < period_end AND coalesce(span_to, heard_at) > period_start
    GROUP BY ALL
    UNION ALL
    SELECT e.*, d.factor, NULL, 1, d.observed_at, d.observed_to,
           md5(concat_ws(' ', d.activity, epoch_ms(d.observed_at), epoch_ms(d.observed_to), d.value, d.unit, d.version))
    FROM entries e JOIN activity_data d ON d.activity = e.subject AND d.recorded_at <= e.recorded_at
    WHERE e.subject_kind = 'activity'
    QUALIFY row_number() OVER (PARTITION BY e.recorded_at, e.subject, e.period_start
                               ORDER BY d.version DESC, d.number DESC) = 1 AND d.value IS NOT NULL
  )
  SELECT e.recorded_at, e.period_start, e.period_end, e.node, e.subject, e.subject_kind, e.scope, e.category, e.method,
         e.gas, e.unit, e.co2e_kg, e.reason, e.calc_id, e.factor, e.factor_revision, b.asked_factor,
         b.asked_factor <> e.factor AS is_fallback, b.meter_revision,
         coalesce(b.readings, 0) AS readings, b.first_at, b.last_at, b.readings_md5
  FROM emissions e LEFT JOIN behind b USING (recorded_at, subject, subject_kind, period_start, period_end);
";

//! A `DuckDB` script that reads the lake as of one consistent instant T.
//!
//! ```text
//! activity's txn ──► T ──► each table: the exact list of its live files, rows recorded up to T ──► views
//! ```
//!
//! 1. `activity` is read first: it commits last, so every table read after it has all rows up to its T.
//! 2. Files are listed from the log. A glob over the folder would count what unfinished commits left, and
//!    after a compaction everything twice.
//! 3. Rows recorded after T are left out, for a table may be ahead of T.
//! 4. `footprints_by_gwp` shows the sets that the pipeline lists, and no other: one that nobody asked for would be one
//!    more row for each, and whoever sums without looking at `gwp_set` would count it. `gwp100` has them all.
//! 5. A table without files is an empty view with the right types, so that a query never breaks on a
//!    young lake.
//!
//! `recorded_date` is computed from `recorded_at` rather than taken from folders: that is its definition,
//! and it holds for files that somebody's OPTIMIZE put elsewhere.

use std::fmt::Write;

use plumeline_pipelines::model::{Decimal, Gas, GwpSet, Tick};

use super::engine::Engine;
use super::error::LakeError;
use super::evidence::EVIDENCE;
use super::lake::LakeConfig;
use super::log::TableLog;
use super::place::{FileName, Place};
use super::table::{PARTITION, TableName};

/// Prints the script: a view for each table, `evidence`, `footprint_location`, `footprint_market`, `corrections`, `lineage`, `gwp100`,
/// `footprints_by_gwp`, and the table macros `as_known_on(date)`, `as_known_at(instant)`, `changes_since(date)`, `restated_since(date)`.
///
/// `as_of_ms` (Unix time) cuts the ledger by `recorded_at`; at most, and by default, it is the cut that
/// all tables have.
///
/// # Errors
/// If the lake cannot be read, or is another pipeline's.
pub fn views_script(config: &LakeConfig, as_of_ms: Option<i64>) -> Result<String, LakeError> {
    script(&Engine::new(Place::open(&config.url)?)?, config, as_of_ms)
}

pub(super) fn script(
    engine: &Engine,
    config: &LakeConfig,
    as_of_ms: Option<i64>,
) -> Result<String, LakeError> {
    let owner = config.owner();
    let activity = TableLog::find(engine, TableName::Activity, &owner)?;
    let committed_ms = activity.as_ref().and_then(TableLog::committed).map(Tick::ms);
    let until_ms = committed_ms.map(|ms| as_of_ms.map_or(ms, |as_of| as_of.min(ms)));
    let mut script = head(engine, config, until_ms);
    // Their order in the script is the other way round, for readers: the ledger comes first.
    for table in TableName::ALL.into_iter().rev() {
        let other = match table {
            TableName::Activity => None,
            _ => TableLog::find(engine, table, &owner)?,
        };
        let log = if table == TableName::Activity { activity.as_ref() } else { other.as_ref() };
        let files = match (log, until_ms) {
            (Some(log), Some(until_ms)) => files(engine, table, log, until_ms)?,
            _ => Vec::new(),
        };
        write_view(&mut script, table, &files, until_ms);
    }
    script.push_str(EVIDENCE);
    script.push_str(&potentials());
    script.push_str(DERIVED);
    script.push_str(&by_gwp(config));
    Ok(script)
}

fn files(
    engine: &Engine,
    table: TableName,
    log: &TableLog,
    until_ms: i64,
) -> Result<Vec<String>, LakeError> {
    let is_reached =
        |path: &str| FileName::parse(table, path).is_none_or(|name| name.first().ms() <= until_ms);
    let paths = log.live_files(engine, is_reached)?;
    Ok(paths.iter().map(|path| engine.place.reader_path(table, path)).collect())
}

fn head(engine: &Engine, config: &LakeConfig, until_ms: Option<i64>) -> String {
    let until = until_ms.map_or_else(|| "nothing is committed yet".into(), instant);
    let mut script = format!(
        "-- The ledger of pipeline {}, for DuckDB. As of: {until}\n\
         -- The list of files is exact for that instant: print the script again to see more.\n",
        config.pipeline.escape_debug()
    );
    if engine.place.root.scheme() == "s3" {
        script.push_str(
            "INSTALL httpfs; LOAD httpfs; INSTALL aws; LOAD aws;\n\
             CREATE OR REPLACE SECRET plumeline (TYPE s3, PROVIDER credential_chain);\n",
        );
    }
    script
}

fn write_view(script: &mut String, table: TableName, files: &[String], until_ms: Option<i64>) {
    let has_files = !files.is_empty();
    let columns = table.columns().iter().map(|column| match (has_files, column.name) {
        (true, PARTITION) => {
            format!("CAST(make_timestamp(epoch_us(recorded_at)) AS DATE) AS {PARTITION}")
        }
        (true, name) => format!("\"{name}\""),
        (false, name) => format!("CAST(NULL AS {}) AS \"{name}\"", column.kind.sql()),
    });
    let columns = columns.collect::<Vec<_>>().join(",\n    ");
    let source = match until_ms.filter(|_| has_files) {
        Some(until_ms) => {
            let files: Vec<_> = files.iter().map(|file| format!("    {}", quoted(file))).collect();
            let (files, until) = (files.join(",\n"), instant(until_ms));
            // Files of earlier programs lack columns that came later: an empty relation has them.
            let later = table.columns().iter().filter(|column| column.came_later);
            let later = later.map(|c| format!("CAST(NULL AS {}) AS \"{}\"", c.kind.sql(), c.name));
            let later = later.collect::<Vec<_>>().join(", ");
            let source = if later.is_empty() {
                format!("read_parquet([\n{files}\n  ], hive_partitioning = false)")
            } else {
                let all = "hive_partitioning = false, union_by_name = true";
                format!(
                    "(FROM read_parquet([\n{files}\n  ], {all})\n  UNION ALL BY NAME \
                     SELECT {later} WHERE false)"
                )
            };
            format!("FROM {source}\n  WHERE recorded_at <= TIMESTAMPTZ '{until}'")
        }
        None => "WHERE false".into(),
    };
    // Writing to a `String` cannot fail.
    write!(script, "\nCREATE OR REPLACE VIEW {table} AS\n  SELECT\n    {columns}\n  {source};\n")
        .unwrap_or_default();
}

/// ISO 8601, UTC, with an offset that every session reads alike.
fn instant(ms: i64) -> String {
    let at = jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::MAX);
    at.strftime("%Y-%m-%d %H:%M:%S%.3f+00").to_string()
}

/// A path as SQL text that names one file, also where it holds what `DuckDB` reads as a pattern.
fn quoted(path: &str) -> String {
    let mut text = String::from("'");
    for character in path.chars() {
        match character {
            '\'' => text.push_str("''"),
            '*' | '?' | '[' => {
                text.push('[');
                text.push(character);
                text.push(']');
            }
            other => text.push(other),
        }
    }
    text.push('\'');
    text
}

const DERIVED: &str = "
-- Balances: sums of entries. `mass_kg` is null for gas `co2e`, whose mass nobody published.
-- Every level of the tree has rows of its own: sum over one node, never over all.
CREATE OR REPLACE VIEW footprint_location AS
  SELECT period_start, period_end, period_date, node, depth, scope, category, gas,
         sum(mass_kg) AS mass_kg, sum(co2e_kg) AS co2e_kg
  FROM footprints WHERE method IN ('any', 'location') GROUP BY ALL;

CREATE OR REPLACE VIEW footprint_market AS
  SELECT period_start, period_end, period_date, node, depth, scope, category, gas,
         sum(mass_kg) AS mass_kg, sum(co2e_kg) AS co2e_kg
  FROM footprints WHERE method IN ('any', 'market') GROUP BY ALL;

-- Footprints as they were known at the end of a day (UTC): FROM as_known_on(DATE '2026-01-31').
CREATE OR REPLACE MACRO as_known_on(day) AS TABLE
  SELECT period_start, period_end, period_date, node, depth, scope, category, method, gas,
         sum(mass_kg) AS mass_kg, sum(co2e_kg) AS co2e_kg
  FROM footprints WHERE recorded_date <= CAST(day AS DATE) GROUP BY ALL;

-- The same, as known at an instant: FROM as_known_at(TIMESTAMPTZ '2026-01-31 12:00:00+00').
CREATE OR REPLACE MACRO as_known_at(instant) AS TABLE
  SELECT period_start, period_end, period_date, node, depth, scope, category, method, gas,
         sum(mass_kg) AS mass_kg, sum(co2e_kg) AS co2e_kg
  FROM footprints WHERE recorded_at <= CAST(instant AS TIMESTAMPTZ) GROUP BY ALL;

-- What was recorded after the end of a day (UTC): as_known_on(day) and this add up to what is known.
CREATE OR REPLACE MACRO changes_since(day) AS TABLE
  SELECT recorded_at, period_start, period_end, period_date, node, depth, scope, category, method, gas,
         sum(mass_kg) AS mass_kg, sum(co2e_kg) AS co2e_kg
  FROM footprints WHERE recorded_date > CAST(day AS DATE) GROUP BY ALL;

-- Why: the entries behind such changes, by subject and factor.
CREATE OR REPLACE MACRO restated_since(day) AS TABLE
  SELECT recorded_at, period_date, node, subject, scope, category, method, gas, factor,
         factor_revision, reason, sum(mass_kg) AS mass_kg, sum(co2e_kg) AS co2e_kg
  FROM emissions WHERE reason <> 'booked' AND recorded_date > CAST(day AS DATE) GROUP BY ALL;

-- What an entry corrects: what was booked of its subject, period and line before, why and when, and what it is since.
CREATE OR REPLACE VIEW corrections AS
  SELECT recorded_at, period_start, period_end, node, subject, scope, category, method, gas, factor, reason,
         co2e_kg AS change_kg,
         lag(recorded_at) OVER line AS corrects_recorded_at, lag(reason) OVER line AS corrects_reason,
         sum(co2e_kg) OVER line - co2e_kg AS before_kg, sum(co2e_kg) OVER line AS after_kg
  FROM emissions
  WINDOW line AS (PARTITION BY period_start, node, subject, scope, category, method, gas
                  ORDER BY recorded_at, reason, factor, factor_revision, co2e_kg ROWS UNBOUNDED PRECEDING);

-- From a calc_id to what a number rests on: the calculation with its constants, each rate rounded half-even to 1e-12, and
-- the rows of `factors` it was made from. Of a printed total that counts, the rows of its gases; a rate that blends two
-- years shows the later one. `formula` says where more went into a rate than that row; `explain` shows all of it.
CREATE OR REPLACE VIEW lineage AS
  SELECT DISTINCT e.calc_id, e.factor, e.factor_revision, e.scope, e.category, e.method, e.gas,
         e.unit, e.rate_kg_per_unit, e.gwp, g.potential,
         concat(f.kg_per_unit, ' kg', CASE WHEN e.gas <> 'co2e' THEN ' CO2e / ' || p.potential END,
                ' per ', f.unit,
                CASE WHEN e.gas = 'co2e' AND f.published_gwp IS NOT NULL AND EXISTS (
                  FROM factors part WHERE part.factor = f.factor AND part.revision = f.revision
                   AND part.scope = f.scope AND part.category = f.category AND part.method = f.method
                   AND part.gas NOT IN ('co2e', 'cfe_kwh', 'load_kwh') AND NOT part.withdrawn) THEN ' less its gases' END,
                CASE WHEN EXISTS (FROM series s WHERE s.factor = f.factor AND s.vintage = 'blended' AND NOT s.withdrawn)
                  THEN ', by days with the year beside it,' END,
                CASE WHEN EXISTS (FROM prices m WHERE m.\"to\" = f.unit AND f.unit <> e.unit AND NOT m.withdrawn)
                  THEN ', by prices,' END,
                ' = ', e.rate_kg_per_unit, ' kg per ', e.unit,
                CASE WHEN e.scope > 0 THEN ', x ' || g.potential || ' = kg CO2e' END) AS formula,
         f.kg_per_unit AS published_kg, f.unit AS published_unit, f.published_gwp,
         p.potential AS published_potential, f.status, f.change,
         f.valid_from, f.valid_to, f.source, f.learned_at
  FROM emissions e LEFT JOIN factors f
    ON f.factor = e.factor AND f.revision = e.factor_revision AND f.scope = e.scope
   AND f.category = e.category AND f.method = e.method AND f.gas = e.gas AND NOT f.withdrawn
  LEFT JOIN gwp100 g ON g.gas = e.gas AND g.gwp_set = e.gwp
  LEFT JOIN gwp100 p ON p.gas = e.gas AND p.gwp_set = f.published_gwp
  WHERE e.calc_id <> '';

-- Energy that contracts cover, hour by hour (UTC), where it was used: of each contract, and what none covers.
CREATE OR REPLACE VIEW matching AS
  SELECT time_bucket(INTERVAL 1 HOUR, period_start) AS hour, node,
         CASE WHEN subject_kind = 'contract' THEN subject END AS contract,
         sum(amount) FILTER (subject_kind = 'contract') AS covered_kwh,
         sum(amount) FILTER (subject_kind = 'uncovered') AS uncovered_kwh
  FROM activity WHERE subject_kind IN ('contract', 'uncovered') GROUP BY ALL;

-- The score of carbon-free energy by node and hour: sum(cfe_kwh) / sum(load_kwh) over any hours. Gases `cfe_kwh` and
-- `load_kwh` are energy, kWh in the column of kg.
CREATE OR REPLACE VIEW carbon_free AS
  SELECT period_start, period_end, period_date, node, depth,
         sum(mass_kg) FILTER (gas = 'load_kwh') AS load_kwh,
         coalesce(sum(mass_kg) FILTER (gas = 'cfe_kwh'), 0) AS cfe_kwh
  FROM footprints WHERE gas IN ('cfe_kwh', 'load_kwh') GROUP BY ALL
  HAVING sum(mass_kg) FILTER (gas = 'load_kwh') > 0;

-- Contracts and certificates that count for nothing, with the quality criterion that has no evidence.
CREATE OR REPLACE VIEW excluded_contracts AS
  SELECT contract AS instrument, valid_from, valid_to, revision,
         concat_ws(', ', CASE WHEN conveys IS NULL THEN 'conveys' END, CASE WHEN sole IS NULL THEN 'sole' END,
                   CASE WHEN retired IS NULL THEN 'retired' END, CASE WHEN vintage IS NULL THEN 'vintage' END,
                   CASE WHEN market IS NULL THEN 'market' END) AS unproven
  FROM contracts WHERE NOT withdrawn
    AND (conveys IS NULL OR sole IS NULL OR retired IS NULL OR vintage IS NULL OR market IS NULL)
  UNION ALL
  SELECT certificate, valid_from, valid_to, revision, 'retired' FROM certificates
  WHERE NOT withdrawn AND retired IS NULL;
";

/// CO2e in each set that the pipeline lists.
fn by_gwp(config: &LakeConfig) -> String {
    let sets = std::iter::once(&config.policy.gwp).chain(&config.also_gwp);
    let sets: Vec<String> = sets.map(|set| format!("'{}'", set.name())).collect();
    format!(
        "
-- CO2e in the sets of potentials that the pipeline lists, from masses; of gas `co2e`, whose mass nobody published, as it
-- was published. `co2e_kg` of the tables is in the first. It rounds a rate where these round none: they may differ in the
-- twelfth decimal of a rate.
CREATE OR REPLACE VIEW footprints_by_gwp AS
  SELECT period_start, period_end, period_date, node, depth, scope, category, method, gas, gwp_set,
         sum(CASE WHEN mass_kg IS NULL OR scope = 0 THEN co2e_kg ELSE mass_kg * potential END) AS co2e_kg
  FROM footprints JOIN gwp100 USING (gas) WHERE gwp_set IN ({}) GROUP BY ALL;
",
        sets.join(", ")
    )
}

/// The potentials of all gases in all sets, kg CO2e a kg.
fn potentials() -> String {
    let gases = Gas::ALL.iter().filter(|gas| !gas.is_energy());
    let rows = gases.flat_map(|gas| GwpSet::ALL.map(|set| (*gas, set)));
    let row = |(gas, set): (Gas, GwpSet)| {
        let potential = Decimal::new(gas.gwp_tenths(set).into(), 1);
        format!("  ('{}', '{}', CAST({potential} AS DECIMAL(7,1)))", gas.name(), set.name())
    };
    let rows = rows.map(row).collect::<Vec<_>>().join(",\n");
    format!(
        "\n-- Potentials over 100 years, kg CO2e a kg.\nCREATE OR REPLACE VIEW gwp100 AS\n  \
         SELECT * FROM (VALUES\n{rows}\n  ) AS t(gas, gwp_set, potential);\n"
    )
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Memory, config, cut, write_everything};
    use super::*;

    #[test]
    fn a_lake_that_is_not_there_has_empty_typed_views() {
        let memory = Memory::new();
        let engine = Engine::new(memory.place()).expect("an engine");
        let script = script(&engine, &config("memory:///lake"), None).expect("a script");
        assert!(script.contains("As of: nothing is committed yet"));
        assert_eq!(script.matches("WHERE false;").count(), TableName::ALL.len());
        assert!(script.contains("CAST(NULL AS DECIMAL(38,21)) AS \"co2e_kg\""), "{script}");
    }

    #[test]
    fn the_sets_that_are_listed_are_shown() {
        let engine = Engine::new(Memory::new().place()).expect("an engine");
        let mut config = config("memory:///lake");
        let shown = |config: &LakeConfig| script(&engine, config, None).expect("a script");
        assert!(shown(&config).contains("WHERE gwp_set IN ('ar6') "));
        config.also_gwp = vec![GwpSet::Ar4];
        assert!(shown(&config).contains("WHERE gwp_set IN ('ar6', 'ar4') "));
    }

    #[test]
    fn files_of_later_cuts_are_left_out() {
        let memory = Memory::new();
        let mut lake = memory.open();
        for index in [1, 2] {
            let mut writer = lake.begin(cut(index));
            write_everything(&mut writer, &memory.names);
            writer.commit().expect("committed");
        }
        let engine = Engine::new(memory.place()).expect("an engine");
        let at = |as_of_ms| script(&engine, &config("memory:///lake"), as_of_ms).expect("a script");
        let (all, first) = (at(None), at(Some(cut(2).ms() - 1)));
        assert_eq!(all.matches("activity-0").count(), 4);
        assert_eq!(first.matches("activity-0").count(), 2);
        assert!(first.contains("WHERE recorded_at <= TIMESTAMPTZ '2026-01-01 00:01:59.999+00'"));
    }

    #[test]
    fn quotes_and_patterns_in_paths_are_literal() {
        assert_eq!(quoted("/it's [a] *lake?"), "'/it''s [[]a] [*]lake[?]'");
    }
}

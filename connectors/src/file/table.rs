//! Lines of a CSV file as the JSON objects that the decoder reads. Pure.
//!
//! The first line names the fields: `meter,observed_at,value,unit`, or any other that a JSON line may have. An empty
//! cell says nothing; a quoted one may hold commas, but no line end.

use csv_core::{ReadRecordResult, Reader};

/// Cells of a line, at most.
const CELLS_MAX: usize = 64;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Table {
    columns: Vec<String>,
    cells: Vec<u8>,
    json: Vec<u8>,
}

impl Table {
    /// Takes in the first line.
    pub(super) fn begin(&mut self, line: &[u8]) {
        let line = line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line);
        let mut columns = Vec::new();
        self.each(line, |_, cell| columns.push(String::from_utf8_lossy(cell).trim().to_owned()));
        self.columns = columns;
    }

    /// A line as an object. What is no text becomes an object that the decoder refuses in the line's place.
    pub(super) fn json(&mut self, line: &[u8]) -> &[u8] {
        let columns = std::mem::take(&mut self.columns);
        let mut json = std::mem::take(&mut self.json);
        json.clear();
        self.each(line, |index, cell| {
            if let Some(column) = columns.get(index) {
                say(column, cell, &mut json);
            }
        });
        end(&mut json);
        (self.columns, self.json) = (columns, json);
        &self.json
    }

    fn each(&mut self, line: &[u8], mut give: impl FnMut(usize, &[u8])) {
        let mut ends = [0; CELLS_MAX];
        // Cells are never longer than their line.
        self.cells.resize(line.len() + 1, 0);
        let mut reader = Reader::new();
        let (result, read, written, mut count) =
            reader.read_record(line, &mut self.cells, &mut ends);
        if result == ReadRecordResult::InputEmpty {
            // The line ends here.
            let (_, _, _, last) =
                reader.read_record(&[], &mut self.cells[written..], &mut ends[count..]);
            count += last;
        }
        debug_assert!(read <= line.len(), "no more is read than there is");
        let mut start = 0;
        for (index, end) in ends[..count].iter().enumerate() {
            give(index, &self.cells[start..*end]);
            start = *end;
        }
    }
}

/// Adds a field to the object that `json` begins with, if its cell says anything.
pub(super) fn say(column: &str, cell: &[u8], json: &mut Vec<u8>) {
    let cell = cell.trim_ascii();
    if cell.is_empty() {
        return;
    }
    json.push(if json.is_empty() { b'{' } else { b',' });
    quote(column, json);
    json.push(b':');
    let is_count = column == "version" || column.ends_with("_ms");
    if is_count && cell.iter().all(u8::is_ascii_digit) {
        json.extend_from_slice(cell);
    } else {
        quote(&String::from_utf8_lossy(cell), json);
    }
}

/// Ends the object.
pub(super) fn end(json: &mut Vec<u8>) {
    if json.is_empty() {
        json.push(b'{');
    }
    json.push(b'}');
}

/// Writes a text as JSON has it.
fn quote(text: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, text).expect("memory takes any text");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(header: &str, lines: &[&str]) -> Vec<String> {
        let mut table = Table::default();
        table.begin(header.as_bytes());
        let json = |line: &&str| String::from_utf8(table.json(line.as_bytes()).to_vec()).unwrap();
        lines.iter().map(json).collect()
    }

    #[test]
    fn a_line_is_an_object_of_what_it_says() {
        let found = lines(
            "\u{feff}meter, observed_at,value,unit,version\r",
            &[
                "m-1,2026-01-01T00:00:00Z,1.50,kWh,",
                "\"m, \"\"2\"\"\",2026-01-01T00:00:00Z,-3,,2\r",
                "m-3",
                "",
            ],
        );
        assert_eq!(
            found,
            [
                r#"{"meter":"m-1","observed_at":"2026-01-01T00:00:00Z","value":"1.50","unit":"kWh"}"#,
                r#"{"meter":"m, \"2\"","observed_at":"2026-01-01T00:00:00Z","value":"-3","version":2}"#,
                r#"{"meter":"m-3"}"#,
                "{}",
            ]
        );
    }

    #[test]
    fn whatever_a_line_holds_is_one_object() {
        for line in ["\"never closed", ",,,,,,,,", "a\tb", "\"a\"b,c", &"x,".repeat(200)] {
            let found = lines("meter,value", &[line]).remove(0);
            assert!(serde_json::from_str::<serde_json::Value>(&found).is_ok(), "{found}");
        }
        let mut table = Table::default();
        table.begin(b"meter");
        let found = table.json(&[0xff, 0xfe]).to_vec();
        assert!(serde_json::from_slice::<serde_json::Value>(&found).is_ok());
    }
}

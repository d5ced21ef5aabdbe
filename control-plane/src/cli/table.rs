//! Text in columns, for people.

use std::fmt;

const GAP: &str = "  ";

/// Rows under headings, or without: then the first column is the heading of its row.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn with_headings(headings: &[&str]) -> Self {
        Self { rows: vec![headings.iter().map(|heading| (*heading).to_owned()).collect()] }
    }

    /// One field a row.
    pub(crate) fn of_fields<const N: usize>(fields: [(&str, String); N]) -> Self {
        Self { rows: fields.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect() }
    }

    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.into());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns)
            .map(|column| {
                self.rows.iter().filter_map(|row| row.get(column)).map(|cell| width(cell)).max().unwrap_or(0)
            })
            .collect();
        for row in &self.rows {
            // Padding is owed by the cell that follows it, so no line ends with blanks.
            let mut owed = 0;
            for (column, cell) in row.iter().enumerate() {
                if !cell.is_empty() {
                    write!(f, "{:owed$}{cell}", "")?;
                    owed = 0;
                }
                owed += widths[column] - width(cell) + GAP.len();
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

fn width(cell: &str) -> usize {
    cell.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_no_line_ends_with_blanks() {
        let mut table = Table::with_headings(&["NODE", "SLOT", "NOTE"]);
        table.row(["laptop-1".into(), "online".into(), String::new()]);
        table.row(["ü".into(), String::new(), "first".into()]);
        table.row([String::new(), String::new(), String::new()]);
        assert_eq!(
            table.to_string(),
            "NODE      SLOT    NOTE\n\
             laptop-1  online\n\
             ü                 first\n\
             \n"
        );
    }

    #[test]
    fn fields_are_rows_without_headings() {
        let table = Table::of_fields([("name", "demo".into()), ("state", "active".into())]);
        assert_eq!(table.to_string(), "name   demo\nstate  active\n");
    }
}

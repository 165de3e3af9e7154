//! A sorted file of fixed rows, for finding by their first eight bytes.
//!
//! Built with bounded memory (sorted runs, merged), written once, renamed into place when complete, read
//! with a few small reads per question: what is used of it stays in the page cache. A damaged file can
//! only lead to wrong answers that the caller checks anyway, or to an error.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Bytes of a row.
const ROW: usize = 24;
/// Rows sorted in memory at a time: 24 MB.
const RUN: usize = 1 << 20;
/// Most rows that one question is answered with.
const MATCHES: usize = 64;

/// What is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    /// What it is found by.
    pub key: u64,
    /// Then three numbers of the caller.
    pub tag: u64,
    pub snapshot: u32,
    pub collection: u32,
}

impl Row {
    fn to_bytes(self) -> [u8; ROW] {
        let mut bytes = [0; ROW];
        bytes[..8].copy_from_slice(&self.key.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.tag.to_be_bytes());
        bytes[16..20].copy_from_slice(&self.snapshot.to_be_bytes());
        bytes[20..].copy_from_slice(&self.collection.to_be_bytes());
        bytes
    }

    fn of_bytes(bytes: &[u8; ROW]) -> Row {
        let long = |at: usize| {
            bytes[at..at + 8]
                .iter()
                .fold(0u64, |n, b| n << 8 | u64::from(*b))
        };
        let short = |at: usize| {
            bytes[at..at + 4]
                .iter()
                .fold(0u32, |n, b| n << 8 | u32::from(*b))
        };
        Row {
            key: long(0),
            tag: long(8),
            snapshot: short(16),
            collection: short(20),
        }
    }
}

/// Takes rows in any order.
pub struct Builder {
    dir: PathBuf,
    rows: Vec<Row>,
    runs: Vec<PathBuf>,
    name: String,
}

impl Builder {
    /// For a table in `dir`; nothing shows there before [`Builder::finish`], except files that begin with
    /// `name` and a dot.
    pub fn new(dir: &Path, name: &str) -> Builder {
        Builder {
            dir: dir.to_owned(),
            rows: Vec::new(),
            runs: Vec::new(),
            name: name.to_owned(),
        }
    }

    /// Adds a row.
    pub fn push(&mut self, row: Row) -> io::Result<()> {
        self.rows.push(row);
        if self.rows.len() >= RUN {
            self.spill()?;
        }
        Ok(())
    }

    fn spill(&mut self) -> io::Result<()> {
        self.rows.sort_unstable();
        self.rows.dedup();
        let path = self
            .dir
            .join(format!("{}.run{}", self.name, self.runs.len()));
        let mut out = BufWriter::new(File::create(&path)?);
        self.runs.push(path);
        for row in self.rows.drain(..) {
            out.write_all(&row.to_bytes())?;
        }
        out.flush()
    }

    /// Writes the table `dir/name`; it is there whole or not at all.
    pub fn finish(mut self) -> io::Result<Table> {
        self.spill()?;
        let aside = self.dir.join(format!("{}.new", self.name));
        let mut out = BufWriter::new(File::create(&aside)?);
        let mut inputs = Vec::new();
        for run in &self.runs {
            inputs.push(BufReader::with_capacity(64 << 10, File::open(run)?));
        }
        let mut heap = BinaryHeap::new();
        for (at, input) in inputs.iter_mut().enumerate() {
            heap.extend(read_row(input)?.map(|row| Reverse((row, at))));
        }
        let mut last = None;
        while let Some(Reverse((row, at))) = heap.pop() {
            if last != Some(row) {
                out.write_all(&row.to_bytes())?;
                last = Some(row);
            }
            heap.extend(read_row(&mut inputs[at])?.map(|row| Reverse((row, at))));
        }
        out.into_inner()
            .map_err(io::IntoInnerError::into_error)?
            .sync_all()?;
        let path = self.dir.join(&self.name);
        fs::rename(&aside, &path)?;
        Table::open(&path)
    }
}

impl Drop for Builder {
    fn drop(&mut self) {
        for run in &self.runs {
            // Left-overs are removed with the folder when the table is built anew.
            let _ = fs::remove_file(run);
        }
    }
}

fn read_row(input: &mut impl Read) -> io::Result<Option<Row>> {
    let mut bytes = [0; ROW];
    match input.read_exact(&mut bytes) {
        Ok(()) => Ok(Some(Row::of_bytes(&bytes))),
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(e) => Err(e),
    }
}

/// A finished table.
#[derive(Debug)]
pub struct Table {
    file: File,
    rows: u64,
}

impl Table {
    /// Opens a table.
    pub fn open(path: &Path) -> io::Result<Table> {
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        if len % ROW as u64 != 0 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the table was cut off",
            ));
        }
        Ok(Table {
            file,
            rows: len / ROW as u64,
        })
    }

    /// Number of rows.
    pub fn len(&self) -> u64 {
        self.rows
    }

    fn row(&self, at: u64) -> io::Result<Row> {
        let mut bytes = [0; ROW];
        self.file.read_exact_at(&mut bytes, at * ROW as u64)?;
        Ok(Row::of_bytes(&bytes))
    }

    /// The rows with this key; at most 64.
    pub fn find(&self, key: u64) -> io::Result<Vec<Row>> {
        let (mut low, mut high) = (0, self.rows);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.row(middle)?.key < key {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let mut found = Vec::new();
        while low < self.rows && found.len() < MATCHES {
            let row = self.row(low)?;
            if row.key != key {
                break;
            }
            found.push(row);
            low += 1;
        }
        Ok(found)
    }

    /// All rows in order.
    pub fn rows(&self) -> io::Result<impl Iterator<Item = io::Result<Row>> + use<>> {
        let mut input = BufReader::with_capacity(64 << 10, self.file.try_clone()?);
        io::Seek::rewind(&mut input)?;
        Ok(std::iter::from_fn(move || read_row(&mut input).transpose()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(key: u64, tag: u64) -> Row {
        Row {
            key,
            tag,
            snapshot: 7,
            collection: u32::MAX,
        }
    }

    #[test]
    fn finds_what_was_put_in() {
        let dir = tempfile::tempdir().unwrap();
        let mut builder = Builder::new(dir.path(), "t");
        for n in 0..5000u64 {
            builder
                .push(row(n.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1, n))
                .unwrap();
            if n % 700 == 0 {
                builder.spill().unwrap();
            }
        }
        for tag in 0..100 {
            builder.push(row(2, tag)).unwrap();
            builder.push(row(2, tag)).unwrap();
        }
        let table = builder.finish().unwrap();
        assert_eq!(table.len(), 5100);
        for n in 0..5000u64 {
            let key = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
            assert!(table.find(key).unwrap().contains(&row(key, n)));
        }
        assert_eq!(table.find(2).unwrap().len(), MATCHES);
        assert!(table.find(4).unwrap().is_empty());
        assert!(table.find(u64::MAX - 1).unwrap().is_empty());
        assert_eq!(table.rows().unwrap().count(), 5100);
        assert_eq!(
            fs::read_dir(dir.path()).unwrap().count(),
            1,
            "runs are gone"
        );
    }

    #[test]
    fn an_empty_or_cut_table_is_no_trouble() {
        let dir = tempfile::tempdir().unwrap();
        let table = Builder::new(dir.path(), "t").finish().unwrap();
        assert!(table.find(1).unwrap().is_empty());
        fs::write(dir.path().join("t"), [0; 25]).unwrap();
        assert!(Table::open(&dir.path().join("t")).is_err());
    }
}

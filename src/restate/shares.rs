//! What does not fit into memory at once, in files that have no name: each is one share, written once, read once.
//!
//! A file is deleted as soon as it is open, so that a crash leaves nothing behind. LZ4 around all, since a state
//! folder is not made for the whole of a lake.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::marker::PhantomData;
use std::path::Path;

use lz4_flex::frame::{FrameDecoder, FrameEncoder};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Shares<T> {
    files: Vec<Option<FrameEncoder<BufWriter<File>>>>,
    items: PhantomData<T>,
}

impl<T: Serialize + DeserializeOwned> Shares<T> {
    /// So many empty shares, in `folder`.
    pub(crate) fn create(folder: &Path, count: usize) -> io::Result<Self> {
        let files = (0..count).map(|number| {
            let path = folder.join(format!("share-{}-{number}", std::process::id()));
            let file =
                File::options().read(true).write(true).create(true).truncate(true).open(&path)?;
            std::fs::remove_file(&path)?;
            Ok(Some(FrameEncoder::new(BufWriter::new(file))))
        });
        Ok(Self { files: files.collect::<io::Result<_>>()?, items: PhantomData })
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.files.len()
    }

    /// Adds to a share.
    ///
    /// # Panics
    /// If it was taken.
    pub(crate) fn put(&mut self, share: usize, item: &T) -> io::Result<()> {
        let file = self.files[share].as_mut().expect("a share is taken once all is put");
        let bytes = bincode::serialize(item).map_err(io::Error::other)?;
        let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
        file.write_all(&length.to_le_bytes())?;
        file.write_all(&bytes)
    }

    /// Hands out what a share holds, in the order it was put, and gives back its room.
    ///
    /// # Panics
    /// If it was taken before.
    pub(crate) fn take(&mut self, share: usize, mut give: impl FnMut(T)) -> io::Result<()> {
        let encoder = self.files[share].take().expect("a share is taken once");
        let mut file = encoder.finish().map_err(io::Error::other)?.into_inner()?;
        file.rewind()?;
        let mut reader = BufReader::new(FrameDecoder::new(BufReader::new(file)));
        let mut bytes = Vec::new();
        loop {
            let mut length = [0; 4];
            match reader.read_exact(&mut length) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                outcome => outcome?,
            }
            bytes.resize(usize::try_from(u32::from_le_bytes(length)).map_err(io::Error::other)?, 0);
            reader.read_exact(&mut bytes)?;
            give(bincode::deserialize(&bytes).map_err(io::Error::other)?);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_is_taken_in_order_and_nothing_is_left_behind() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut shares = Shares::<(u64, String)>::create(folder.path(), 3).expect("files");
        let items = (0..10_000_u64).map(|n| (n, "a name".repeat(usize::try_from(n % 7).unwrap())));
        let items: Vec<_> = items.collect();
        for item in &items {
            shares.put(usize::try_from(item.0 % 2).unwrap(), item).expect("put");
        }
        let left = std::fs::read_dir(folder.path()).expect("a folder").count();
        assert_eq!(left, 0, "files have no names");
        for share in 0..3 {
            let mut taken = Vec::new();
            shares.take(share, |item| taken.push(item)).expect("taken");
            let of_share = |item: &&(u64, String)| usize::try_from(item.0 % 2).unwrap() == share;
            assert_eq!(taken, items.iter().filter(of_share).cloned().collect::<Vec<_>>());
        }
    }
}

//! Tests of the file source.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use super::*;
use crate::config::{Carries, SourceConfig};
use crate::registry;
use crate::source::STOP_MAX;
use crate::testing::{LONG, connected, context, reading, receive, values};

struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let unique = format!("plumeline-file-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(unique);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn config(&self, follow: bool) -> SourceConfig {
        let path = self.0.join("readings.jsonl");
        SourceConfig::File(FileSource { path, follow, carries: Carries::Readings })
    }

    fn append(&self, text: &str) {
        let path = self.0.join("readings.jsonl");
        let mut file = fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_read_to_its_end_and_ends() {
    let directory = Directory::new("end");
    // More than a chunk, a bad line in the middle, no line end at the end.
    let mut text = String::new();
    for number in 0..20_000 {
        text.push_str(&reading(number));
        text.push_str(if number == 9_999 { "\n\nbroken\n" } else { "\n" });
    }
    directory.append(text.trim_end());
    let (context, mut batches) = context("history", 2);
    let handle = registry::start(directory.config(false), context).unwrap();
    let all = receive(&mut batches, 20_001).await;
    assert!(all.len() > 1);
    let numbers: Vec<i128> = all.iter().flat_map(values).collect();
    assert_eq!(numbers, (0..20_000).collect::<Vec<i128>>());
    let rejects: Vec<_> = all.iter().flat_map(|batch| &batch.rejects).collect();
    assert_eq!((rejects.len(), rejects[0].position), (1, 10_002));
    assert!(tokio::time::timeout(LONG, batches.recv()).await.unwrap().is_none());
    assert!(handle.status.ended.load(Ordering::Acquire));
    for batch in all {
        handle.ack(batch.receipt);
    }
    handle.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_followed_file_grows_and_begins_anew() {
    let directory = Directory::new("follow");
    let (context, mut batches) = context("history", 2);
    let handle = registry::start(directory.config(true), context).unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!handle.status.connected.load(Ordering::Relaxed), "it is not there yet");
    let (first, second) = (reading(12), reading(34));
    directory.append(&first[..50]);
    connected(&handle.status).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(batches.try_recv().is_err(), "half a line is no line");
    directory.append(&format!("{}\n{second}\n", &first[50..]));
    let all = receive(&mut batches, 2).await;
    assert_eq!(all.iter().flat_map(values).collect::<Vec<_>>(), [12, 34]);
    let config = directory.config(true);
    let SourceConfig::File(file) = &config else { panic!("a file") };
    fs::write(&file.path, format!("{}\n", reading(5))).unwrap();
    let all = receive(&mut batches, 1).await;
    assert_eq!(all.iter().flat_map(values).collect::<Vec<_>>(), [5]);
    assert!(!handle.status.ended.load(Ordering::Relaxed));
    handle.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_channel_holds_the_file_back_and_stopping_is_quick() {
    let directory = Directory::new("full");
    directory.append(&format!("{}\n", reading(1)).repeat(60_000));
    let (context, mut batches) = context("history", 1);
    let handle = registry::start(directory.config(false), context).unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let begin = tokio::time::Instant::now();
    handle.stop().await;
    assert!(begin.elapsed() < STOP_MAX);
    assert!(batches.recv().await.is_some());
    assert!(batches.recv().await.is_none(), "one batch is all the channel holds");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_not_there_is_told_at_once() {
    let directory = Directory::new("missing");
    let (context, _batches) = context("history", 1);
    let error = registry::start(directory.config(false), context).unwrap_err();
    assert!(matches!(error, SourceError::Unreadable { .. }));
    assert!(registry::probe(&directory.config(false)).await.is_err());
    assert!(registry::probe(&directory.config(true)).await.is_ok());
}

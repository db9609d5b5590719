//! The snapshot that is published at the end of an interval. Its text is rendered once, at the
//! first scrape, for all scrapes of that interval.

use std::io::Write as _;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use backlog_core::metrics::{Format, Snapshot, encode, otlp};
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::body::Bytes;
use tokio::sync::watch;

/// The last page; None before the first interval has ended.
pub(super) type Published = watch::Receiver<Option<Arc<Page>>>;

/// See the module documentation.
pub(super) struct Page {
    snapshot: Snapshot,
    /// When it was published.
    pub(super) at: Instant,
    texts: [OnceLock<Bytes>; 2],
    zipped: [OnceLock<Bytes>; 2],
}

impl Page {
    pub(super) fn new(snapshot: Snapshot) -> Self {
        Self { snapshot, at: Instant::now(), texts: Default::default(), zipped: Default::default() }
    }

    /// Encodes the page as an OTLP request with these attributes.
    pub(super) fn otlp(&self, attributes: &[(&str, &str)]) -> otlp::Encoded {
        otlp::encode(&self.snapshot, attributes)
    }

    /// The text in this format.
    pub(super) fn text(&self, format: Format) -> Bytes {
        let text = || Bytes::from(encode(&self.snapshot, format));
        self.texts[format as usize].get_or_init(text).clone()
    }

    /// The same text, compressed with gzip.
    pub(super) fn zipped(&self, format: Format) -> Bytes {
        let zipped = || zip(&self.text(format));
        self.zipped[format as usize].get_or_init(zipped).clone()
    }
}

/// Compresses with gzip.
pub(super) fn zip(text: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(text.len() / 16), Compression::fast());
    // Writing to memory cannot fail.
    let _ = encoder.write_all(text);
    encoder.finish().unwrap_or_default().into()
}

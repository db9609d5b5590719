//! `cargo xtask image`: builds the container image, which contains only the static binary, as an
//! OCI layout and as a single file for `podman load`, `docker load` or `ctr images import`. It
//! needs no container engine and no registry. The same binary gives the same image.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::build;
use crate::{paths, process};

/// The arguments of `image`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Put this static binary into it (default: build it)
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// Its name and tag
    #[arg(long, default_value = concat!("localhost/backlog-trace:", env!("CARGO_PKG_VERSION")))]
    name: String,
}

/// As in packaging/container/Containerfile, which a test compares.
const ENTRYPOINT: [&str; 1] = ["/backlog-trace"];
const COMMAND: [&str; 3] = ["serve", "--listen", "127.0.0.1:9469"];
const PORT: &str = "9469/tcp";

const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// Writes both forms and prints where they are.
pub(crate) fn command(args: &Args) -> Result<u8> {
    let binary = match &args.binary {
        Some(binary) => binary.clone(),
        None => build::tool(&build::shipped_programs()?)?.to_path_buf(),
    };
    let layout = write(&binary, &args.name)?;
    let file = layout.with_extension("tar");
    archive(&layout, &file)?;
    let size = file.metadata().with_context(|| format!("cannot inspect {}", file.display()))?.len();
    println!("{}\n{} ({:.1} MB)", layout.display(), file.display(), size as f64 / 1e6);
    Ok(0)
}

/// Writes the layout of an image with this binary, and returns its folder.
fn write(binary: &Path, name: &str) -> Result<PathBuf> {
    let folder = paths::target().join("image/backlog-trace");
    if folder.exists() {
        fs::remove_dir_all(&folder)
            .with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    let blobs = folder.join("blobs/sha256");
    fs::create_dir_all(&blobs).with_context(|| format!("cannot create {}", blobs.display()))?;
    let layer = layer(binary)?;
    let config = config(&digest(&layer)).to_string();
    let packed = gzip(&layer).context("cannot compress the layer")?;
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": blob(&blobs, CONFIG, config.as_bytes())?,
        "layers": [blob(&blobs, LAYER, &packed)?],
    });
    let mut manifest = blob(&blobs, MANIFEST, manifest.to_string().as_bytes())?;
    // containerd reads the first name, others the second.
    let tag = name.rsplit_once(':').map_or("latest", |(_, tag)| tag);
    manifest["annotations"] = json!({
        "io.containerd.image.name": name, "org.opencontainers.image.ref.name": tag,
    });
    let index = json!({ "schemaVersion": 2, "manifests": [manifest] });
    put(&folder.join("index.json"), index.to_string().as_bytes())?;
    put(&folder.join("oci-layout"), br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    process::say(&format!("image {name} of {}", binary.display()));
    Ok(folder)
}

fn config(layer: &str) -> Value {
    json!({
        "architecture": "amd64",
        "os": "linux",
        "config": {
            "Entrypoint": ENTRYPOINT,
            "Cmd": COMMAND,
            "ExposedPorts": { PORT: {} },
            "WorkingDir": "/",
            "Labels": { "org.opencontainers.image.title": "backlog-trace" },
        },
        "rootfs": { "type": "layers", "diff_ids": [layer] },
    })
}

/// A tar archive of the binary, without any time or user of this machine.
fn layer(binary: &Path) -> Result<Vec<u8>> {
    let bytes = fs::read(binary).with_context(|| format!("cannot read {}", binary.display()))?;
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o755);
    let mut layer = tar::Builder::new(Vec::new());
    layer.append_data(&mut header, "backlog-trace", bytes.as_slice()).context("the layer")?;
    layer.into_inner().context("the layer")
}

fn gzip(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes)?;
    encoder.finish()
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

/// Writes a blob and returns its descriptor.
fn blob(folder: &Path, kind: &str, bytes: &[u8]) -> Result<Value> {
    let digest = digest(bytes);
    put(&folder.join(digest.trim_start_matches("sha256:")), bytes)?;
    Ok(json!({ "mediaType": kind, "digest": digest, "size": bytes.len() }))
}

fn put(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}

/// Packs the layout into one file.
fn archive(layout: &Path, path: &Path) -> Result<()> {
    let file = File::create(path).with_context(|| format!("cannot create {}", path.display()))?;
    let mut archive = tar::Builder::new(file);
    archive.mode(tar::HeaderMode::Deterministic);
    archive
        .append_dir_all("", layout)
        .and_then(|()| archive.into_inner()?.sync_all())
        .with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_runs_what_the_containerfile_runs() {
        let file = paths::root().join("packaging/container/Containerfile");
        let text = fs::read_to_string(file).unwrap();
        let of = |keyword: &str| -> Vec<String> {
            let rest = text.lines().find_map(|line| line.strip_prefix(keyword)).unwrap();
            serde_json::from_str(rest).unwrap()
        };
        assert_eq!(of("ENTRYPOINT"), ENTRYPOINT);
        assert_eq!(of("CMD"), COMMAND);
        assert!(text.contains(&format!("EXPOSE {}", PORT.trim_end_matches("/tcp"))));
    }

    #[test]
    fn a_layer_holds_the_binary_and_is_the_same_each_time() {
        let binary = tempfile::NamedTempFile::new().unwrap();
        fs::write(binary.path(), b"elf").unwrap();
        let bytes = layer(binary.path()).unwrap();
        assert_eq!(bytes, layer(binary.path()).unwrap());
        let mut archive = tar::Archive::new(bytes.as_slice());
        let entries = archive.entries().unwrap().map(|entry| {
            let entry = entry.unwrap();
            let header = entry.header();
            (entry.path().unwrap().into_owned(), header.mode().unwrap(), header.mtime().unwrap())
        });
        assert_eq!(entries.collect::<Vec<_>>(), [(PathBuf::from("backlog-trace"), 0o755, 0)]);
        assert_eq!(
            digest(b""),
            format!(
                "sha256:{}",
                "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
            )
        );
    }
}

//! OCI images made by hand.
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::super::environment::Environment;
use super::super::{Fetch, Images, Request};
use crate::sandbox::Cancel;
use crate::step::id::hex;

/// A layout in a directory.
struct Layout {
    dir: tempfile::TempDir,
}

impl Layout {
    fn new() -> Self {
        let layout = Self { dir: tempfile::tempdir().unwrap() };
        fs::create_dir_all(layout.path().join("blobs/sha256")).unwrap();
        fs::create_dir(layout.dir.path().join("rootfs")).unwrap();
        fs::write(layout.path().join("oci-layout"), r#"{"imageLayoutVersion": "1.0.0"}"#).unwrap();
        layout
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("image")
    }

    fn rootfs(&self) -> PathBuf {
        self.dir.path().join("rootfs")
    }

    fn blob(&self, bytes: &[u8]) -> Value {
        let digest = hex(&Sha256::digest(bytes));
        fs::write(self.path().join("blobs/sha256").join(&digest), bytes).unwrap();
        json!({ "digest": format!("sha256:{digest}"), "size": bytes.len() })
    }

    /// An image whose layers hold these files.
    fn image(&self, layers: &[&[u8]]) -> Value {
        let env = json!({ "config": { "Env": ["PATH=/bin", "A=b=c"] } });
        let config = self.blob(env.to_string().as_bytes());
        let layers: Vec<Value> = layers.iter().map(|layer| self.blob(layer)).collect();
        self.blob(json!({ "config": config, "layers": layers }).to_string().as_bytes())
    }

    fn index(&self, manifests: &[Value]) {
        fs::write(self.path().join("index.json"), json!({ "manifests": manifests }).to_string()).unwrap();
    }

    fn archive(&self) -> PathBuf {
        let path = self.dir.path().join("image.tar");
        let mut tar = tar::Builder::new(File::create(&path).unwrap());
        tar.append_dir_all(".", self.path()).unwrap();
        tar.finish().unwrap();
        path
    }

    fn fetch(&self, name: &str) -> Result<Environment, String> {
        let output = io::pipe().unwrap().1.into();
        let cancel = Cancel::default();
        let request = Request { name: name.into(), rootfs: self.rootfs(), owner: (0, 0), output, cancel };
        Images
            .fetch(request)
            .map_err(|error| error.to_string().replace(self.dir.path().to_str().unwrap(), ""))
    }

    fn fetch_it(&self) -> Result<Environment, String> {
        self.fetch(self.path().to_str().unwrap())
    }
}

fn layer(files: &[(&str, &str)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_uid(u64::from(nix::unistd::geteuid().as_raw()));
        header.set_gid(u64::from(nix::unistd::getegid().as_raw()));
        tar.append_data(&mut header, name, bytes.as_bytes()).unwrap();
    }
    tar.into_inner().unwrap()
}

fn compressed(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

fn read(root: &Path, path: &str) -> String {
    fs::read_to_string(root.join(path)).unwrap()
}

#[test]
fn layers_lie_one_over_the_other_compressed_or_not() {
    let layout = Layout::new();
    let lower = layer(&[("etc/a", "lower"), ("etc/b", "lower"), ("gone", "")]);
    let upper = compressed(&layer(&[("etc/b", "upper"), (".wh.gone", "")]));
    layout.index(&[layout.image(&[&lower, &upper])]);
    let env = layout.fetch_it().unwrap();
    assert_eq!(env, [("PATH".into(), "/bin".into()), ("A".into(), "b=c".into())]);
    let root = layout.rootfs();
    assert_eq!((read(&root, "etc/a"), read(&root, "etc/b")), ("lower".into(), "upper".into()));
    assert!(!root.join("gone").exists());
}

#[test]
fn an_archive_of_a_layout_is_one_too() {
    let layout = Layout::new();
    layout.index(&[layout.image(&[&compressed(&layer(&[("f", "x")]))])]);
    let archive = layout.archive();
    assert_eq!(layout.fetch(&format!("oci-archive:{}", archive.display())).unwrap().len(), 2);
    assert_eq!(read(&layout.rootfs(), "f"), "x");
}

#[test]
fn a_layer_may_be_compressed_with_zstd() {
    let layout = Layout::new();
    let zstd = compress_to_vec(layer(&[("f", &"x".repeat(300_000))]).as_slice(), CompressionLevel::Fastest);
    assert!(zstd.len() < 10_000);
    layout.index(&[layout.image(&[&layer(&[("g", "y")]), &zstd])]);
    layout.fetch_it().unwrap();
    assert_eq!(read(&layout.rootfs(), "f").len(), 300_000);
    assert_eq!(read(&layout.rootfs(), "g"), "y");
    let digest = hex(&Sha256::digest(&zstd));
    fs::write(layout.path().join("blobs/sha256").join(&digest), [&zstd[..], &zstd].concat()).unwrap();
    let error = layout.fetch_it().unwrap_err();
    assert!(error.contains("is damaged"), "{error}");
}

/// Compresses the archive at `path` both ways, beside it.
fn both_ways(path: &Path) -> [PathBuf; 2] {
    let bytes = fs::read(path).unwrap();
    let [gzip, zstd] = ["tar.gz", "tar.zst"].map(|end| path.with_extension(end));
    fs::write(&gzip, compressed(&bytes)).unwrap();
    fs::write(&zstd, compress_to_vec(bytes.as_slice(), CompressionLevel::Fastest)).unwrap();
    [gzip, zstd]
}

#[test]
fn an_archive_of_a_layout_may_be_compressed_as_a_whole() {
    let layout = Layout::new();
    layout.index(&[layout.image(&[&compressed(&layer(&[("f", "x")]))])]);
    for archive in both_ways(&layout.archive()) {
        assert_eq!(layout.fetch(archive.to_str().unwrap()).unwrap().len(), 2);
        assert_eq!(read(&layout.rootfs(), "f"), "x");
        fs::remove_file(layout.rootfs().join("f")).unwrap();
    }
}

/// What `docker save` writes for two images, with one layer in common that is in the archive once.
fn saved(layout: &Layout, architecture: &str) -> PathBuf {
    let (lower, upper) = (layer(&[("f", "lower"), ("g", "lower")]), layer(&[("g", "upper")]));
    let digest = |bytes: &[u8]| hex(&Sha256::digest(bytes));
    let config = |layers: &[&[u8]]| {
        let ids: Vec<_> = layers.iter().map(|layer| format!("sha256:{}", digest(layer))).collect();
        let env = json!({ "Env": ["PATH=/bin"] });
        json!({ "architecture": architecture, "os": "linux", "config": env, "rootfs": { "diff_ids": ids } })
            .to_string()
    };
    let (one, two) = (config(&[&lower, &upper]), config(&[&lower]));
    let name = |config: &str| format!("{}.json", digest(config.as_bytes()));
    let manifest = json!([
        { "Config": name(&one), "RepoTags": ["reg:5000/app:one"], "Layers": ["a/layer.tar", "b/layer.tar"] },
        { "Config": name(&two), "RepoTags": ["reg:5000/app:two"], "Layers": ["c/layer.tar"] },
    ]);
    let path = layout.dir.path().join("saved.tar");
    let mut tar = tar::Builder::new(File::create(&path).unwrap());
    let mut file = |name: &str, bytes: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        tar.append_data(&mut header, name, bytes).unwrap();
    };
    // As with digests for names, which are not looked at.
    for (name, bytes) in [("a/layer.tar", &lower), ("b/layer.tar", &upper)] {
        file(name, bytes);
    }
    for config in [&one, &two] {
        file(&name(config), config.as_bytes());
    }
    file("manifest.json", manifest.to_string().as_bytes());
    let mut link = tar::Header::new_gnu();
    link.set_entry_type(tar::EntryType::Symlink);
    link.set_size(0);
    tar.append_link(&mut link, "c/layer.tar", "../a/layer.tar").unwrap();
    tar.finish().unwrap();
    path
}

#[test]
fn what_docker_saves_is_an_image_too() {
    let layout = Layout::new();
    let archive = saved(&layout, super::manifest::architecture()).display().to_string();
    let env = layout.fetch(&format!("{archive}:one")).unwrap();
    assert_eq!(env, [("PATH".into(), "/bin".into())]);
    assert_eq!([read(&layout.rootfs(), "f"), read(&layout.rootfs(), "g")], ["lower", "upper"]);
    layout.fetch(&format!("docker-archive:{archive}:two")).unwrap();
    assert_eq!(read(&layout.rootfs(), "g"), "lower");
    let told = "cannot use the image /saved.tar: it has several images; add :TAG, one of reg:5000/app:one, \
                reg:5000/app:two";
    assert_eq!(layout.fetch(&archive).unwrap_err(), told);
    let told =
        "cannot use the image /saved.tar: it has no image three; it has reg:5000/app:one, reg:5000/app:two";
    assert_eq!(layout.fetch(&format!("{archive}:three")).unwrap_err(), told);
}

#[test]
fn what_docker_saved_and_somebody_changed_is_refused() {
    let layout = Layout::new();
    let archive = saved(&layout, super::manifest::architecture());
    let bytes = fs::read(&archive).unwrap();
    let at = bytes.windows(5).position(|window| window == b"upper").unwrap();
    let mut changed = bytes.clone();
    changed[at] = b'U';
    fs::write(&archive, changed).unwrap();
    let error = layout.fetch(&format!("{}:one", archive.display())).unwrap_err();
    let start = "cannot use the image /saved.tar: b/layer.tar is damaged: it has";
    assert!(error.starts_with(start), "{error}");
    let archive = saved(&layout, "s390x");
    let here = super::manifest::architecture();
    let told = format!("cannot use the image /saved.tar: it has no image for linux/{here}");
    assert_eq!(layout.fetch(&format!("{}:one", archive.display())).unwrap_err(), told);
}

#[test]
fn a_directory_or_an_archive_of_files_is_a_root_file_system() {
    for kind in ["dir", "tar", "tar.gz", "tar.zst"] {
        let layout = Layout::new();
        let path = layout.dir.path().join(kind);
        let tar = layer(&[("f", "x")]);
        match kind {
            "dir" => {
                fs::create_dir(&path).unwrap();
                fs::write(path.join("f"), "x").unwrap();
            }
            "tar" => fs::write(&path, tar).unwrap(),
            "tar.gz" => fs::write(&path, compressed(&tar)).unwrap(),
            _ => {
                fs::write(&path, compress_to_vec(tar.as_slice(), CompressionLevel::Fastest)).unwrap();
            }
        }
        assert_eq!(layout.fetch(path.to_str().unwrap()), Ok(Vec::new()), "{kind}");
        assert_eq!(read(&layout.rootfs(), "f"), "x");
    }
}

#[test]
fn of_several_images_the_tag_and_this_machine_decide() {
    let layout = Layout::new();
    let named = |tag: &str, arch: &str| {
        let mut entry = layout.image(&[&layer(&[("which", &format!("{tag} {arch}"))])]);
        entry["annotations"] = json!({ "org.opencontainers.image.ref.name": tag });
        entry["platform"] = json!({ "os": "linux", "architecture": arch });
        entry
    };
    let here = super::manifest::architecture();
    layout.index(&[named("one", here), named("one", "s390x"), named("two", here)]);
    layout.fetch(&format!("{}:one", layout.path().display())).unwrap();
    assert_eq!(read(&layout.rootfs(), "which"), format!("one {here}"));
    let several = "cannot use the image /image: it has several images; add :TAG, one of one, two";
    assert_eq!(layout.fetch_it().unwrap_err(), several);
    let none = layout.fetch(&format!("oci:{}:three", layout.path().display())).unwrap_err();
    assert_eq!(none, "cannot use the image /image: it has no image three; it has one, one, two");
    layout.index(&[named("one", "s390x")]);
    let foreign = format!("cannot use the image /image: it has no image for linux/{here}");
    assert_eq!(layout.fetch_it().unwrap_err(), foreign);
}

#[test]
fn an_index_in_an_index_is_followed_and_one_without_end_is_not() {
    let layout = Layout::new();
    let image = layout.image(&[&layer(&[("f", "x")])]);
    let mut index = image;
    for _ in 0..3 {
        index = layout.blob(json!({ "manifests": [index] }).to_string().as_bytes());
    }
    layout.index(&[index.clone()]);
    layout.fetch_it().unwrap();
    for _ in 0..8 {
        index = layout.blob(json!({ "manifests": [index] }).to_string().as_bytes());
    }
    layout.index(&[index]);
    assert_eq!(layout.fetch_it().unwrap_err(), "cannot use the image /image: its indexes do not end");
}

#[test]
fn what_is_damaged_is_named_and_refused() {
    let layout = Layout::new();
    let tar = layer(&[("f", "x")]);
    let image = layout.image(&[&tar]);
    layout.index(&[image]);
    let digest = hex(&Sha256::digest(&tar));
    let blob = layout.path().join("blobs/sha256").join(&digest);
    fs::write(&blob, layer(&[("f", "y")])).unwrap();
    let error = layout.fetch_it().unwrap_err();
    let start =
        format!("cannot use the image /image: blobs/sha256/{digest} is damaged: it has {} bytes", tar.len());
    assert!(error.starts_with(&start), "{error}");
    fs::remove_file(&blob).unwrap();
    let error = layout.fetch_it().unwrap_err();
    assert!(error.starts_with(&format!("base image: /image/blobs/sha256/{digest}: No such file")), "{error}");
    fs::write(layout.path().join("index.json"), "{").unwrap();
    assert!(layout.fetch_it().unwrap_err().starts_with("cannot use the image /image: index.json: EOF"));
}

#[test]
fn a_digest_that_is_none_leads_nowhere() {
    for digest in ["sha256:../../../etc/passwd", "sha512:00", "sha256:AB", ""] {
        let layout = Layout::new();
        layout.index(&[json!({ "digest": digest, "size": 1 })]);
        let why = format!(
            "cannot use the image /image: the digest {digest:?} is not sha256: and 64 hexadecimal digits"
        );
        assert_eq!(layout.fetch_it().unwrap_err(), why);
    }
}

#[test]
fn a_place_that_is_none_is_refused() {
    let layout = Layout::new();
    assert!(
        layout.fetch("/no/such/place").unwrap_err().starts_with("base image: /no/such/place: No such file")
    );
    let relative = "base image \"./x\": a place must be an absolute path, that is, begin with '/'";
    assert_eq!(layout.fetch("./x").unwrap_err(), relative);
    let text = layout.dir.path().join("text");
    fs::write(&text, "not an archive").unwrap();
    assert!(
        layout
            .fetch(text.to_str().unwrap())
            .unwrap_err()
            .starts_with("cannot use the image /text: it is neither")
    );
}

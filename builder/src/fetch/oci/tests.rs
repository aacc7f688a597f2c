//! OCI images made by hand.
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::super::environment::Environment;
use super::super::{Fetch, Images, Request};
use super::hex;
use crate::sandbox::Cancel;

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
fn a_directory_or_an_archive_of_files_is_a_root_file_system() {
    for kind in ["dir", "tar", "tar.gz"] {
        let layout = Layout::new();
        let path = layout.dir.path().join(kind);
        let tar = layer(&[("f", "x")]);
        match kind {
            "dir" => {
                fs::create_dir(&path).unwrap();
                fs::write(path.join("f"), "x").unwrap();
            }
            "tar" => fs::write(&path, tar).unwrap(),
            _ => fs::write(&path, compressed(&tar)).unwrap(),
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

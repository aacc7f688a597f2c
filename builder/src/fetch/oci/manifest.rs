//! Which manifest is wanted, and what it lists.
use serde_json::Value;

use super::{FetchError, Image};

/// The list of images of a layout.
const INDEX: &str = "index.json";
/// Indexes may hold indexes; more than this is a joke.
const DEEPEST: usize = 8;
/// Where a tag is written.
const TAG: &str = "org.opencontainers.image.ref.name";

/// An image.
pub(super) struct Manifest {
    pub(super) config: Descriptor,
    /// The lowest first.
    pub(super) layers: Vec<Descriptor>,
}

/// A blob, by digest and size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Descriptor {
    pub(super) sha256: String,
    pub(super) size: u64,
}

impl Descriptor {
    /// Reads one. A digest becomes a path, so it must be one.
    fn read(value: &Value) -> Result<Self, String> {
        let digest = value["digest"].as_str().ok_or("a descriptor has no digest")?;
        let is_hex = |text: &str| {
            text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        };
        let sha256 = digest.strip_prefix("sha256:").filter(|hex| is_hex(hex));
        let sha256 = sha256
            .ok_or_else(|| format!("the digest {digest:?} is not sha256: and 64 hexadecimal digits"))?;
        let size = value["size"].as_u64().ok_or_else(|| format!("the descriptor of {digest} has no size"))?;
        Ok(Self { sha256: sha256.to_owned(), size })
    }

    /// Where the blob lies.
    pub(super) fn path(&self) -> String {
        format!("blobs/sha256/{}", self.sha256)
    }
}

/// The manifest of the image `tag`, or of the only one there is, for this machine.
pub(super) fn find(image: &Image<'_>, tag: Option<&str>) -> Result<Manifest, FetchError> {
    let mut bytes = Vec::new();
    let mut index = image.blobs.open(INDEX).map_err(|e| image.unread(INDEX, e))?;
    index.read_to_end(&mut bytes).map_err(|e| image.unread(INDEX, e))?;
    let mut here = image.parse(&bytes, INDEX)?;
    let mut wanted = tag;
    for _ in 0..DEEPEST {
        let Some(listed) = here["manifests"].as_array() else {
            return read(&here).map_err(|why| image.bad(&why));
        };
        let chosen = choose(listed, wanted.take()).map_err(|why| image.bad(&why))?;
        let descriptor = Descriptor::read(chosen).map_err(|why| image.bad(&why))?;
        here = image.json(&descriptor)?;
    }
    Err(image.bad("its indexes do not end"))
}

/// The entry that is called `tag`, and made for this machine.
fn choose<'v>(listed: &'v [Value], tag: Option<&str>) -> Result<&'v Value, String> {
    let name = |entry: &'v Value| entry["annotations"][TAG].as_str();
    let tagged: Vec<&Value> = listed.iter().filter(|entry| tag.is_none() || name(entry) == tag).collect();
    let fitting: Vec<&Value> = tagged.iter().copied().filter(|entry| fits(&entry["platform"])).collect();
    match (tagged.as_slice(), fitting.as_slice()) {
        (_, [only]) => Ok(only),
        ([], _) => Err(format!("it has no image {}; it has {}", tag.unwrap_or("at all"), names(listed))),
        (_, []) => Err(format!("it has no image for linux/{}", architecture())),
        (_, several) => Err(format!(
            "it has several images; add :TAG, one of {}",
            names(&several.iter().copied().cloned().collect::<Vec<_>>())
        )),
    }
}

fn names(listed: &[Value]) -> String {
    let names: Vec<&str> = listed.iter().filter_map(|entry| entry["annotations"][TAG].as_str()).collect();
    if names.is_empty() { "none with a tag".to_owned() } else { names.join(", ") }
}

/// What does not say whom it is for is for all.
fn fits(platform: &Value) -> bool {
    let is = |field: &str, wanted: &str| platform[field].as_str().is_none_or(|found| found == wanted);
    is("os", "linux") && is("architecture", architecture())
}

/// This machine's, in Go's words.
pub(super) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn read(manifest: &Value) -> Result<Manifest, String> {
    let layers = manifest["layers"].as_array().ok_or("its manifest lists no layers")?;
    let layers = layers.iter().map(Descriptor::read).collect::<Result<_, _>>()?;
    Ok(Manifest { config: Descriptor::read(&manifest["config"])?, layers })
}

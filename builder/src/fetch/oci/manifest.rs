//! Which manifest is wanted, and what it lists.
use serde_json::Value;

use super::{FetchError, Image};

/// The list of images of a layout.
const INDEX: &str = "index.json";
/// Indexes may hold indexes; more than this is a joke.
const DEEPEST: usize = 8;
/// Where a tag is written.
const TAG: &str = "org.opencontainers.image.ref.name";

/// A blob: where it lies, and what it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Descriptor {
    pub(super) path: String,
    pub(super) sha256: String,
    /// Its size, where that is told.
    pub(super) size: Option<u64>,
    /// Whether the digest is that of what it holds when it is not compressed.
    pub(super) is_of_content: bool,
}

impl Descriptor {
    /// Reads one. A digest becomes a path, so it must be one.
    fn read(value: &Value) -> Result<Self, String> {
        let digest = value["digest"].as_str().ok_or("a descriptor has no digest")?;
        let sha256 = digest.strip_prefix("sha256:").filter(|hex| is_digest(hex));
        let sha256 = sha256
            .ok_or_else(|| format!("the digest {digest:?} is not sha256: and 64 hexadecimal digits"))?;
        let size = value["size"].as_u64().ok_or_else(|| format!("the descriptor of {digest} has no size"))?;
        let path = format!("blobs/sha256/{sha256}");
        Ok(Self { path, sha256: sha256.to_owned(), size: Some(size), is_of_content: false })
    }
}

/// Whether `text` is a SHA-256 in hexadecimal.
pub(super) fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// Configuration and layers, the lowest first, of the image `tag`, or of the only one there is, for this machine.
pub(super) fn find(image: &Image<'_>, tag: Option<&str>) -> Result<(Value, Vec<Descriptor>), FetchError> {
    let mut here = image.unchecked_json(INDEX)?;
    let mut wanted = tag;
    for _ in 0..DEEPEST {
        let Some(listed) = here["manifests"].as_array() else {
            let (config, layers) = read(&here).map_err(|why| image.bad(&why))?;
            return Ok((image.json(&config)?, layers));
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
pub(super) fn fits(platform: &Value) -> bool {
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

fn read(manifest: &Value) -> Result<(Descriptor, Vec<Descriptor>), String> {
    let layers = manifest["layers"].as_array().ok_or("its manifest lists no layers")?;
    let layers = layers.iter().map(Descriptor::read).collect::<Result<_, _>>()?;
    Ok((Descriptor::read(&manifest["config"])?, layers))
}

//! Archives as `docker save` and `podman save` write them: `manifest.json` lists images, each a configuration that is
//! called by its digest, and layers whose digests are in that configuration (Docker image specification v1.2).
use serde_json::Value;

use super::manifest::{Descriptor, architecture, fits, is_digest};
use super::{FetchError, Image};

/// The list of images.
pub(in super::super) const MANIFEST: &str = "manifest.json";

/// Configuration and layers of the image `tag`, or of the only one there is.
pub(super) fn find(image: &Image<'_>, tag: Option<&str>) -> Result<(Value, Vec<Descriptor>), FetchError> {
    let listed = image.unchecked_json(MANIFEST)?;
    let listed = listed.as_array().map_or(&[][..], Vec::as_slice);
    let chosen = choose(listed, tag).map_err(|why| image.bad(&why))?;
    let config = config(chosen).map_err(|why| image.bad(&why))?;
    let config = image.json(&config)?;
    if !fits(&config) {
        return Err(image.bad(&format!("it has no image for linux/{}", architecture())));
    }
    let layers = layers(chosen, &config).map_err(|why| image.bad(&why))?;
    Ok((config, layers))
}

/// The entry with a name that is `tag` or has it after its colon.
fn choose<'v>(listed: &'v [Value], tag: Option<&str>) -> Result<&'v Value, String> {
    let is_wanted = |entry: &&Value| {
        tag.is_none_or(|tag| {
            names(entry).any(|name| name == tag || name.rsplit_once(':').is_some_and(|(_, last)| last == tag))
        })
    };
    let tags: Vec<&str> = listed.iter().flat_map(names).collect();
    let tags = if tags.is_empty() { "none with a tag".to_owned() } else { tags.join(", ") };
    match listed.iter().filter(is_wanted).collect::<Vec<_>>().as_slice() {
        [only] => Ok(only),
        [] => Err(format!("it has no image {}; it has {tags}", tag.unwrap_or("at all"))),
        _ => Err(format!("it has several images; add :TAG, one of {tags}")),
    }
}

fn names(entry: &Value) -> impl Iterator<Item = &str> {
    entry["RepoTags"].as_array().into_iter().flatten().filter_map(Value::as_str)
}

/// The configuration, `DIGEST.json` or `blobs/sha256/DIGEST`.
fn config(entry: &Value) -> Result<Descriptor, String> {
    let path = entry["Config"].as_str().ok_or("its manifest names no configuration")?;
    let name = path.rsplit('/').next().unwrap_or(path);
    let sha256 = name.strip_suffix(".json").unwrap_or(name);
    if !is_digest(sha256) {
        return Err(format!("its configuration {path:?} is not called by its digest"));
    }
    Ok(Descriptor { path: path.to_owned(), sha256: sha256.to_owned(), size: None, is_of_content: false })
}

fn layers(entry: &Value, config: &Value) -> Result<Vec<Descriptor>, String> {
    let strings = |value: &Value| -> Option<Vec<String>> {
        value.as_array()?.iter().map(|item| item.as_str().map(str::to_owned)).collect()
    };
    let paths = strings(&entry["Layers"]).ok_or("its manifest lists no layers")?;
    let digests = strings(&config["rootfs"]["diff_ids"]).ok_or("its configuration lists no layers")?;
    if paths.len() != digests.len() {
        return Err(format!("it has {} layers, and digests of {}", paths.len(), digests.len()));
    }
    let layer = |(path, digest): (String, String)| match digest.strip_prefix("sha256:") {
        Some(sha256) if is_digest(sha256) => {
            Ok(Descriptor { path, sha256: sha256.to_owned(), size: None, is_of_content: true })
        }
        _ => Err(format!("the digest {digest:?} is not sha256: and 64 hexadecimal digits")),
    };
    paths.into_iter().zip(digests).map(layer).collect()
}

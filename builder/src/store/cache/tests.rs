//! What cache volumes are called.
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use super::{dataset_name, directory_name};

#[test]
fn names_are_escaped_as_each_kind_of_store_needs_it() {
    let name = |bytes: &'static [u8]| OsStr::from_bytes(bytes);
    for (bytes, directory, dataset) in [
        (&b"cacheA"[..], "cacheA", "c-cacheA"),
        ("na me:é".as_bytes(), "na me:é", "c-na%20me%3a%c3%a9"),
        (b"a/b", "a%2fb", "c-a%2fb"),
        (b"..", "%2e.", "c-.."),
        (b"a.b-c_D9", "a.b-c_D9", "c-a.b-c_D9"),
        (b"%", "%25", "c-%25"),
        (b"", "%", "c-%"),
    ] {
        assert_eq!(directory_name(name(bytes)), directory);
        assert_eq!(dataset_name(name(bytes)), dataset);
    }
}

//! Base images: where `(from NAME)` comes from.

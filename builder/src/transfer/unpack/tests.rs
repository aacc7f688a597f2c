//! Tests of unpacking.

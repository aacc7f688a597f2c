//! Tests of mount points.

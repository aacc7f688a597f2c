//! Tests of what a runtime is told.

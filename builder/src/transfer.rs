//! Copies files between trees: clones of results, and what a `copy` step brings in.

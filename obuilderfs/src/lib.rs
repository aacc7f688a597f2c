//! obuilderfs

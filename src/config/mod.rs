//! The file, the environment and the flags as one value.

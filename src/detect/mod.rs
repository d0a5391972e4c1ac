//! From frames to findings.

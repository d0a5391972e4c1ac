//! Where a file is read from.

use std::io::{Read, Seek};

/// A source that a file is read from.
pub(super) trait Source: Read + Seek {}
impl<T: Read + Seek> Source for T {}

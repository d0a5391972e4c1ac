//! Audio files read as mono sample blocks.

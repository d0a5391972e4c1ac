//! Sources of sound.

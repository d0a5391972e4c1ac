//! Measuring a model beyond its training loss.
//!
//! [`soak::soak`] tells whether contexts stay bounded over hours of sound.

pub mod soak;

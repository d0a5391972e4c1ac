//! The negative bank: vectors that InfoNCE scores the truth against.

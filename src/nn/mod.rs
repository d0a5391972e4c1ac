//! Layers as immutable weights with state apart.

//! From events to whoever subscribes.

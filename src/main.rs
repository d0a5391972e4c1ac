//! The `cpc-stream` program.

fn main() {}

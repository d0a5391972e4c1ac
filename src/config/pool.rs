//! Workers that share microphones.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::publish::check_id;

/// Whether this node is one of the workers that share the microphones on the broker: the `[pool]` table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PoolConfig {
    /// Sources with `mqtt` are shared: one worker analyses each, and another takes over when that one dies.
    pub enable: bool,
    /// Name of the pool; workers of one pool list the same microphones.
    pub name: String,
    /// Most streams that this worker analyses, 1 to 10,000.
    pub max_streams: usize,
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self { enable: false, name: "pool".to_owned(), max_streams: 64 }
    }
}

impl PoolConfig {
    pub(super) fn validate(&self) -> Result<()> {
        check_id("pool.name", &self.name)?;
        if !(1..=10_000).contains(&self.max_streams) {
            return Err(Error::config(
                format!("pool.max_streams is {}, expected 1 to 10000", self.max_streams),
                "set max_streams in [pool] to the streams that this machine carries (`cpc-stream bench` tells)",
            ));
        }
        Ok(())
    }
}

//! What an install needs of the servers, for `cpc-stream doctor`.

use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::stream::StorageType;
use serde::Deserialize;

use super::ClusterConfig;
use super::jetstream::{JetStream, Names, connect};
use super::pack::LARGEST;
use crate::error::{Error, Result};
use crate::mqtt::link;

/// How long the servers are waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes a second of a microphone at 16 kHz, with the heads of its chunks.
const SOUND_RATE: u64 = 34_000;
/// Bytes of a snapshot with its calibrations, and of a day of documents, on the disks.
const STATE_BYTES: u64 = 4 << 20;

/// A finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterFinding {
    /// What was found.
    pub text: String,
    /// What to do about it; none where all is well.
    pub fix: Option<String>,
}

fn fine(text: String) -> ClusterFinding {
    ClusterFinding { text, fix: None }
}

fn warn(text: String, fix: &str) -> ClusterFinding {
    ClusterFinding { text, fix: Some(fix.to_owned()) }
}

/// Looks at the servers: whether they answer, have JetStream, and room for the sound of `mics` microphones. Streams and buckets that do
/// not exist are made.
///
/// # Errors
/// When the servers are away, have no JetStream, or refuse what is to be made.
pub fn survey(
    config: &ClusterConfig,
    prefix: &str,
    (mics, calibrate_s): (usize, f64),
) -> Result<Vec<ClusterFinding>> {
    let url = config.url.clone().unwrap_or_default();
    let away = |reason: String| {
        Error::broker(
            format!("{url} does not answer: {reason}"),
            "check `url` in [cluster], and that nats-server runs there",
        )
    };
    let refused = |reason: String| {
        Error::broker(
            format!("{url}: {reason}"),
            "give nats-server a `jetstream { store_dir: … }` block (/usr/share/doc/cpc-stream/examples/nats-server.conf), and this user the rights of /usr/share/doc/cpc-stream/docs/cluster.md",
        )
    };
    let runtime = link::runtime()?;
    runtime.block_on(async {
        let client = connect(config, "cpc-stream-doctor").await?;
        let connected = tokio::time::timeout(PATIENCE, client.flush()).await;
        match connected {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(away(error.to_string())),
            Err(_) => return Err(away(format!("nothing came within {} s", PATIENCE.as_secs()))),
        }
        let server = client.server_info();
        let mut found = vec![fine(format!("{} {} answers at {url}", server.server_name, server.version))];
        let account = account(&client).await.map_err(refused)?;
        let names = Names::new(config, prefix);
        let there = JetStream::open(&client, config, &names).await.map_err(refused)?;
        if server.max_payload < LARGEST {
            found.push(warn(
                format!("messages may have {} bytes, snapshots have up to {LARGEST}", server.max_payload),
                "set max_payload of nats-server to 1MB or more",
            ));
        }
        found.push(room(config, &account, mics as u64));
        let sound = there.sound.cached_info();
        let (kept, on_disk) = (sound.config.max_age, sound.config.storage == StorageType::File);
        let wanted = Duration::from_secs(60 * u64::from(config.sound_minutes));
        if (kept, on_disk, sound.config.num_replicas) != (wanted, config.sound_on_disk, config.replicas) {
            found.push(warn(
                format!(
                    "{} keeps sound for {} s {} in {} copies, unlike [cluster] says",
                    names.sound,
                    kept.as_secs(),
                    if on_disk { "on disk" } else { "in memory" },
                    sound.config.num_replicas
                ),
                "it was made with other settings: change it with the program `nats` (nats stream edit), or remove it while no worker runs",
            ));
        }
        if calibrate_s * 1.2 > kept.as_secs_f64() {
            found.push(warn(
                format!("a calibration takes {calibrate_s:.0} s of sound, {} s are kept", kept.as_secs()),
                "set sound_minutes in [cluster] to more than a calibration takes: until it ends there is no snapshot, and a worker that dies is replayed from its beginning",
            ));
        }
        Ok(found)
    })
}

/// What JetStream says of the account. Not by the client's own type: servers of version 2.9 leave out some of its fields.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Account {
    memory: u64,
    storage: u64,
    limits: Limits,
    error: Option<Refusal>,
}

/// Bytes; below 0 where there is no limit.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Limits {
    max_memory: i64,
    max_storage: i64,
}

#[derive(Debug, Deserialize)]
struct Refusal {
    description: String,
}

async fn account(client: &Client) -> Result<Account, String> {
    let answer = client.request("$JS.API.INFO", "".into()).await;
    let answer = answer.map_err(|e| format!("JetStream does not answer: {e}"))?;
    let account: Account = serde_json::from_slice(&answer.payload).map_err(|e| format!("JetStream: {e}"))?;
    match account.error {
        Some(refusal) => Err(format!("JetStream: {}", refusal.description)),
        None => Ok(account),
    }
}

/// Whether what the account may store is enough.
fn room(config: &ClusterConfig, account: &Account, mics: u64) -> ClusterFinding {
    let replicas = config.replicas as u64;
    let sound = mics * SOUND_RATE * 60 * u64::from(config.sound_minutes) * replicas;
    let state = mics * STATE_BYTES * replicas;
    let (memory, disk) = if config.sound_on_disk { (0, sound + state) } else { (sound, state) };
    let limits = &account.limits;
    let mib = |bytes: u64| bytes >> 20;
    let text = |what: &str, needs: u64, limit: u64| {
        format!("{mics} microphones need {} MiB {what}, the account may have {} MiB", mib(needs), mib(limit))
    };
    let limit = |limit: i64| u64::try_from(limit).ok().filter(|limit| *limit > 0);
    for (what, needs, limit) in
        [("of memory", memory, limit(limits.max_memory)), ("on disk", disk, limit(limits.max_storage))]
    {
        if let Some(limit) = limit.filter(|limit| *limit < needs) {
            return warn(
                text(what, needs, limit),
                "raise the limits of the account, or lower sound_minutes in [cluster]",
            );
        }
    }
    fine(format!(
        "JetStream: {} MiB of memory and {} MiB on disk are in use; {mics} microphones need about {} and {} MiB",
        mib(account.memory),
        mib(account.storage),
        mib(memory),
        mib(disk)
    ))
}

//! Where a stream resumes, on the servers: written by revision, so that a worker that is behind is refused.

use std::collections::BTreeMap;

use async_nats::jetstream::kv::UpdateErrorKind;

use super::figures::StreamOwner;
use super::jetstream::JetStream;
use super::keys::STREAM;
use super::pack::{pack, pack_parts, unpack, unpack_parts};
use super::stream_channel::{Resume, StreamSnapshot};

/// Prefix of the keys of calibrations: `calibration.STREAM.ID`.
pub(super) const CALIBRATION: &str = "calibration.";

/// The result of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Written {
    /// It is kept, and has so many bytes.
    Kept(usize),
    /// Another worker has written meanwhile: this one has to stop.
    Fenced,
    /// It is not kept, since the servers are away or it is too large.
    Failed(String),
}

/// The resume point of one stream while it is analysed here.
#[derive(Debug)]
pub(super) struct ResumePoint {
    jetstream: JetStream,
    stream: String,
    /// Id of this run.
    writer: String,
    /// Revision of what is kept; 0 for nothing.
    revision: u64,
    pub(super) resume: Option<Resume>,
    /// The memory of a snapshot.
    bytes: Vec<u8>,
    /// Calibrations that are not kept yet: JSON by id.
    unkept: BTreeMap<String, String>,
}

impl ResumePoint {
    /// Reads what is kept and puts the name of this run on it: whoever has written before is refused from here on.
    ///
    /// # Errors
    /// Says why the servers do not tell, or that `node` does not have the lease of the stream.
    pub(super) async fn claim(
        jetstream: &JetStream,
        (stream, node): (&str, &str),
        writer: String,
    ) -> Result<Self, String> {
        let owner = jetstream.leases.get(format!("{STREAM}{stream}")).await.map_err(|e| e.to_string())?;
        let owner = owner.and_then(|value| serde_json::from_slice::<StreamOwner>(&value).ok());
        if owner.is_none_or(|owner| owner.node != node) {
            return Err("its lease is another's".into());
        }
        let entry = jetstream.states.entry(stream).await.map_err(|e| e.to_string())?;
        let revision = entry.as_ref().map_or(0, |entry| entry.revision);
        let (resume, bytes) = entry
            .and_then(|entry| unpack_parts::<Resume>(&entry.value).ok())
            .map_or((None, Vec::new()), |(resume, bytes)| (Some(resume), bytes));
        let mut point = Self {
            jetstream: jetstream.clone(),
            stream: stream.to_owned(),
            writer,
            revision,
            resume: None,
            bytes: Vec::new(),
            unkept: BTreeMap::new(),
        };
        let Some(resume) = resume else { return Ok(point) };
        match point.write(resume, bytes).await {
            Written::Kept(_) => Ok(point),
            Written::Fenced => Err("another worker has just written its resume point".into()),
            Written::Failed(reason) => Err(format!("its resume point is not claimed: {reason}")),
        }
    }

    /// The snapshot of `resume` with its calibrations; the reason where one is missing or damaged.
    ///
    /// # Errors
    /// Says why the servers do not tell.
    pub(super) async fn snapshot(&self, resume: &Resume) -> Result<Result<StreamSnapshot, String>, String> {
        let mut new = Vec::new();
        for id in &resume.calibrations {
            let packed = self.jetstream.states.get(self.calibration_key(id)).await;
            let Some(packed) = packed.map_err(|e| e.to_string())? else {
                return Ok(Err(format!("the calibration {id} is not there")));
            };
            match unpack(&packed) {
                Ok(json) => new.push((id.clone(), json)),
                Err(reason) => return Ok(Err(format!("the calibration {id}: {reason}"))),
            }
        }
        let (session, bytes) = (resume.session.clone(), self.bytes.clone());
        Ok(Ok(StreamSnapshot { session, bytes, calibrations: resume.calibrations.clone(), new }))
    }

    /// Keeps a snapshot. Its calibrations are kept before it, those that it does not name any more are removed after it.
    pub(super) async fn keep_snapshot(&mut self, snapshot: StreamSnapshot, resume: Resume) -> Written {
        let StreamSnapshot { session, bytes, calibrations, new } = snapshot;
        let before = self.resume.as_ref().map_or_else(Vec::new, |resume| resume.calibrations.clone());
        self.unkept.extend(new.into_iter().filter(|(id, _)| !before.contains(id)));
        self.unkept.retain(|id, _| calibrations.contains(id));
        while let Some((id, json)) = self.unkept.pop_first() {
            if let Err(reason) = self.keep_calibration(&id, &json).await {
                self.unkept.insert(id.clone(), json);
                return Written::Failed(format!("the calibration {id}: {reason}"));
            }
        }
        let gone: Vec<String> = before.into_iter().filter(|id| !calibrations.contains(id)).collect();
        let written = self.write(Resume { session, calibrations, ..resume }, bytes).await;
        self.bytes = Vec::new();
        if let Written::Kept(_) = written {
            for id in gone {
                // what stays is removed with the next calibration
                let _ = self.jetstream.states.delete(self.calibration_key(&id)).await;
            }
        }
        written
    }

    /// Keeps the beginning of a session.
    pub(super) async fn keep_beginning(&mut self, resume: Resume) -> Written {
        let calibrations = self.resume.as_ref().map_or_else(Vec::new, |resume| resume.calibrations.clone());
        self.write(Resume { calibrations, ..resume }, Vec::new()).await
    }

    async fn keep_calibration(&self, id: &str, json: &str) -> Result<(), String> {
        let packed = pack(&json)?;
        let kept = self.jetstream.states.put(self.calibration_key(id), packed.into()).await;
        kept.map(drop).map_err(|e| e.to_string())
    }

    fn calibration_key(&self, id: &str) -> String {
        format!("{CALIBRATION}{}.{id}", self.stream)
    }

    async fn write(&mut self, resume: Resume, bytes: Vec<u8>) -> Written {
        let resume = Resume { writer: self.writer.clone(), ..resume };
        // a compression takes some 20 ms, in which other streams must not wait
        let packing = tokio::task::spawn_blocking(move || {
            let packed = pack_parts(&resume, &bytes);
            (resume, bytes, packed)
        });
        let (resume, bytes, packed) = match packing.await {
            Ok((resume, bytes, Ok(packed))) => (resume, bytes, packed),
            Ok((.., Err(reason))) => return Written::Failed(reason),
            Err(error) => return Written::Failed(error.to_string()),
        };
        let size = packed.len();
        let error =
            match self.jetstream.states.update(self.stream.as_str(), packed.into(), self.revision).await {
                Ok(revision) => {
                    (self.revision, self.resume, self.bytes) = (revision, Some(resume), bytes);
                    return Written::Kept(size);
                }
                Err(error) => error,
            };
        // the answer to an earlier write of this run may be lost
        let there = match self.jetstream.states.entry(self.stream.as_str()).await {
            Ok(there) => there,
            Err(error) => return Written::Failed(error.to_string()),
        };
        let kept = there.and_then(|entry| {
            let resume = unpack_parts::<Resume>(&entry.value).ok()?.0;
            Some((entry.revision, resume))
        });
        match kept {
            Some((revision, there)) if revision > self.revision && there.writer == self.writer => {
                self.revision = revision;
                self.resume = Some(there);
                Written::Failed(format!("{error}; an earlier one is"))
            }
            Some((revision, _)) if revision > self.revision => Written::Fenced,
            _ if error.kind() == UpdateErrorKind::WrongLastRevision && self.revision == 0 => Written::Fenced,
            _ => Written::Failed(error.to_string()),
        }
    }
}

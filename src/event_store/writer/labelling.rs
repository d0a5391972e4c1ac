//! Changes of labels, on the thread `events`.

use serde_json::{Value, json};

use super::Writer;
use crate::error::{Error, Result};
use crate::event_store::labels::{LabelChange, checked};
use crate::event_store::row::Row;
use crate::event_store::store::record_written;

impl Writer {
    pub(super) fn change_labels(&self, change: LabelChange) -> Result<Value> {
        if let LabelChange::Event { id, label } = change {
            let label = checked(&label)?;
            let Some(mut row) = self.store.row(&id)? else {
                return Err(Error::config("no such event is kept", "name one of the event store by its id"));
            };
            self.relabel(&id, &mut row, label)?;
            let answer = json!({ "id": id, "label": row.label });
            record_written(&self.store.shared.waiting).insert(id, row);
            return Ok(answer);
        }
        let outcome = record_written(&self.store.shared.labels).change(change);
        self.store.shared.renew_recogniser();
        outcome
    }

    /// Takes in the label of an event: it was recognised, or given before the sound of the event was known.
    pub(super) fn count_label(&self, id: &str, row: &Row) {
        let mut labels = record_written(&self.store.shared.labels);
        if row.recognised {
            labels.count(&row.label);
        } else if let Some(example) = row.example(id, &row.label).filter(|_| !row.label.is_empty()) {
            let is_new = !labels.has(&row.label);
            match labels.add(example) {
                Ok(()) if is_new => labels.recount("", &row.label),
                Ok(()) => {}
                Err(error) => tracing::warn!(fix = error.fix(), "event {id}: {error}"),
            }
            drop(labels);
            self.store.shared.renew_recogniser();
        }
    }

    /// Gives an event a label, and makes it an example of that; an empty one takes both back.
    pub(super) fn relabel(&self, id: &str, row: &mut Row, label: String) -> Result<()> {
        let mut labels = record_written(&self.store.shared.labels);
        match row.example(id, &label).filter(|_| !label.is_empty()) {
            Some(example) => labels.add(example)?,
            None => labels.remove(id),
        }
        labels.recount(&row.label, &label);
        drop(labels);
        self.store.shared.renew_recogniser();
        (row.label, row.recognised) = (label, false);
        Ok(())
    }
}

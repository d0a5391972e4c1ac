//! The forms in which checkpoints come.

use std::collections::BTreeMap;
use std::path::Path;

use super::settings::Settings;
use super::weights::Weights;
use crate::error::{Error, Result};
use crate::torch_file::{Kind, TensorSpec, TorchFile, Value};

/// A checkpoint taken apart.
pub(super) struct Checkpoint {
    /// Its form, in words.
    pub(super) form: String,
    /// g_enc, g_ar and, if they are there, the heads.
    pub(super) weights: Weights,
    pub(super) settings: Settings,
    /// Entries that hold nothing of the model.
    pub(super) skipped: Vec<String>,
}

/// Opens the checkpoint at `path`; `args` are its settings, where they are not beside it or in it.
pub(super) fn open(path: &Path, args: Option<&Path>) -> Result<Checkpoint> {
    let file = TorchFile::open(path)?;
    let checkpoint = |e: Error| e.context(format!("checkpoint {}", path.display()));
    let root = file.root();
    let of = |key: &str| root.get(key).filter(|value| matches!(value.kind(), Kind::Dict));
    let (form, parts, known) = match (of("gEncoder"), of("weights")) {
        (Some(network), _) => {
            let heads = of("cpcCriterion");
            ("training checkpoint", [Some(network), heads], ["gEncoder", "cpcCriterion"])
        }
        (None, Some(weights)) => ("checkpoint of torch.hub", [Some(weights), None], ["weights", "config"]),
        (None, None) => ("state dict", [Some(root), None], ["", ""]),
    };
    let mut tensors = BTreeMap::new();
    for part in parts.into_iter().flatten() {
        collect(part, &mut tensors);
    }
    let keys: Vec<&str> = texts(root).filter(|key| !known.contains(key)).collect();
    if tensors.is_empty() {
        let keys = keys.into_iter().take(8).collect::<Vec<_>>().join("`, `");
        return Err(checkpoint(Error::model(
            format!("no state dict in it; its keys are `{keys:.200}`"),
            "give a checkpoint of CPC_audio: `gEncoder` and `cpcCriterion`, or `config` and `weights`, or a state dict",
        )));
    }
    let skipped =
        if form == "state dict" { Vec::new() } else { keys.iter().map(|k| (*k).to_owned()).collect() };
    let beside = path.with_file_name("checkpoint_args.json");
    let settings = match (args, of("config").filter(|_| form == "checkpoint of torch.hub")) {
        (Some(args), _) => Settings::from_json(args)?,
        (None, Some(config)) => Settings::from_value(config),
        (None, None) => args_beside(&beside)?,
    };
    let form = format!("{form}, {}", file.form());
    Ok(Checkpoint { form, weights: Weights::new(file, tensors), settings, skipped })
}

fn args_beside(path: &Path) -> Result<Settings> {
    if path.is_file() { Settings::from_json(path) } else { Ok(Settings::default()) }
}

fn texts(dict: Value<'_>) -> impl Iterator<Item = &str> {
    dict.entries().filter_map(|(key, _)| if let Kind::Text(text) = key.kind() { Some(text) } else { None })
}

/// The tensors of a state dict by name, without the `module.` that nn.DataParallel puts before every one.
fn collect(state: Value<'_>, tensors: &mut BTreeMap<String, TensorSpec>) {
    let named = state.entries().filter_map(|(key, value)| match (key.kind(), value.kind()) {
        (Kind::Text(name), Kind::Tensor(spec)) => Some((name, spec)),
        _ => None,
    });
    let named: Vec<_> = named.collect();
    let parallel = named.iter().all(|(name, _)| name.starts_with("module."));
    for (name, spec) in named {
        let name = if parallel { name.strip_prefix("module.").unwrap_or(name) } else { name };
        tensors.insert(name.to_owned(), spec.clone());
    }
}

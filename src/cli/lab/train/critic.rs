//! `train --critic-only`: a critic for a model that is there.

use candle_core::Device;

use super::args::TrainArgs;
use crate::cli::args::{stdout, stop_flag};
use crate::cli::lab::bar::{bar, show_on};
use crate::config::TrainConfig;
use crate::corpus::Selection;
use crate::error::{Error, Result};
use crate::model::{self, BANK, Cpc};
use crate::train::{CriticDataset, train_critic};

/// Runs it.
///
/// # Errors
/// When the data has no material for scenes, or the disk refuses.
pub(super) fn run(args: &TrainArgs, config: &TrainConfig) -> Result<()> {
    let Some(path) = &args.init else {
        return Err(Error::config("no model to teach a critic for", "name it with `--init MODEL`"));
    };
    let (mut manifest, mut tensors) = model::read(path, &Device::Cpu)?;
    let mut unjudged = tensors.clone();
    unjudged.remove(BANK);
    let cpc = Cpc::load(&unjudged, &manifest.architecture)?;
    let mut out = stdout();
    let progress = bar()?;
    let dataset = {
        let mut show = show_on(&progress);
        CriticDataset::read(&args.data, Selection::Train, |done, total| show("reading", done, total))?
    };
    for line in &dataset.skipped {
        out.line(format_args!("skipped {line}"))?;
    }
    let (places, foreign) = dataset.count();
    out.line(format_args!(
        "{places} sites and {foreign} foreign sounds; {} scenes, {} steps",
        config.critic.scenes, config.critic.steps
    ))?;
    let stop = stop_flag()?;
    let show = |what: &str, done: usize, total: usize| {
        progress.set_message(what.to_owned());
        progress.set_length(total as u64);
        progress.set_position(done as u64);
    };
    let (shape, critic, mark) =
        train_critic((&cpc, &manifest), &dataset, (&config.critic, config.seed), &stop, &show)?;
    progress.finish_and_clear();
    tensors.retain(|name, _| !name.starts_with("critic."));
    tensors.extend(critic);
    manifest.architecture.critic = Some(shape);
    let manifest = model::save(&args.out, &tensors, manifest)?;
    out.line(format_args!(
        "critic after step {}: loss {:.4}, held out {:.4} nats, AUC {:.4} over rows of 50 ms",
        mark.step, mark.loss, mark.held_out, mark.auc
    ))?;
    out.line(format_args!("wrote {} ({})", args.out.display(), manifest.short_hash()))
}

//! `wPrediction.predictors.*`: one head for each k.

use candle_core::Tensor;

use super::ImportReport;
use super::settings::Settings;
use super::weights::Weights;
use crate::error::{Error, Result};
use crate::nn::Tensors;
use crate::predict::HeadsConfig;

/// Heads, at most.
const MAX_HEADS: usize = 64;

/// Moves the heads from `weights` to `tensors`; `latent` and `context` are the widths of z_t and c_t.
pub(super) fn convert(
    weights: &mut Weights,
    settings: &Settings,
    (latent, context): (usize, usize),
    tensors: &mut Tensors,
    report: &mut ImportReport,
) -> Result<HeadsConfig> {
    let linear = |k: usize| format!("wPrediction.predictors.{k}.weight");
    let first = |k: usize| format!("wPrediction.predictors.{k}.lin1.module.weight");
    let second = |k: usize| format!("wPrediction.predictors.{k}.lin2.module.weight");
    let count = |weights: &Weights, name: &dyn Fn(usize) -> String| {
        (0..=MAX_HEADS).take_while(|&k| weights.shape(&name(k)).is_some()).count()
    };
    let (horizons, hidden) = match (count(weights, &linear), weights.shape(&first(0))) {
        (0, Some([units, _])) => (count(weights, &first), Some(*units)),
        (horizons, _) => (horizons, None),
    };
    if !(1..=MAX_HEADS).contains(&horizons) {
        return Err(Error::model(
            format!(
                "{horizons} linear or ffd heads `wPrediction.predictors.…` found, 1 to {MAX_HEADS} expected"
            ),
            "import it with `--without-heads`, then make linear ones with `cpc-lab train --heads-only`",
        ));
    }
    settings.agree_text("rnnMode", if hidden.is_some() { "ffd" } else { "linear" }, report)?;
    settings.agree_int("nPredicts", horizons, report)?;
    let mut stack =
        |target: &str, name: &dyn Fn(usize) -> String, shape: &[usize], factor: f64| -> Result<()> {
            let all: Vec<Tensor> =
                (0..horizons).map(|k| weights.take(&name(k), shape)).collect::<Result<_>>()?;
            tensors.insert(target.to_owned(), (Tensor::stack(&all, 0)? * factor)?);
            Ok(())
        };
    match hidden {
        None => stack("heads.weight", &linear, &[latent, context], 1.0)?,
        Some(units) => {
            // what CPC_audio multiplies the output of each layer with, bias and all
            let factor = |inputs: usize| (2.0 / inputs as f64).sqrt();
            let bias = |name: String| name.replace("weight", "bias");
            stack("heads.lin1.weight", &first, &[units, context], factor(context))?;
            stack("heads.lin1.bias", &|k| bias(first(k)), &[units], factor(context))?;
            stack("heads.lin2.weight", &second, &[latent, units], factor(units))?;
            stack("heads.lin2.bias", &|k| bias(second(k)), &[latent], factor(units))?;
            report.folded.push(
                "the scale √(2 / inputs) of the layers of each head into their weights and biases".to_owned(),
            );
        }
    }
    Ok(HeadsConfig { horizons, scale: 1.0 / latent as f64, hidden })
}

//! `gAR.baseNet.*`: a stack of recurrent layers.

use super::ImportReport;
use super::settings::Settings;
use super::weights::Weights;
use crate::context::ContextConfig;
use crate::error::{Error, Result};
use crate::nn::Tensors;

/// Layers, at most.
const MAX_LAYERS: usize = 4;

/// Moves the context network from `weights` to `tensors`; `latent` is the width of z_t.
pub(super) fn convert(
    weights: &mut Weights,
    settings: &Settings,
    latent: usize,
    tensors: &mut Tensors,
    report: &mut ImportReport,
) -> Result<ContextConfig> {
    let shape = weights.shape("gAR.baseNet.weight_hh_l0").unwrap_or_default();
    let [rows, hidden] = *shape else {
        return Err(Error::model(
            "no tensor `gAR.baseNet.weight_hh_l0`: there is no recurrent context network",
            "give a model with arMode GRU or LSTM",
        ));
    };
    let (kind, mode, gates) = match rows.checked_div(hidden) {
        Some(3) => ("gru", "GRU", 3),
        Some(4) => ("lstm", "LSTM", 4),
        gates => {
            return Err(Error::model(
                format!(
                    "a recurrent network of {} gates a unit; 3 (GRU) or 4 (LSTM) expected",
                    gates.unwrap_or(0)
                ),
                "give a model with arMode GRU or LSTM",
            ));
        }
    };
    settings.agree_text("arMode", mode, report)?;
    settings.agree_int("hiddenGar", hidden, report)?;
    let mut layers = 0;
    while weights.shape(&format!("gAR.baseNet.weight_hh_l{layers}")).is_some() {
        if layers == MAX_LAYERS {
            return Err(Error::model(
                format!("more than {MAX_LAYERS} recurrent layers"),
                format!("give a model of 1 to {MAX_LAYERS} layers (nLevelsGRU)"),
            ));
        }
        let inputs = if layers == 0 { latent } else { hidden };
        for (part, shape) in [
            ("weight_ih", vec![gates * hidden, inputs]),
            ("weight_hh", vec![gates * hidden, hidden]),
            ("bias_ih", vec![gates * hidden]),
            ("bias_hh", vec![gates * hidden]),
        ] {
            let tensor = weights.take(&format!("gAR.baseNet.{part}_l{layers}"), &shape)?;
            tensors.insert(format!("context.{kind}{layers}.{part}"), tensor);
        }
        layers += 1;
    }
    settings.agree_int("nLevelsGRU", layers, report)?;
    Ok(if gates == 3 {
        ContextConfig::Gru { hidden, layers }
    } else {
        ContextConfig::Lstm { hidden, layers }
    })
}

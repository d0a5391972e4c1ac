//! Models of CPC_audio that a causal stream cannot run.

use super::settings::Settings;
use super::weights::Weights;
use crate::error::{Error, Result};

const CAUSAL: &str = "give a model with arMode GRU or LSTM and cpc_mode none";
const WITHOUT_HEADS: &str =
    "import it with `--without-heads`, then make linear ones with `cpc-lab train --heads-only`";

/// Parts of tensor names that show an unsupported form: prefix, part, description, fix.
const NAMES: [(&str, &str, &str, &str); 13] = [
    ("models.", "", "several models side by side", "give the checkpoint of one model"),
    ("gAR.", "_reverse", "a context network that hears the future (both directions)", CAUSAL),
    ("gAR.netBackward", "", "a context network that hears the future (both directions)", CAUSAL),
    ("gAR.ARNet", "", "a context network that hears the future (both directions)", CAUSAL),
    ("gAR.", ".multihead.", "a transformer as context network, bound to windows of one length", CAUSAL),
    ("wPrediction.", ".multihead.", "transformer heads, bound to windows of one length", WITHOUT_HEADS),
    ("wPrediction.", ".ffnetwork.", "transformer heads, bound to windows of one length", WITHOUT_HEADS),
    ("wPrediction.", ".module.module.", "convolutional heads", WITHOUT_HEADS),
    ("wPrediction.", ".weight_ih_l", "recurrent heads", WITHOUT_HEADS),
    ("speakerEmb.", "", "heads that are told who speaks", WITHOUT_HEADS),
    ("PhoneCriterion", "", "a classifier of phones in place of prediction heads", WITHOUT_HEADS),
    ("CTCPhoneCriterion", "", "a classifier of phones in place of prediction heads", WITHOUT_HEADS),
    ("linearSpeakerClassifier", "", "a classifier of speakers in place of prediction heads", WITHOUT_HEADS),
];

/// Refuses, by name, what the settings or the tensors show to be of another kind. `heads` says whether there are heads
/// to import.
pub(super) fn refuse(settings: &Settings, weights: &Weights, heads: bool) -> Result<()> {
    for name in weights.names() {
        let found = NAMES.iter().find(|(start, part, ..)| name.starts_with(start) && name.contains(part));
        if let Some((_, _, what, fix)) = found {
            return Err(Error::model(format!("{what} (tensor `{name}`)"), *fix));
        }
    }
    let one_of = |key: &str, known: &[&str], why: &str, fix: &str| match settings.text(key)? {
        Some(given) if !known.contains(&given) => {
            Err(Error::model(format!("`{key}` is {given}{why}; known here: {}", known.join(", ")), fix))
        }
        _ => Ok(()),
    };
    let conv = "give a model with encoder_type cpc";
    one_of("encoder_type", &["cpc"], ", an encoder on spectra of its own", conv)?;
    one_of("cpc_mode", &["none"], ", a network that hears sound backwards", CAUSAL)?;
    one_of("arMode", &["GRU", "LSTM"], ", a context network that is not read here", CAUSAL)?;
    let norm = "give a model trained with normMode layerNorm or batchNorm";
    let whole_window = ", which needs the statistics of a whole window";
    one_of("normMode", &["layerNorm", "batchNorm", "ID"], whole_window, norm)?;
    if !heads {
        return Ok(());
    }
    one_of("rnnMode", &["linear", "ffd"], ", heads that are not read here", WITHOUT_HEADS)?;
    if settings.is_true("supervised") {
        return Err(Error::model("`supervised` is true: its criterion is a classifier", WITHOUT_HEADS));
    }
    match settings.int("speakerEmbedding")? {
        Some(width) if width != 0 => Err(Error::model(
            format!("`speakerEmbedding` is {width}: heads that are told who speaks"),
            WITHOUT_HEADS,
        )),
        _ => Ok(()),
    }
}

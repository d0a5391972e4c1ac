//! The plan of a model: its layers as plain numbers.

use candle_core::{Result, Tensor};

use super::Cpc;
use crate::encode::Encoder;
use crate::kernels::{Convolution, Matrix, Norm, Plan, Recurrence};
use crate::nn::{BatchState, BlockConv, ChannelNorm, Gru, LogMel};
use crate::units::{BANDS, HOP};

/// The plan of a model that can score, where kernels know all its layers: convolutions on samples or on the bands that
/// detection looks at, gated recurrent units, linear heads.
///
/// # Errors
/// When the device of the model fails.
pub fn plan_of(cpc: &Cpc) -> Result<Option<Plan>> {
    let (Some(bank), Some(grus)) = (cpc.bank(), cpc.context().grus()) else { return Ok(None) };
    let Some((heads, scale)) = cpc.heads().and_then(|heads| heads.linear()) else { return Ok(None) };
    let (log_mel, site, convolutions) = match (cpc.encoder(), cpc.log_mel()) {
        (Encoder::Raw(raw), Some(log_mel)) => {
            let mut frames = HOP;
            let layers = raw.layers().iter().map(|(conv, norm)| {
                frames /= conv.stride();
                convolution(conv, norm.as_ref(), frames)
            });
            (log_mel, None, layers.collect::<Result<Vec<_>>>()?)
        }
        (Encoder::Spectral(spectral), None) if spectral.bands() == BANDS => {
            let (bands, site, layers) = spectral.parts();
            let layers = layers.iter().map(|(conv, norm)| convolution(conv, Some(norm), 1));
            (bands, Some(site.least() as f32), layers.collect::<Result<Vec<_>>>()?)
        }
        _ => return Ok(None),
    };
    let (fourier, mel) = filterbank(log_mel)?;
    let heads = (heads * scale)?;
    let horizons = heads.dim(0)?;
    let mut fresh = Vec::new();
    for tensor in cpc.zero_state(1)?.tensors() {
        fresh.extend(numbers(tensor)?);
    }
    Ok(Some(Plan {
        fourier,
        mel,
        site,
        convolutions,
        recurrences: grus.into_iter().map(recurrence).collect::<Result<_>>()?,
        heads: (0..horizons).map(|k| matrix(&heads.get(k)?)).collect::<Result<_>>()?,
        bank: matrix(&bank.t()?)?,
        fresh,
    }))
}

fn numbers(tensor: &Tensor) -> Result<Vec<f32>> {
    tensor.flatten_all()?.to_vec1()
}

fn matrix(tensor: &Tensor) -> Result<Matrix> {
    let (rows, cols) = tensor.dims2()?;
    Ok(Matrix { rows, cols, data: numbers(tensor)? })
}

fn filterbank(log_mel: &LogMel) -> Result<(Matrix, Matrix)> {
    let (fourier, mel) = log_mel.weights();
    Ok((matrix(fourier)?, matrix(mel)?))
}

fn convolution(conv: &BlockConv, norm: Option<&ChannelNorm>, frames: usize) -> Result<Convolution> {
    let (past, now, bias) = conv.weights();
    let norm = norm.map(|norm| {
        let (gain, bias) = norm.weights();
        Ok::<_, candle_core::Error>(Norm { gain: numbers(gain)?, bias: numbers(bias)? })
    });
    Ok(Convolution {
        past: matrix(past)?,
        now: matrix(now)?,
        bias: numbers(bias)?,
        norm: norm.transpose()?,
        frames,
    })
}

fn recurrence(gru: &Gru) -> Result<Recurrence> {
    let [input, hidden, input_bias, hidden_bias] = gru.weights();
    Ok(Recurrence {
        input: matrix(input)?,
        hidden: matrix(hidden)?,
        input_bias: numbers(input_bias)?,
        hidden_bias: numbers(hidden_bias)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::ContextConfig;
    use crate::model::{Architecture, BANK};
    use crate::nn::{Tensors, uniform};
    use candle_core::Device;
    use rand::SeedableRng;

    fn model(architecture: &Architecture) -> Cpc {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(5);
        let vars = Cpc::init(&mut rng, architecture, &Device::Cpu).unwrap();
        let mut tensors: Tensors = vars.into_iter().map(|(n, v)| (n, v.as_detached_tensor())).collect();
        let bank = uniform(&mut rng, &[32, architecture.encoder.latent()], 1.0, &Device::Cpu).unwrap();
        tensors.insert(BANK.to_owned(), bank.as_detached_tensor());
        Cpc::load(&tensors, architecture).unwrap()
    }

    #[test]
    fn a_hop_of_the_published_widths_costs_what_the_paper_of_its_shape_says() {
        // 27.2, 7.7 and 0.8 million multiply-adds for 128 negatives; 32 negatives are 12 · 96 · d fewer
        for (name, expected) in [("512", 27.2), ("256", 7.7), ("edge", 0.8)] {
            let architecture = Architecture::named(name).unwrap();
            let plan = plan_of(&model(&architecture)).unwrap().unwrap();
            let more = 12 * 96 * plan.latent();
            let million = (plan.multiply_adds() + more) as f64 / 1e6;
            assert!((million - expected).abs() < 0.1, "{name}: {million}");
            assert_eq!(plan.memory().len, plan.fresh.len(), "{name}");
        }
    }

    #[test]
    fn the_map_of_the_memory_is_that_of_the_state() {
        for mut architecture in [Architecture::edge(), Architecture::spectral()] {
            architecture.context = ContextConfig::Gru { hidden: 24, layers: 2 };
            let cpc = model(&architecture);
            let plan = plan_of(&cpc).unwrap().unwrap();
            let map = plan.memory();
            let mut parts = map.blocks.clone();
            parts.extend(map.hidden.clone());
            parts.extend([map.contexts.clone(), map.missing.clone()]);
            let spectral = plan.site.is_some();
            let at = if spectral { 0 } else { parts.len() };
            parts.insert(at, map.sound.clone());
            if spectral {
                let (bands, site) = (plan.bands(), map.site.start);
                let cuts =
                    [site..site + bands, site + bands..site + 2 * bands, site + 2 * bands..map.site.end];
                parts.splice(1..1, cuts);
            }
            let state = cpc.zero_state(1).unwrap();
            let lens: Vec<usize> = state.tensors().iter().map(|t| t.elem_count()).collect();
            assert_eq!(parts.iter().map(ExactSizeIterator::len).collect::<Vec<_>>(), lens);
            assert!(plan.fresh[map.missing].iter().all(|x| x.is_nan()));
        }
    }

    #[test]
    fn layers_that_kernels_do_not_know_have_no_plan() {
        let mut architecture = Architecture::edge();
        architecture.context = ContextConfig::Lstm { hidden: 16, layers: 1 };
        assert_eq!(plan_of(&model(&architecture)).unwrap(), None);
        let mut architecture = Architecture::edge();
        architecture.heads =
            architecture.heads.map(|heads| crate::predict::HeadsConfig { hidden: Some(8), ..heads });
        assert_eq!(plan_of(&model(&architecture)).unwrap(), None);
    }
}

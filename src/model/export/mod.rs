//! A model as a graph of ONNX, which other programs run without this one: samples in; z, c and predictions out.
//!
//! There are two graphs. [`Form::Whole`] takes whole clips, with silence before them. [`Form::Step`] takes the next hops of streams and what the
//! streams remember, and gives what they remember next: all of it is one tensor, `[batch, width]`, of zeros at the start. Both are written by the same
//! code; a convolution reads silence in the one and the end of the last piece in the other.

mod context;
mod encoder;
mod graph;
mod heads;
mod memory;
mod site;

use graph::{BATCH, Export};
use memory::Memory;

use super::{Cpc, Manifest};
use crate::error::Result;
use crate::nn::{Tensors, WeightSource};
use crate::onnx_file::{Dim, Graph, file};

const CITATION: &str = "van den Oord, Li, Vinyals: Representation Learning with Contrastive Predictive Coding, arXiv:1807.03748 (2018); \
                        cpc-stream, The cpc-stream authors, version ";
const FRAMES: Dim = Dim::Any("frames");

/// Which graph of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Over whole clips.
    Whole,
    /// Over the next hops of streams, with their state.
    Step,
}

/// The bytes of an ONNX file with the model's graph.
///
/// # Errors
/// When tensors and architecture disagree.
pub fn onnx(manifest: &Manifest, tensors: &Tensors, form: Form) -> Result<Vec<u8>> {
    let architecture = &manifest.architecture;
    let name = match form {
        Form::Whole => "whole",
        Form::Step => "step",
    };
    let mut export = Export {
        graph: Graph::new(name),
        source: WeightSource::new(tensors),
        memory: Memory::new(form == Form::Step),
    };
    let about = match form {
        Form::Whole => "16 kHz, mono, -1 to 1; a last hop that is not filled is left out",
        Form::Step => "16 kHz, mono, -1 to 1; the next hops of each stream, 160 samples each",
    };
    export.graph.input("samples", &[BATCH, Dim::Any("samples")], about);
    let (latent, context) = (architecture.encoder.latent(), architecture.context.width());
    export.encoder(&architecture.encoder)?;
    export.context(&architecture.context, latent)?;
    export.graph.output("z", &[BATCH, FRAMES, Dim::Size(latent)], "latents, a frame every 10 ms");
    export.graph.output("c", &[BATCH, FRAMES, Dim::Size(context)], "contexts");
    if let Some(heads) = &architecture.heads {
        export.heads(heads, (latent, context))?;
        let dims = [BATCH, FRAMES, Dim::Size(heads.horizons), Dim::Size(latent)];
        let what = "[b, t, k - 1]: what c_t says of z_{t+k}; its inner product with a latent is the logit of that latent";
        export.graph.output("predictions", &dims, what);
    }
    let width = export.remember();
    let cpc = Cpc::load(tensors, architecture)?;
    let mut properties = properties(manifest, cpc.geometry().receptive_field);
    properties.push(("graph", name.to_owned()));
    if form == Form::Step {
        properties.push(("state_width", width.to_string()));
    }
    let description = format!("{}: z, c and predictions of sound at 16 kHz, {name} graph", manifest.name);
    Ok(file(&export.graph, &description, &properties))
}

fn properties(manifest: &Manifest, receptive_field: usize) -> Vec<(&'static str, String)> {
    let horizons: Vec<String> = (1..=manifest.architecture.horizons()).map(|k| k.to_string()).collect();
    let version = env!("CARGO_PKG_VERSION");
    vec![
        ("name", manifest.name.clone()),
        ("version", version.to_owned()),
        ("sha256", manifest.sha256.clone()),
        ("sample_rate", manifest.sample_rate.to_string()),
        ("hop", manifest.hop.to_string()),
        ("receptive_field", receptive_field.to_string()),
        ("horizons", horizons.join(",")),
        ("licence", manifest.licence.clone()),
        ("data", manifest.data.sources.join("; ")),
        ("citation", format!("{CITATION}{version}")),
    ]
}

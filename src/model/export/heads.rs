//! W_1 … W_K: `c` to `predictions`, `[batch, frames, K, d]`.

use super::encoder::numbers;
use super::graph::Export;
use crate::error::Result;
use crate::predict::HeadsConfig;

impl Export<'_> {
    pub(super) fn heads(&mut self, config: &HeadsConfig, (latent, context): (usize, usize)) -> Result<()> {
        let (k, scale) = (config.horizons, config.scale);
        let Some(units) = config.hidden else {
            let weight = (self.source.get("heads.weight", &[k, latent, context])? * scale)?;
            let side_by_side = weight.permute((2, 0, 1))?;
            self.graph.floats("heads.weight", &[context, k * latent], &numbers(&side_by_side)?);
            self.graph.node("MatMul", &["c", "heads.weight"], &["heads.all"], &[]);
            let shape = self.graph.ints(&[0, 0, k as i64, latent as i64]);
            self.graph.node("Reshape", &["heads.all", &shape], &["predictions"], &[]);
            return Ok(());
        };
        let first = self.source.get("heads.lin1.weight", &[k, units, context])?.permute((2, 0, 1))?;
        self.graph.floats("heads.lin1.weight", &[context, k * units], &numbers(&first)?);
        let bias = self.source.get("heads.lin1.bias", &[k, units])?;
        self.graph.floats("heads.lin1.bias", &[k * units], &numbers(&bias)?);
        let second = (self.source.get("heads.lin2.weight", &[k, latent, units])?.transpose(1, 2)? * scale)?;
        self.graph.floats("heads.lin2.weight", &[k, units, latent], &numbers(&second)?);
        let bias = (self.source.get("heads.lin2.bias", &[k, latent])? * scale)?;
        self.graph.floats("heads.lin2.bias", &[k, latent], &numbers(&bias)?);
        let (shape, axis) = (self.graph.ints(&[0, 0, k as i64, 1, units as i64]), self.graph.ints(&[3]));
        for (op, inputs, output) in [
            ("MatMul", ["c", "heads.lin1.weight"], "heads.first"),
            ("Add", ["heads.first", "heads.lin1.bias"], "heads.inner"),
            ("Reshape", ["heads.inner", &shape], "heads.rows"),
        ] {
            self.graph.node(op, &inputs, &[output], &[]);
        }
        self.graph.node("Relu", &["heads.rows"], &["heads.rectified"], &[]);
        for (op, inputs, output) in [
            ("MatMul", ["heads.rectified", "heads.lin2.weight"], "heads.second"),
            ("Squeeze", ["heads.second", &axis], "heads.outer"),
            ("Add", ["heads.outer", "heads.lin2.bias"], "predictions"),
        ] {
            self.graph.node(op, &inputs, &[output], &[]);
        }
        Ok(())
    }
}

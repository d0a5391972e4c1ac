//! Adam (Kingma and Ba, arXiv 1412.6980), with moments that can be written down.

use std::collections::BTreeMap;

use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor, Var};

use crate::nn::Tensors;

const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

/// Moments of every variable, by name.
#[derive(Debug, Clone, Default)]
pub(super) struct Adam {
    moments: BTreeMap<String, (Tensor, Tensor)>,
    steps: i32,
}

impl Adam {
    /// One step of every variable that has a gradient, after the gradient was scaled down to a norm of at most
    /// `clip_norm`. Gives the norm before.
    pub(super) fn step(
        &mut self,
        vars: &BTreeMap<String, Var>,
        gradients: &GradStore,
        learning_rate: f64,
        clip_norm: f64,
    ) -> Result<f64> {
        let mut squares = 0.0;
        for var in vars.values() {
            if let Some(gradient) = gradients.get(var) {
                squares += f64::from(gradient.sqr()?.sum_all()?.to_scalar::<f32>()?);
            }
        }
        let norm = squares.sqrt();
        let factor = if norm > clip_norm { clip_norm / norm } else { 1.0 };
        self.steps += 1;
        let (first, second) = (1.0 - BETA1.powi(self.steps), 1.0 - BETA2.powi(self.steps));
        for (name, var) in vars {
            let Some(gradient) = gradients.get(var) else { continue };
            let gradient = (gradient * factor)?;
            let (m, v) = match self.moments.get(name) {
                Some((m, v)) => (m.clone(), v.clone()),
                None => (gradient.zeros_like()?, gradient.zeros_like()?),
            };
            let m = ((m * BETA1)? + (&gradient * (1.0 - BETA1))?)?;
            let v = ((v * BETA2)? + (gradient.sqr()? * (1.0 - BETA2))?)?;
            let deviation = ((&v / second)?.sqrt()? + EPSILON)?;
            let change = ((&m * (learning_rate / first))? / deviation)?;
            var.set(&(var.as_tensor() - change)?.detach())?;
            self.moments.insert(name.clone(), (m.detach(), v.detach()));
        }
        Ok(norm)
    }

    /// The state for a checkpoint: `m.NAME` and `v.NAME`, and the number of steps.
    pub(super) fn to_tensors(&self) -> (Tensors, i32) {
        let both = self
            .moments
            .iter()
            .flat_map(|(name, (m, v))| [(format!("m.{name}"), m.clone()), (format!("v.{name}"), v.clone())]);
        (both.collect(), self.steps)
    }

    /// The moments as they were [`to_tensors`](Self::written).
    pub(super) fn read(tensors: &Tensors, steps: i32) -> Self {
        let moments = tensors.iter().filter_map(|(name, m)| {
            let name = name.strip_prefix("m.")?;
            Some((name.to_owned(), (m.clone(), tensors.get(&format!("v.{name}"))?.clone())))
        });
        Self { moments: moments.collect(), steps }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    fn descend(adam: &mut Adam, vars: &BTreeMap<String, Var>, steps: usize) -> Vec<f32> {
        for _ in 0..steps {
            let x = vars["x"].as_tensor();
            let target = Tensor::new(&[1f32, -2.0], &Device::Cpu).unwrap();
            let loss = (x - target).unwrap().sqr().unwrap().sum_all().unwrap();
            adam.step(vars, &loss.backward().unwrap(), 0.05, 100.0).unwrap();
        }
        vars["x"].to_vec1().unwrap()
    }

    fn start() -> BTreeMap<String, Var> {
        let x = Var::new(&[0f32, 0.0], &Device::Cpu).unwrap();
        BTreeMap::from([("x".to_owned(), x)])
    }

    #[test]
    fn the_first_step_is_the_learning_rate_and_the_minimum_is_found() {
        let (vars, mut adam) = (start(), Adam::default());
        let first = descend(&mut adam, &vars, 1);
        assert!((first[0] - 0.05).abs() < 1e-5 && (first[1] + 0.05).abs() < 1e-5, "{first:?}");
        let last = descend(&mut adam, &vars, 500);
        assert!((last[0] - 1.0).abs() < 1e-2 && (last[1] + 2.0).abs() < 1e-2, "{last:?}");
    }

    #[test]
    fn written_and_read_it_goes_on_as_if_nothing_had_happened() {
        let (vars, mut adam) = (start(), Adam::default());
        let whole = descend(&mut adam, &vars, 20);
        let (vars, mut adam) = (start(), Adam::default());
        descend(&mut adam, &vars, 9);
        let (tensors, steps) = adam.to_tensors();
        assert_eq!(descend(&mut Adam::read(&tensors, steps), &vars, 11), whole);
    }
}

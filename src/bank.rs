//! The negative bank: vectors that InfoNCE scores the truth against.
//!
//! PMI_k(u) = l⁺_k − (LSE_j l_kj − ln N), where j runs over the N vectors of the bank: an estimate that does not
//! grow with N (CPC paper, arXiv 1807.03748, section 2.3, where the negatives come from the batch).

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// N latent vectors of width d, row-major. Static: it never changes while a stream runs.
#[derive(Debug, Clone, PartialEq)]
pub struct NegativeBank {
    vectors: Vec<f32>,
    width: usize,
}

impl NegativeBank {
    /// A bank of the rows of `vectors`, `[N, width]` row-major.
    ///
    /// # Errors
    /// If `width` is 0, the length is no multiple of it, N < 2 or a value is not finite.
    pub fn new(vectors: Vec<f32>, width: usize) -> Result<Self> {
        let refuse = |cause: String| {
            let fix = "train or import the model again: its file must hold at least 2 finite prototypes of d values";
            Err(Error::model(format!("negative bank: {cause}"), fix))
        };
        if width == 0 {
            return refuse("vectors of width 0".into());
        }
        if !vectors.len().is_multiple_of(width) {
            return refuse(format!(
                "{} values are no whole number of vectors of width {width}",
                vectors.len()
            ));
        }
        if vectors.len() < 2 * width {
            return refuse(format!("{} vectors, expected at least 2", vectors.len() / width));
        }
        if let Some(at) = vectors.iter().position(|x| !x.is_finite()) {
            return refuse(format!("vector {} holds {}, expected finite values", at / width, vectors[at]));
        }
        Ok(Self { vectors, width })
    }

    /// A bank of prototypes, one vector each.
    ///
    /// # Errors
    /// As [`NegativeBank::new`], or if two prototypes differ in length.
    pub fn from_prototypes(prototypes: &[Vec<f32>]) -> Result<Self> {
        let width = prototypes.first().map_or(0, Vec::len);
        if let Some(odd) = prototypes.iter().position(|p| p.len() != width) {
            let cause = format!(
                "negative bank: prototype {odd} has {} values, the first has {width}",
                prototypes[odd].len()
            );
            return Err(Error::model(cause, "train or import the model again: all prototypes have d values"));
        }
        Self::new(prototypes.concat(), width)
    }

    /// N, the number of vectors.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a bank holds at least two vectors")]
    pub fn len(&self) -> usize {
        self.vectors.len() / self.width
    }

    /// d, the values of one vector.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// All values, `[N, d]` row-major.
    #[must_use]
    pub fn vectors(&self) -> &[f32] {
        &self.vectors
    }

    /// The first 12 hex digits of the sha256 of the width (u64) and the values (f32), all little-endian.
    #[must_use]
    pub fn hash(&self) -> String {
        let mut sha = Sha256::new();
        sha.update((self.width as u64).to_le_bytes());
        for value in &self.vectors {
            sha.update(value.to_le_bytes());
        }
        sha.finalize().iter().take(6).fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_what_it_was_given() {
        let bank = NegativeBank::from_prototypes(&[vec![1.0, 2.0, 3.0], vec![4.0, 5.0, 6.0]]).unwrap();
        assert_eq!((bank.len(), bank.width()), (2, 3));
        assert_eq!(bank.vectors(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        assert_eq!(bank, NegativeBank::new(vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 3).unwrap());
    }

    #[test]
    fn hash_tells_values_and_shapes_apart() {
        let values = vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];
        let bank = NegativeBank::new(values.clone(), 2).unwrap();
        assert_eq!(bank.hash().len(), 12);
        assert_eq!(bank.hash(), bank.clone().hash());
        assert_ne!(bank.hash(), NegativeBank::new(values.clone(), 4).unwrap().hash());
        let mut other = values;
        other[7] = 8.000_001;
        assert_ne!(bank.hash(), NegativeBank::new(other, 2).unwrap().hash());
    }

    #[test]
    fn refuses_what_is_no_bank() {
        for (vectors, width, cause) in [
            (vec![], 0, "width 0"),
            (vec![1.0; 5], 2, "whole number"),
            (vec![1.0; 2], 2, "1 vectors"),
            (vec![1.0, f32::NAN, 0.0, 1.0], 2, "vector 0 holds NaN"),
        ] {
            let error = NegativeBank::new(vectors, width).unwrap_err();
            assert!(error.to_string().contains(cause), "{error}");
            assert!(!error.fix().is_empty());
        }
        assert!(NegativeBank::from_prototypes(&[vec![1.0], vec![1.0, 2.0]]).is_err());
        assert!(NegativeBank::from_prototypes(&[]).is_err());
    }
}

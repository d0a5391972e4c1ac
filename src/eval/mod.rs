//! Evaluation of models, beside baselines without learning.
//!
//! [`probe::measure`] is the CPC paper's table (arXiv 1807.03748, table 1): how well a linear classifier tells
//! classes, words and speakers apart from frozen features. [`foreign`] asks whether a foreign
//! sound stands out, [`detection`] how well rare events are found beside [`baselines`], [`budget`] whether false alarms stay
//! within the budget, [`soak::soak`] tells whether contexts stay bounded over hours of
//! sound. [`table`] and [`plot`] show figures of any evaluation.

pub mod ablation;
pub mod baselines;
pub mod budget;
pub mod columns;
pub mod detection;
pub mod features;
pub mod foreign;
pub mod frame_pooling;
pub mod labels;
pub mod logistic;
pub mod mfcc;
pub mod plot;
pub mod probe;
pub mod soak;
pub mod sounds_in_sites;
pub mod supervised;
pub mod table;

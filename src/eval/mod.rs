//! Measuring what a model has learnt, beside what needs no learning.
//!
//! [`probe::measure`] is the CPC paper's table (arXiv 1807.03748, table 1): how well a linear classifier tells
//! classes, words and speakers apart from frozen features. [`foreign`] asks whether a foreign
//! sound stands out, [`detection`] how well rare events are found beside [`rivals`], [`budget`] whether false alarms stay
//! within the budget, [`soak::soak`] tells whether contexts stay bounded over hours of
//! sound. [`table`] and [`plot`] show figures of any evaluation.

pub mod baselines;
pub mod budget;
pub mod columns;
pub mod detection;
pub mod features;
pub mod foreign;
pub mod logistic;
pub mod parts;
pub mod plot;
pub mod pool;
pub mod probe;
pub mod rivals;
pub mod roc;
pub mod soak;
pub mod supervised;
pub mod table;

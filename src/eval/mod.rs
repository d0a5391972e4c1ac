//! Figures and tables about a model.

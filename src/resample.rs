//! From the device rate to the model rate.

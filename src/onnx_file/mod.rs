//! Files of the Open Neural Network Exchange (ONNX), written without a library of it.
//!
//! A model is one protobuf message, `ModelProto`, of the [schema](https://github.com/onnx/onnx/blob/main/onnx/onnx.proto). What is written of it are ten
//! messages of a few fields each, so [`Message`](wire::Message) is smaller than a generator with its runtime. Values in a graph go by their names: of
//! an input, of a constant, or of the output of a node; nodes are added in an order in which each comes after those that it reads.

#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod graph;
mod wire;

pub(crate) use graph::{Attribute, Dim, Graph};

use wire::Message;

/// Version of the file format: that of ONNX 1.12.
pub(crate) const IR_VERSION: i64 = 8;
/// Version of the operators that nodes name, that of ONNX 1.12: ONNX Runtime 1.12 and later read it.
pub(crate) const OPSET: i64 = 17;

/// The bytes of a file with `graph`; `properties` are its metadata, `description` is for people.
#[must_use]
pub(crate) fn file(graph: &Graph, description: &str, properties: &[(&str, String)]) -> Vec<u8> {
    let mut model = Message::new();
    model.int(1, IR_VERSION).text(2, "cpc-stream").text(3, env!("CARGO_PKG_VERSION")).text(6, description);
    model.message(7, &graph.message());
    model.message(8, Message::new().text(1, "").int(2, OPSET));
    for (key, value) in properties {
        model.message(14, Message::new().text(1, key).text(2, value));
    }
    model.into_bytes()
}

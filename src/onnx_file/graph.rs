//! A graph of operators: `GraphProto`.

use std::collections::BTreeSet;

use super::wire::Message;

const FLOAT: i64 = 1;
const INT64: i64 = 7;

/// A dimension of an input or an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dim {
    /// Of this size.
    Size(usize),
    /// Of any size; the same name is the same size.
    Any(&'static str),
}

/// An attribute of a node.
#[derive(Debug, Clone)]
pub(crate) enum Attribute<'a> {
    /// A whole number.
    Int(i64),
    /// Whole numbers.
    Ints(&'a [i64]),
    /// A number.
    Float(f32),
    /// A graph, run for each step of a loop.
    Graph(&'a Graph),
}

/// Inputs, constants, nodes and outputs; numbers are floats of 32 bits.
#[derive(Debug, Clone, Default)]
pub(crate) struct Graph {
    name: String,
    nodes: Vec<Message>,
    constants: Vec<Message>,
    known: BTreeSet<String>,
    inputs: Vec<Message>,
    outputs: Vec<Message>,
}

impl Graph {
    /// A graph without nodes.
    #[must_use]
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// Adds an input; `what` is for people.
    pub(crate) fn input(&mut self, name: &str, dims: &[Dim], what: &str) {
        self.inputs.push(value(name, dims, what));
    }

    /// Makes the value called `name` an output.
    pub(crate) fn output(&mut self, name: &str, dims: &[Dim], what: &str) {
        self.outputs.push(value(name, dims, what));
    }

    /// Adds a constant called `name`.
    pub(crate) fn floats(&mut self, name: &str, dims: &[usize], values: &[f32]) {
        let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let dims: Vec<i64> = dims.iter().map(|&size| size as i64).collect();
        self.constant(name, FLOAT, &dims, &raw);
    }

    /// The name of a constant of one dimension with these whole numbers, added where it is not there.
    pub(crate) fn ints(&mut self, values: &[i64]) -> String {
        let name = values.iter().fold("ints".to_owned(), |name, value| format!("{name}_{value}"));
        if self.known.insert(name.clone()) {
            let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            self.constant(&name, INT64, &[values.len() as i64], &raw);
        }
        name
    }

    fn constant(&mut self, name: &str, kind: i64, dims: &[i64], raw: &[u8]) {
        let mut tensor = Message::new();
        for &size in dims {
            tensor.int(1, size);
        }
        tensor.int(2, kind).text(8, name).bytes(9, raw);
        self.constants.push(tensor);
    }

    /// Adds a node behind the others.
    pub(crate) fn node(
        &mut self,
        op: &str,
        inputs: &[&str],
        outputs: &[&str],
        with: &[(&str, Attribute<'_>)],
    ) {
        self.nodes.push(node(op, inputs, outputs, with));
    }

    /// Adds a node before all others.
    pub(crate) fn node_first(
        &mut self,
        op: &str,
        inputs: &[&str],
        outputs: &[&str],
        with: &[(&str, Attribute<'_>)],
    ) {
        self.nodes.insert(0, node(op, inputs, outputs, with));
    }

    pub(super) fn message(&self) -> Message {
        let mut graph = Message::new();
        for node in &self.nodes {
            graph.message(1, node);
        }
        graph.text(2, &self.name);
        for (field, values) in [(5, &self.constants), (11, &self.inputs), (12, &self.outputs)] {
            for value in values {
                graph.message(field, value);
            }
        }
        graph
    }
}

fn node(op: &str, inputs: &[&str], outputs: &[&str], with: &[(&str, Attribute<'_>)]) -> Message {
    let mut node = Message::new();
    for input in inputs {
        node.text(1, input);
    }
    for output in outputs {
        node.text(2, output);
    }
    // named after the first value that it gives
    node.text(3, outputs.iter().find(|name| !name.is_empty()).unwrap_or(&op)).text(4, op);
    for (name, value) in with {
        node.message(5, &attribute(name, value));
    }
    node
}

fn attribute(name: &str, value: &Attribute<'_>) -> Message {
    let mut attribute = Message::new();
    attribute.text(1, name);
    match value {
        Attribute::Float(value) => attribute.float(2, *value).int(20, 1),
        Attribute::Int(value) => attribute.int(3, *value).int(20, 2),
        Attribute::Graph(graph) => attribute.message(6, &graph.message()).int(20, 5),
        Attribute::Ints(values) => {
            for &value in *values {
                attribute.int(8, value);
            }
            attribute.int(20, 7)
        }
    };
    attribute
}

fn value(name: &str, dims: &[Dim], what: &str) -> Message {
    let mut shape = Message::new();
    for dim in dims {
        let mut message = Message::new();
        match dim {
            Dim::Size(size) => message.int(1, *size as i64),
            Dim::Any(name) => message.text(2, name),
        };
        shape.message(1, &message);
    }
    let mut kind = Message::new();
    kind.message(1, Message::new().int(1, FLOAT).message(2, &shape));
    let mut value = Message::new();
    value.text(1, name).message(2, &kind).text(3, what);
    value
}

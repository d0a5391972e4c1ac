//! Values of a pickle.

use std::rc::Rc;

use super::globals::Global;
use super::tensor::{Storage, TensorSpec};

/// Place of a node among the nodes of its pickle.
pub(super) type Id = u32;

/// A value; it holds the ids of other nodes, so that shared and circular values are representable.
#[derive(Debug)]
pub(super) enum Node {
    None,
    Bool(bool),
    Int(i64),
    /// An integer beyond 64 bits, little-endian.
    Long(Vec<u8>),
    Float(f64),
    Text(String),
    Bytes,
    Sequence(Vec<Id>),
    Map(Vec<(Id, Id)>),
    /// An object whose attributes are the entries of a dictionary, once it has them.
    Namespace(Option<Id>),
    Global(Global),
    Storage(Rc<Storage>),
    Tensor(Box<TensorSpec>),
    /// An object of a class that is known to be harmless and is not used here.
    Object(String),
}

/// The values of a pickle.
#[derive(Debug)]
pub(super) struct Pickle {
    pub(super) nodes: Vec<Node>,
    pub(super) root: Id,
}

impl Pickle {
    pub(super) fn root(&self) -> Value<'_> {
        Value { nodes: &self.nodes, id: self.root }
    }
}

/// A value in a file.
#[derive(Debug, Clone, Copy)]
pub struct Value<'a> {
    nodes: &'a [Node],
    id: Id,
}

/// The kind of a value.
#[derive(Debug, Clone, Copy)]
pub enum Kind<'a> {
    /// `None`.
    None,
    /// A truth value.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A floating-point number.
    Float(f64),
    /// A string.
    Text(&'a str),
    /// A list, tuple or set; see [`Value::items`].
    List,
    /// A dictionary or namespace; see [`Value::entries`].
    Dict,
    /// A tensor.
    Tensor(&'a TensorSpec),
    /// Anything else, by the name of its class.
    Other(&'a str),
}

impl<'a> Value<'a> {
    fn node(self) -> &'a Node {
        self.nodes.get(self.id as usize).unwrap_or(&Node::None)
    }

    fn at(self, id: Id) -> Self {
        Self { nodes: self.nodes, id }
    }

    /// Its kind.
    #[must_use]
    pub fn kind(self) -> Kind<'a> {
        match self.node() {
            Node::None => Kind::None,
            Node::Bool(value) => Kind::Bool(*value),
            Node::Int(value) => Kind::Int(*value),
            Node::Long(_) => Kind::Other("int beyond 64 bits"),
            Node::Float(value) => Kind::Float(*value),
            Node::Text(text) => Kind::Text(text),
            Node::Bytes => Kind::Other("bytes"),
            Node::Sequence(_) => Kind::List,
            Node::Map(_) | Node::Namespace(_) => Kind::Dict,
            Node::Global(global) => Kind::Other(global.name()),
            Node::Storage(_) => Kind::Other("torch.Storage"),
            Node::Tensor(spec) => Kind::Tensor(spec),
            Node::Object(class) => Kind::Other(class),
        }
    }

    /// Items of a list; none of anything else.
    pub fn items(self) -> impl Iterator<Item = Value<'a>> {
        let ids: &[Id] = if let Node::Sequence(ids) = self.node() { ids } else { &[] };
        ids.iter().map(move |&id| self.at(id))
    }

    /// Keys and values of a dictionary, in its order, a repeated key more than once; none of anything else.
    pub fn entries(self) -> impl Iterator<Item = (Value<'a>, Value<'a>)> {
        let node =
            if let Node::Namespace(Some(state)) = self.node() { self.at(*state).node() } else { self.node() };
        let ids: &[(Id, Id)] = if let Node::Map(ids) = node { ids } else { &[] };
        ids.iter().map(move |&(key, value)| (self.at(key), self.at(value)))
    }

    /// The value of a text key of a dictionary.
    #[must_use]
    pub fn get(self, key: &str) -> Option<Value<'a>> {
        let found = self.entries().filter(|(k, _)| matches!(k.kind(), Kind::Text(text) if text == key));
        found.map(|(_, value)| value).last()
    }

    /// A big integer as its bytes.
    pub(super) fn long(self) -> Option<&'a [u8]> {
        if let Node::Long(bytes) = self.node() { Some(bytes) } else { None }
    }
}

//! Calls of the classes and functions that a pickle may name, and their results.

use std::rc::Rc;

use super::damaged;
use super::globals::{Global, refused};
use super::tensor::{Storage, TensorSpec};
use super::value::{Id, Node};
use crate::error::Result;

/// The result of calling `callee` with `arguments`.
pub(super) fn call(callee: &Node, arguments: &[Id], nodes: &[Node]) -> Result<Node> {
    let node = |id: &Id| nodes.get(*id as usize);
    match callee {
        Node::Global(Global::OrderedDict) if !arguments.is_empty() => {
            Err(damaged("an OrderedDict that is made with arguments"))
        }
        Node::Global(Global::OrderedDict | Global::DefaultDict) => Ok(Node::Map(Vec::new())),
        Node::Global(Global::Namespace) => Ok(Node::Namespace(None)),
        Node::Global(Global::RebuildTensor) => {
            rebuild_tensor(arguments, nodes).map(|spec| Node::Tensor(Box::new(spec)))
        }
        Node::Global(Global::RebuildParameter) => match arguments.first().and_then(node) {
            Some(Node::Tensor(spec)) => Ok(Node::Tensor(spec.clone())),
            _ => Err(damaged("a parameter that holds no tensor")),
        },
        Node::Global(Global::Unused(name)) => Ok(Node::Object(name.clone())),
        Node::Global(Global::Storage(_)) => Err(refused("torch.Storage(…)")),
        _ => Err(damaged("it calls something that is no function")),
    }
}

/// Arguments of a call that makes a tensor or a storage, at most; also its dimensions.
const MAX_ARGUMENTS: usize = 8;
/// Bytes of the name of a storage, at most.
const MAX_KEY: usize = 64;

/// The nodes of a short list of arguments.
fn few<'a>(arguments: &[Id], nodes: &'a [Node]) -> Result<Vec<&'a Node>> {
    if arguments.len() > MAX_ARGUMENTS {
        return Err(damaged(format!("a tensor of {} arguments or dimensions", arguments.len())));
    }
    let node = |id: &Id| nodes.get(*id as usize).ok_or_else(|| damaged("an argument that is not there"));
    arguments.iter().map(node).collect()
}

/// The storage that a persistent id stands for: `("storage", class, key, location, numbers[, part])`.
pub(super) fn storage(arguments: &[Id], nodes: &[Node]) -> Result<Storage> {
    let parts = few(arguments, nodes)?;
    let [
        Node::Text(word),
        Node::Global(Global::Storage(dtype)),
        Node::Text(key),
        _,
        Node::Int(count),
        part @ ..,
    ] = parts.as_slice()
    else {
        return Err(damaged("a persistent id that is no storage"));
    };
    if word != "storage" || key.len() > MAX_KEY {
        return Err(damaged("a persistent id that is no storage"));
    }
    let count = natural(*count)?;
    let part = match part {
        [] | [Node::None] => (0, count),
        [Node::Sequence(ids)] => match few(ids, nodes)?.as_slice() {
            [_, Node::Int(first), Node::Int(length)] => (natural(*first)?, natural(*length)?),
            _ => return Err(damaged(format!("storage {key} is a part of another in an unknown way"))),
        },
        _ => return Err(damaged(format!("storage {key} is a part of another in an unknown way"))),
    };
    Ok(Storage { key: key.clone(), dtype: *dtype, count, part })
}

fn rebuild_tensor(arguments: &[Id], nodes: &[Node]) -> Result<TensorSpec> {
    let parts = few(arguments, nodes)?;
    let [Node::Storage(storage), Node::Int(offset), Node::Sequence(shape), Node::Sequence(strides), ..] =
        parts.as_slice()
    else {
        return Err(damaged("a tensor without storage, offset, shape and strides"));
    };
    let numbers = |ids: &[Id]| -> Result<Vec<u64>> {
        let number = |node: &Node| match node {
            Node::Int(value) => natural(*value),
            _ => Err(damaged("a tensor whose shape is not made of integers")),
        };
        few(ids, nodes)?.into_iter().map(number).collect()
    };
    TensorSpec::new(Rc::clone(storage), natural(*offset)?, &numbers(shape)?, numbers(strides)?)
}

fn natural(value: i64) -> Result<u64> {
    u64::try_from(value).map_err(|_| damaged(format!("a size or offset of {value}")))
}

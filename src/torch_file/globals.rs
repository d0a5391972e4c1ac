//! The classes and functions that a pickle may name and call, and their results.

use std::rc::Rc;

use super::tensor::{Storage, TensorSpec};
use super::value::{Id, Node};
use super::{Dtype, damaged};
use crate::error::{Error, Result};

/// A class or function that a pickle may name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Global {
    OrderedDict,
    DefaultDict,
    Namespace,
    RebuildTensor,
    RebuildParameter,
    Storage(Dtype),
    /// Makes objects that are not used here; nothing in them is read.
    Unused(String),
}

/// Classes that settings and optimisers of honest files hold.
const UNUSED: [&str; 12] = [
    "numpy.dtype",
    "numpy.ndarray",
    "numpy.core.multiarray.scalar",
    "numpy.core.multiarray._reconstruct",
    "numpy._core.multiarray.scalar",
    "numpy._core.multiarray._reconstruct",
    "_codecs.encode",
    "pathlib.PosixPath",
    "pathlib.PurePosixPath",
    "pathlib.WindowsPath",
    "torch.device",
    "torch.Size",
];

impl Global {
    /// Looks `module.name` up in the list of what is allowed.
    pub(super) fn find(module: &str, name: &str) -> Result<Self> {
        let full = format!("{module}.{name}");
        Ok(match full.as_str() {
            "collections.OrderedDict" => Self::OrderedDict,
            "collections.defaultdict" => Self::DefaultDict,
            "argparse.Namespace" => Self::Namespace,
            "torch._utils._rebuild_tensor" | "torch._utils._rebuild_tensor_v2" => Self::RebuildTensor,
            "torch._utils._rebuild_parameter" => Self::RebuildParameter,
            _ if ["builtins", "__builtin__"].contains(&module)
                && ["set", "frozenset", "dict", "list", "int", "float"].contains(&name) =>
            {
                Self::Unused(full)
            }
            other if UNUSED.contains(&other) => Self::Unused(full),
            _ => match Dtype::of_storage(name).filter(|_| ["torch", "torch.cuda"].contains(&module)) {
                Some(dtype) => Self::Storage(dtype),
                None => return Err(refused(&full)),
            },
        })
    }

    /// Its name, for messages.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::OrderedDict => "collections.OrderedDict",
            Self::DefaultDict => "collections.defaultdict",
            Self::Namespace => "argparse.Namespace",
            Self::RebuildTensor => "torch._utils._rebuild_tensor_v2",
            Self::RebuildParameter => "torch._utils._rebuild_parameter",
            Self::Storage(_) => "torch.Storage",
            Self::Unused(name) => name,
        }
    }

    /// The result of calling `callee` with `arguments`.
    pub(super) fn call(callee: &Node, arguments: &[Id], nodes: &[Node]) -> Result<Node> {
        let node = |id: &Id| nodes.get(*id as usize);
        match callee {
            Node::Global(Self::OrderedDict) if !arguments.is_empty() => {
                Err(damaged("an OrderedDict that is made with arguments"))
            }
            Node::Global(Self::OrderedDict | Self::DefaultDict) => Ok(Node::Map(Vec::new())),
            Node::Global(Self::Namespace) => Ok(Node::Namespace(None)),
            Node::Global(Self::RebuildTensor) => {
                rebuild_tensor(arguments, nodes).map(|spec| Node::Tensor(Box::new(spec)))
            }
            Node::Global(Self::RebuildParameter) => match arguments.first().and_then(node) {
                Some(Node::Tensor(spec)) => Ok(Node::Tensor(spec.clone())),
                _ => Err(damaged("a parameter that holds no tensor")),
            },
            Node::Global(Self::Unused(name)) => Ok(Node::Object(name.clone())),
            Node::Global(Self::Storage(_)) => Err(refused("torch.Storage(…)")),
            _ => Err(damaged("it calls something that is no function")),
        }
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

fn refused(name: &str) -> Error {
    Error::model(
        format!("it holds an object of `{name:.120}`, which only the program that made it can read"),
        "save it again in Python with state dicts and plain settings alone: `torch.save(model.state_dict(), path)`",
    )
}

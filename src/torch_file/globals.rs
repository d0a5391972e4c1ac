//! The classes and functions that a pickle may name.

use super::Dtype;
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
}

pub(super) fn refused(name: &str) -> Error {
    Error::model(
        format!("it holds an object of `{name:.120}`, which only the program that made it can read"),
        "save it again in Python with state dicts and plain settings alone: `torch.save(model.state_dict(), path)`",
    )
}

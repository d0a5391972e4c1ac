//! The pickle machine: the instructions of protocols 2 to 4 that `torch.save` emits.

use std::collections::HashMap;
use std::io::Read;
use std::rc::Rc;

use super::calls;
use super::damaged;
use super::globals::Global;
use super::value::{Id, Node, Pickle};
use crate::error::Result;

/// Bytes of one pickle, at most. The pickle of a checkpoint of 1,000 tensors has about 200 kB.
const MAX_BYTES: u64 = 32 << 20;
/// Values of one pickle, at most; also of its stack and its memo.
const MAX_NODES: usize = 1 << 20;
/// Open brackets, at most.
const MAX_DEPTH: usize = 256;
/// Bytes of an integer, at most.
const MAX_LONG: usize = 64;

/// Reads one pickle from `input` and not a byte more.
pub(super) fn read(input: &mut dyn Read) -> Result<Pickle> {
    let mut machine = Machine {
        input,
        left: MAX_BYTES,
        nodes: Vec::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
    };
    let root = machine.run()?;
    Ok(Pickle { nodes: machine.nodes, root })
}

struct Machine<'a> {
    input: &'a mut dyn Read,
    left: u64,
    nodes: Vec<Node>,
    stack: Vec<Id>,
    /// Heights of the stack at the open brackets.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

impl Machine<'_> {
    fn run(&mut self) -> Result<Id> {
        loop {
            match self.byte()? {
                0x80 => {
                    let protocol = self.byte()?;
                    if !(2..=4).contains(&protocol) {
                        return Err(damaged(format!("pickle protocol {protocol} found, 2 to 4 expected")));
                    }
                }
                // a frame is only a hint for buffers
                0x95 => drop(self.take(8)?),
                b'.' => return self.pop(),
                code => self.step(code)?,
            }
        }
    }

    fn step(&mut self, code: u8) -> Result<()> {
        match code {
            b'N' => self.push(Node::None),
            0x88 => self.push(Node::Bool(true)),
            0x89 => self.push(Node::Bool(false)),
            b'K' => self.unsigned(1).and_then(|n| self.push(Node::Int(n as i64))),
            b'M' => self.unsigned(2).and_then(|n| self.push(Node::Int(n as i64))),
            b'J' => self.unsigned(4).and_then(|n| self.push(Node::Int(i64::from(n as u32 as i32)))),
            0x8a => self.unsigned(1).and_then(|n| self.long(n)),
            0x8b => self.unsigned(4).and_then(|n| self.long(n)),
            b'G' => {
                let bytes = self.array::<8>()?;
                self.push(Node::Float(f64::from_be_bytes(bytes)))
            }
            0x8c | b'U' => self.unsigned(1).and_then(|n| self.text(n)),
            b'X' | b'T' => self.unsigned(4).and_then(|n| self.text(n)),
            0x8d => self.unsigned(8).and_then(|n| self.text(n)),
            b'C' => self.unsigned(1).and_then(|n| self.bytes(n)),
            b'B' => self.unsigned(4).and_then(|n| self.bytes(n)),
            0x8e => self.unsigned(8).and_then(|n| self.bytes(n)),
            b'(' => self.mark(),
            b')' | b']' | 0x8f => self.push(Node::Sequence(Vec::new())),
            b'}' => self.push(Node::Map(Vec::new())),
            b't' | 0x91 => self.popped_to_mark().and_then(|items| self.push(Node::Sequence(items))),
            0x85 => self.tuple(1),
            0x86 => self.tuple(2),
            0x87 => self.tuple(3),
            b'l' => self.popped_to_mark().and_then(|items| self.push(Node::Sequence(items))),
            b'a' => self.pop().and_then(|item| self.extend(&[item])),
            b'e' | 0x90 => self.popped_to_mark().and_then(|items| self.extend(&items)),
            b'd' => {
                let items = self.popped_to_mark()?;
                self.push(Node::Map(Vec::new()))?;
                self.assign(&items)
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.assign(&[key, value])
            }
            b'u' => self.popped_to_mark().and_then(|items| self.assign(&items)),
            b'0' => self.pop().map(drop),
            b'1' => self.popped_to_mark().map(drop),
            b'2' => self.top().and_then(|id| self.push_id(id)),
            b'q' => self.unsigned(1).and_then(|n| self.remember(n as u32)),
            b'r' => self.unsigned(4).and_then(|n| self.remember(n as u32)),
            0x94 => self.remember(self.memo.len() as u32),
            b'h' => self.unsigned(1).and_then(|n| self.recall(n as u32)),
            b'j' => self.unsigned(4).and_then(|n| self.recall(n as u32)),
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                Global::find(&module, &name).and_then(|global| self.push(Node::Global(global)))
            }
            0x93 => self.named_on_stack(),
            b'Q' => self.persistent(),
            b'R' | 0x81 => self.call(),
            b'b' => self.build(),
            other => {
                Err(damaged(format!("pickle instruction 0x{other:02x}, which torch.save does not write")))
            }
        }
    }

    fn take(&mut self, count: u64) -> Result<Vec<u8>> {
        let too_long = || damaged(format!("a pickle of more than {MAX_BYTES} bytes"));
        self.left = self.left.checked_sub(count).ok_or_else(too_long)?;
        let mut bytes = Vec::new();
        // the buffer grows with the bytes read, not with the announced length
        let got = self.input.take(count).read_to_end(&mut bytes);
        let got = got.map_err(|e| damaged(format!("its pickle cannot be read: {e}")))?;
        if got as u64 != count {
            return Err(damaged("its pickle ends too early"));
        }
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        self.left = self.left.checked_sub(N as u64).ok_or_else(|| damaged("a pickle of too many bytes"))?;
        let mut bytes = [0; N];
        self.input.read_exact(&mut bytes).map_err(|_| damaged("its pickle ends too early"))?;
        Ok(bytes)
    }

    fn byte(&mut self) -> Result<u8> {
        Ok(u8::from_le_bytes(self.array::<1>()?))
    }

    /// An unsigned integer of `size` bytes, little-endian.
    fn unsigned(&mut self, size: u64) -> Result<u64> {
        Ok(self.take(size)?.into_iter().rev().fold(0, |n, byte| n << 8 | u64::from(byte)))
    }

    fn line(&mut self) -> Result<String> {
        let mut bytes = Vec::new();
        loop {
            match self.byte()? {
                b'\n' => break,
                byte if bytes.len() < 512 => bytes.push(byte),
                _ => return Err(damaged("a name of more than 512 bytes")),
            }
        }
        String::from_utf8(bytes).map_err(|_| damaged("a name that is no text"))
    }

    fn long(&mut self, size: u64) -> Result<()> {
        if size > MAX_LONG as u64 {
            return Err(damaged(format!("an integer of {size} bytes, at most {MAX_LONG} expected")));
        }
        let bytes = self.take(size)?;
        if bytes.len() > 8 {
            return self.push(Node::Long(bytes));
        }
        let fill = if bytes.last().is_some_and(|last| last & 0x80 != 0) { 0xff } else { 0 };
        let mut wide = [fill; 8];
        wide.iter_mut().zip(&bytes).for_each(|(to, from)| *to = *from);
        self.push(Node::Int(i64::from_le_bytes(wide)))
    }

    fn text(&mut self, size: u64) -> Result<()> {
        let text = String::from_utf8_lossy(&self.take(size)?).into_owned();
        self.push(Node::Text(text))
    }

    fn bytes(&mut self, size: u64) -> Result<()> {
        self.take(size)?;
        self.push(Node::Bytes)
    }

    fn push(&mut self, node: Node) -> Result<()> {
        if self.nodes.len() >= MAX_NODES {
            return Err(damaged(format!("a pickle of more than {MAX_NODES} values")));
        }
        self.nodes.push(node);
        self.push_id((self.nodes.len() - 1) as Id)
    }

    fn push_id(&mut self, id: Id) -> Result<()> {
        if self.stack.len() >= MAX_NODES {
            return Err(damaged(format!("a stack of more than {MAX_NODES} values")));
        }
        self.stack.push(id);
        Ok(())
    }

    fn mark(&mut self) -> Result<()> {
        if self.marks.len() >= MAX_DEPTH {
            return Err(damaged(format!("values nested more than {MAX_DEPTH} deep")));
        }
        self.marks.push(self.stack.len());
        Ok(())
    }

    /// Values under an open bracket are out of reach until it is closed.
    fn reachable(&self) -> usize {
        self.stack.len() - self.marks.last().copied().unwrap_or(0)
    }

    fn pop(&mut self) -> Result<Id> {
        let id = if self.reachable() > 0 { self.stack.pop() } else { None };
        id.ok_or_else(|| damaged("its pickle takes a value that is not there"))
    }

    fn top(&self) -> Result<Id> {
        let id = if self.reachable() > 0 { self.stack.last().copied() } else { None };
        id.ok_or_else(|| damaged("its pickle looks at a value that is not there"))
    }

    fn popped_to_mark(&mut self) -> Result<Vec<Id>> {
        let mark = self.marks.pop().ok_or_else(|| damaged("its pickle closes a bracket that is not open"))?;
        Ok(self.stack.split_off(mark))
    }

    fn tuple(&mut self, size: usize) -> Result<()> {
        let mut items = (0..size).map(|_| self.pop()).collect::<Result<Vec<_>>>()?;
        items.reverse();
        self.push(Node::Sequence(items))
    }

    fn top_node(&mut self) -> Result<&mut Node> {
        let id = self.top()?;
        self.nodes.get_mut(id as usize).ok_or_else(|| damaged("its pickle names a value that is not there"))
    }

    fn extend(&mut self, items: &[Id]) -> Result<()> {
        match self.top_node()? {
            Node::Sequence(list) if list.len() + items.len() <= MAX_NODES => list.extend(items),
            Node::Object(_) => {}
            _ => return Err(damaged("its pickle appends to something that is no list")),
        }
        Ok(())
    }

    fn assign(&mut self, items: &[Id]) -> Result<()> {
        let pairs = items.chunks_exact(2).filter_map(|pair| Some((*pair.first()?, *pair.last()?)));
        match self.top_node()? {
            Node::Map(map) if map.len() + items.len() / 2 <= MAX_NODES => map.extend(pairs),
            Node::Object(_) => {}
            _ => return Err(damaged("its pickle sets a key of something that is no dictionary")),
        }
        if items.len() % 2 == 1 {
            return Err(damaged("a key without a value"));
        }
        Ok(())
    }

    fn remember(&mut self, place: u32) -> Result<()> {
        if self.memo.len() >= MAX_NODES {
            return Err(damaged(format!("a memo of more than {MAX_NODES} values")));
        }
        let id = self.top()?;
        self.memo.insert(place, id);
        Ok(())
    }

    fn recall(&mut self, place: u32) -> Result<()> {
        let id = self.memo.get(&place).copied();
        self.push_id(id.ok_or_else(|| damaged(format!("memo entry {place} does not exist")))?)
    }

    fn node(&self, id: Id) -> Result<&Node> {
        self.nodes.get(id as usize).ok_or_else(|| damaged("its pickle names a value that is not there"))
    }

    fn sequence(&self, id: Id) -> Result<&[Id]> {
        match self.node(id)? {
            Node::Sequence(items) => Ok(items),
            _ => Err(damaged("a tuple was expected")),
        }
    }

    fn named_on_stack(&mut self) -> Result<()> {
        let (name, module) = (self.pop()?, self.pop()?);
        let global = match (self.node(module)?, self.node(name)?) {
            (Node::Text(module), Node::Text(name)) => Global::find(module, name)?,
            _ => return Err(damaged("a global whose name is no text")),
        };
        self.push(Node::Global(global))
    }

    fn persistent(&mut self) -> Result<()> {
        let id = self.pop()?;
        let storage = calls::storage(self.sequence(id)?, &self.nodes)?;
        self.push(Node::Storage(Rc::new(storage)))
    }

    fn call(&mut self) -> Result<()> {
        let (arguments, callee) = (self.pop()?, self.pop()?);
        let made = calls::call(self.node(callee)?, self.sequence(arguments)?, &self.nodes)?;
        self.push(made)
    }

    /// The state of an object: the attributes of a namespace are its values; those of a dictionary (`_metadata` of
    /// a state dict) and of objects without use are left out.
    fn build(&mut self) -> Result<()> {
        let state = self.pop()?;
        match self.top_node()? {
            Node::Namespace(attributes) => *attributes = Some(state),
            Node::Map(_) | Node::Object(_) | Node::Tensor(_) => {}
            _ => return Err(damaged("its pickle gives a state to something that has none")),
        }
        Ok(())
    }
}

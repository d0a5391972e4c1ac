//! Reads ONNX files, and runs their graphs as the operators are specified, one after the other.

use std::collections::BTreeMap;

use candle_core::{D, DType, Device, Tensor};

/// A field of a protobuf message.
enum Field<'a> {
    Int(i64),
    Float(f32),
    Bytes(&'a [u8]),
}

impl<'a> Field<'a> {
    fn int(&self) -> i64 {
        let Field::Int(value) = self else { panic!("an integer is expected") };
        *value
    }

    fn bytes(&self) -> &'a [u8] {
        let Field::Bytes(value) = self else { panic!("bytes are expected") };
        value
    }

    fn text(&self) -> String {
        std::str::from_utf8(self.bytes()).unwrap().to_owned()
    }
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for place in 0..10 {
        let (byte, rest) = bytes.split_first().unwrap();
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << (7 * place);
        if byte < &0x80 {
            return value;
        }
    }
    panic!("an integer of more than ten bytes");
}

fn fields(mut bytes: &[u8]) -> Vec<(u64, Field<'_>)> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let field = match key & 7 {
            0 => Field::Int(varint(&mut bytes) as i64),
            2 => {
                let length = varint(&mut bytes) as usize;
                let (value, rest) = bytes.split_at(length);
                bytes = rest;
                Field::Bytes(value)
            }
            5 => {
                let (value, rest) = bytes.split_at(4);
                bytes = rest;
                Field::Float(f32::from_le_bytes(value.try_into().unwrap()))
            }
            kind => panic!("a field of kind {kind}"),
        };
        found.push((key >> 3, field));
    }
    found
}

/// The fields of a message with this number.
fn all(bytes: &[u8], number: u64) -> Vec<Field<'_>> {
    fields(bytes).into_iter().filter(|(found, _)| *found == number).map(|(_, field)| field).collect()
}

fn text(bytes: &[u8], number: u64) -> String {
    all(bytes, number).first().map_or_else(String::new, Field::text)
}

/// Name and dimensions of an input or output; a dimension is a size or a name.
pub type Shape = (String, Vec<Result<i64, String>>);

/// A file.
pub struct OnnxFile {
    pub ir_version: i64,
    pub opset: i64,
    pub properties: BTreeMap<String, String>,
    pub graph: OnnxGraph,
}

/// A graph.
#[derive(Clone)]
pub struct OnnxGraph {
    pub inputs: Vec<Shape>,
    pub outputs: Vec<Shape>,
    constants: BTreeMap<String, Tensor>,
    nodes: Vec<Node>,
}

#[derive(Clone)]
struct Node {
    op: String,
    inputs: Vec<String>,
    outputs: Vec<String>,
    ints: BTreeMap<String, Vec<i64>>,
    floats: BTreeMap<String, f32>,
    graphs: BTreeMap<String, OnnxGraph>,
}

impl OnnxFile {
    pub fn read(bytes: &[u8]) -> Self {
        let opset = all(bytes, 8)[0].bytes();
        let properties = all(bytes, 14);
        let property = |field: &Field<'_>| (text(field.bytes(), 1), text(field.bytes(), 2));
        Self {
            ir_version: all(bytes, 1)[0].int(),
            opset: all(opset, 2)[0].int(),
            properties: properties.iter().map(property).collect(),
            graph: OnnxGraph::read(all(bytes, 7)[0].bytes()),
        }
    }
}

fn shape(bytes: &[u8]) -> Shape {
    let kind = all(all(bytes, 2)[0].bytes(), 1)[0].bytes();
    assert_eq!(all(kind, 1)[0].int(), 1, "floats of 32 bits");
    let dims = all(all(kind, 2)[0].bytes(), 1);
    let dims = dims.iter().map(|dim| match all(dim.bytes(), 1).first() {
        Some(size) => Ok(size.int()),
        None => Err(text(dim.bytes(), 2)),
    });
    (text(bytes, 1), dims.collect())
}

fn constant(bytes: &[u8]) -> (String, Tensor) {
    let dims: Vec<usize> = all(bytes, 1).iter().map(|size| size.int() as usize).collect();
    let raw = all(bytes, 9)[0].bytes();
    let tensor = match all(bytes, 2)[0].int() {
        1 => {
            let values = raw.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()));
            Tensor::from_vec(values.collect::<Vec<_>>(), dims, &Device::Cpu)
        }
        7 => {
            let values = raw.chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap()));
            Tensor::from_vec(values.collect::<Vec<_>>(), dims, &Device::Cpu)
        }
        kind => panic!("a tensor of kind {kind}"),
    };
    (text(bytes, 8), tensor.unwrap())
}

impl OnnxGraph {
    fn read(bytes: &[u8]) -> Self {
        Self {
            inputs: all(bytes, 11).iter().map(|field| shape(field.bytes())).collect(),
            outputs: all(bytes, 12).iter().map(|field| shape(field.bytes())).collect(),
            constants: all(bytes, 5).iter().map(|field| constant(field.bytes())).collect(),
            nodes: all(bytes, 1).iter().map(|field| Node::read(field.bytes())).collect(),
        }
    }

    /// The outputs for these inputs, in order.
    pub fn run(&self, inputs: &[Tensor]) -> Vec<Tensor> {
        let mut values = self.constants.clone();
        assert_eq!(self.inputs.len(), inputs.len());
        values.extend(self.inputs.iter().map(|(name, _)| name.clone()).zip(inputs.iter().cloned()));
        for node in &self.nodes {
            let given: Vec<Option<&Tensor>> = node.inputs.iter().map(|name| values.get(name)).collect();
            for (name, value) in node.inputs.iter().zip(&given) {
                assert!(name.is_empty() || value.is_some(), "{} reads {name}, which comes later", node.op);
            }
            let found = node.run(&given).unwrap_or_else(|e| panic!("{} {:?}: {e}", node.op, node.outputs));
            for (name, value) in node.outputs.iter().zip(found) {
                assert!(values.insert(name.clone(), value).is_none(), "{name} is given twice");
            }
        }
        self.outputs.iter().map(|(name, _)| values[name].clone()).collect()
    }
}

/// A product of matrices whose other dimensions are broadcast. candle takes one such dimension alone.
fn product(x: &Tensor, y: &Tensor) -> candle_core::Result<Tensor> {
    if y.rank() == 2 {
        return x.broadcast_matmul(y);
    }
    let (others, rows, inner, columns) =
        (&x.dims()[..x.rank() - 2], x.dim(D::Minus2)?, x.dim(D::Minus1)?, y.dim(D::Minus1)?);
    let y = y.broadcast_as([others, &[inner, columns]].concat())?.contiguous()?;
    let products = x.reshape(((), rows, inner))?.matmul(&y.reshape(((), inner, columns))?)?;
    products.reshape([others, &[rows, columns]].concat())
}

impl Node {
    fn read(bytes: &[u8]) -> Self {
        let names = |number| all(bytes, number).iter().map(Field::text).collect();
        let mut node = Self {
            op: text(bytes, 4),
            inputs: names(1),
            outputs: names(2),
            ints: BTreeMap::new(),
            floats: BTreeMap::new(),
            graphs: BTreeMap::new(),
        };
        for attribute in all(bytes, 5) {
            let (bytes, name) = (attribute.bytes(), text(attribute.bytes(), 1));
            match all(bytes, 20)[0].int() {
                1 => {
                    let Field::Float(value) = all(bytes, 2)[0] else { panic!("{name}: a number") };
                    node.floats.insert(name, value);
                }
                2 => drop(node.ints.insert(name, vec![all(bytes, 3)[0].int()])),
                7 => drop(node.ints.insert(name, all(bytes, 8).iter().map(Field::int).collect())),
                5 => drop(node.graphs.insert(name, OnnxGraph::read(all(bytes, 6)[0].bytes()))),
                kind => panic!("{name}: an attribute of kind {kind}"),
            }
        }
        node
    }

    fn int(&self, name: &str) -> i64 {
        self.ints.get(name).map_or(0, |values| values[0])
    }

    fn run(&self, inputs: &[Option<&Tensor>]) -> candle_core::Result<Vec<Tensor>> {
        let x = inputs[0].unwrap();
        let second = || inputs[1].unwrap();
        let whole = |place: usize| inputs[place].unwrap().to_vec1::<i64>().unwrap();
        let axis = self.int("axis") as usize;
        let one = match self.op.as_str() {
            "Add" => x.broadcast_add(second()),
            "Sub" => x.broadcast_sub(second()),
            "Mul" => x.broadcast_mul(second()),
            "Div" => x.broadcast_div(second()),
            "Min" => x.broadcast_minimum(second()),
            "MatMul" => product(x, second()),
            "Log" => x.log(),
            "Sqrt" => x.sqrt(),
            "Reciprocal" => x.recip(),
            "Relu" => x.relu(),
            "Transpose" => {
                let order: Vec<usize> = self.ints["perm"].iter().map(|&axis| axis as usize).collect();
                x.permute(order)?.contiguous()
            }
            "Unsqueeze" => x.unsqueeze(whole(1)[0] as usize),
            "Squeeze" => x.squeeze(whole(1)[0] as usize),
            "Concat" => Tensor::cat(&inputs.iter().map(|input| input.unwrap()).collect::<Vec<_>>(), axis),
            "Shape" => Tensor::new(x.dims().iter().map(|&size| size as i64).collect::<Vec<_>>(), x.device()),
            "Expand" => x.broadcast_as(whole(1).iter().map(|&size| size as usize).collect::<Vec<_>>()),
            "Flatten" => x.reshape((x.dims()[..axis].iter().product::<usize>(), ())),
            "Reshape" => {
                let sizes = whole(1).into_iter().enumerate();
                let sizes = sizes.map(|(i, size)| if size == 0 { x.dims()[i] } else { size as usize });
                x.reshape(sizes.collect::<Vec<_>>())
            }
            "Slice" => {
                let (axis, [start, end]) = (whole(3)[0] as usize, [whole(1)[0], whole(2)[0]]);
                let size = x.dim(axis)? as i64;
                let place = |at: i64| if at < 0 { (at + size).max(0) } else { at.min(size) };
                x.narrow(axis, place(start) as usize, (place(end) - place(start)) as usize)
            }
            "LayerNormalization" => {
                assert_eq!(self.int("axis"), -1);
                let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
                let variance = (centred.sqr()?.mean_keepdim(D::Minus1)? + f64::from(self.floats["epsilon"]))?;
                centred
                    .broadcast_div(&variance.sqrt()?)?
                    .broadcast_mul(second())?
                    .broadcast_add(inputs[2].unwrap())
            }
            "Conv" => {
                let pads = self.ints.get("pads").map_or([0, 0], |pads| [pads[0] as usize, pads[1] as usize]);
                let stride = self.ints.get("strides").map_or(1, |strides| strides[0] as usize);
                assert_eq!(self.ints["kernel_shape"][0] as usize, second().dim(2)?);
                let y = x.pad_with_zeros(2, pads[0], pads[1])?.conv1d(second(), 0, stride, 1, 1)?;
                match inputs.get(2) {
                    Some(bias) => y.broadcast_add(&bias.unwrap().reshape((1, (), 1))?),
                    None => Ok(y),
                }
            }
            "Split" => {
                let mut at = 0;
                let part = |size: i64| {
                    at += size as usize;
                    x.narrow(axis, at - size as usize, size as usize)
                };
                return whole(1).into_iter().map(part).collect();
            }
            "GRU" | "LSTM" => return self.recurrent(inputs),
            "Scan" => return self.scan(inputs),
            op => panic!("{op} is not known here"),
        };
        Ok(vec![one?])
    }

    fn recurrent(&self, inputs: &[Option<&Tensor>]) -> candle_core::Result<Vec<Tensor>> {
        let part = |place: usize| inputs[place].unwrap().squeeze(0).unwrap();
        let (x, w, r, b) = (inputs[0].unwrap(), part(1), part(2), part(3));
        let (size, batch, rows) = (self.int("hidden_size") as usize, x.dim(1)?, w.dim(0)?);
        let start = |place: usize| match inputs.get(place).copied().flatten() {
            Some(state) => state.squeeze(0),
            None => Tensor::zeros((batch, size), DType::F32, &Device::Cpu),
        };
        let (mut h, mut cell) = (start(5)?, start(6)?);
        let sigmoid = |x: Tensor| (x.neg()?.exp()? + 1.0)?.recip();
        let mut all = Vec::new();
        for t in 0..x.dim(0)? {
            let from =
                x.narrow(0, t, 1)?.squeeze(0)?.matmul(&w.t()?)?.broadcast_add(&b.narrow(0, 0, rows)?)?;
            let back = h.matmul(&r.t()?)?.broadcast_add(&b.narrow(0, rows, rows)?)?;
            let sum = |gate: usize| from.narrow(1, gate * size, size)? + back.narrow(1, gate * size, size)?;
            if self.op == "GRU" {
                assert_eq!(self.int("linear_before_reset"), 1);
                let (update, reset) = (sigmoid(sum(0)?)?, sigmoid(sum(1)?)?);
                let new =
                    (from.narrow(1, 2 * size, size)? + (reset * back.narrow(1, 2 * size, size)?)?)?.tanh()?;
                h = (((1.0 - &update)? * new)? + (update * &h)?)?;
            } else {
                let (admit, output, forget) = (sigmoid(sum(0)?)?, sigmoid(sum(1)?)?, sigmoid(sum(2)?)?);
                cell = ((forget * &cell)? + (admit * sum(3)?.tanh()?)?)?;
                h = (output * cell.tanh()?)?;
            }
            all.push(h.unsqueeze(0)?);
        }
        Ok(vec![Tensor::stack(&all, 0)?, h.unsqueeze(0)?, cell.unsqueeze(0)?])
    }

    fn scan(&self, inputs: &[Option<&Tensor>]) -> candle_core::Result<Vec<Tensor>> {
        assert_eq!(self.int("num_scan_inputs"), 1);
        let mut given: Vec<Tensor> = inputs.iter().map(|input| input.unwrap().clone()).collect();
        let (xs, states) = (given.pop().unwrap(), given.len());
        let mut ys = Vec::new();
        for t in 0..xs.dim(0)? {
            given.push(xs.narrow(0, t, 1)?.squeeze(0)?);
            given = self.graphs["body"].run(&given);
            ys.extend(given.split_off(states));
        }
        given.push(Tensor::stack(&ys, 0)?);
        Ok(given)
    }
}

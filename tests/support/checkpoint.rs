//! Training checkpoints of any tensors, as `torch.save` wrote them before PyTorch 1.6.

/// Names and shapes of a state dict.
pub type State = Vec<(String, Vec<usize>)>;

/// The tensors of g_enc and g_ar: channel norm, `gates` 3 (GRU) or 4 (LSTM).
pub fn network(d: usize, h: usize, gates: usize) -> State {
    let mut state = State::new();
    for (i, kernel) in [10, 8, 4, 4, 4].into_iter().enumerate() {
        let inputs = if i == 0 { 1 } else { d };
        state.push((format!("gEncoder.conv{i}.weight"), vec![d, inputs, kernel]));
        state.push((format!("gEncoder.conv{i}.bias"), vec![d]));
        state.push((format!("gEncoder.batchNorm{i}.weight"), vec![1, d, 1]));
        state.push((format!("gEncoder.batchNorm{i}.bias"), vec![1, d, 1]));
    }
    for (part, shape) in [
        ("weight_ih", vec![gates * h, d]),
        ("weight_hh", vec![gates * h, h]),
        ("bias_ih", vec![gates * h]),
        ("bias_hh", vec![gates * h]),
    ] {
        state.push((format!("gAR.baseNet.{part}_l0"), shape));
    }
    state
}

/// Linear heads for k = 1..=`horizons`.
pub fn heads(d: usize, h: usize, horizons: usize) -> State {
    (0..horizons).map(|k| (format!("wPrediction.predictors.{k}.weight"), vec![d, h])).collect()
}

/// A file with these parts, filled with small numbers.
pub fn training(network: &State, heads: &State) -> Vec<u8> {
    let mut pickle = b"\x80\x02}(".to_vec();
    let mut sizes = Vec::new();
    for (key, state) in [("gEncoder", network), ("cpcCriterion", heads)] {
        text(&mut pickle, key);
        pickle.extend(b"ccollections\nOrderedDict\n)R(");
        for (name, shape) in state {
            text(&mut pickle, name);
            tensor(&mut pickle, sizes.len(), shape);
            sizes.push(shape.iter().product::<usize>());
        }
        pickle.push(b'u');
    }
    pickle.extend(b"u.");
    let mut file =
        b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}".to_vec();
    text(&mut file, "little_endian");
    file.extend(b"\x88s.");
    file.extend(pickle);
    file.extend(b"\x80\x02](");
    (0..sizes.len()).for_each(|key| text(&mut file, &key.to_string()));
    file.extend(b"e.");
    for size in sizes {
        file.extend((size as u64).to_le_bytes());
        file.extend((0..size).flat_map(|i| (((i * 37) % 19) as f32 / 19.0 - 0.45).to_le_bytes()));
    }
    file
}

fn text(pickle: &mut Vec<u8>, text: &str) {
    pickle.push(b'X');
    pickle.extend((text.len() as u32).to_le_bytes());
    pickle.extend(text.as_bytes());
}

fn integer(pickle: &mut Vec<u8>, value: usize) {
    pickle.push(b'J');
    pickle.extend((value as u32).to_le_bytes());
}

fn tensor(pickle: &mut Vec<u8>, storage: usize, shape: &[usize]) {
    pickle.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
    text(pickle, "storage");
    pickle.extend(b"ctorch\nFloatStorage\n");
    text(pickle, &storage.to_string());
    text(pickle, "cpu");
    integer(pickle, shape.iter().product());
    pickle.extend(b"NtQ");
    integer(pickle, 0);
    pickle.push(b'(');
    shape.iter().for_each(|&dim| integer(pickle, dim));
    pickle.extend(b"t(");
    (0..shape.len()).for_each(|i| integer(pickle, shape[i + 1..].iter().product()));
    pickle.extend(b"t\x89ccollections\nOrderedDict\n)RtR");
}

use std::io::Cursor;
use std::path::Path;

use proptest::prelude::*;

use super::{Dtype, Kind, TorchFile, Value};
use crate::error::Result;

const FIXTURES: [&str; 4] = ["", "lstm_hub", "batchnorm_gru2", "ffd"];

fn fixture(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/cpc_audio").join(name);
    std::fs::read(folder.join("checkpoint.pt")).unwrap()
}

/// Reads every value and every tensor, as deep as a checkpoint goes.
fn read_all(bytes: Vec<u8>) -> Result<usize> {
    fn specs(value: Value<'_>, depth: usize, found: &mut Vec<super::TensorSpec>) {
        if let Kind::Tensor(spec) = value.kind() {
            found.push(spec.clone());
        }
        if depth > 0 && found.len() < 1000 {
            value.entries().for_each(|(_, value)| specs(value, depth - 1, found));
            value.items().for_each(|value| specs(value, depth - 1, found));
        }
    }
    let mut file = TorchFile::read(Cursor::new(bytes))?;
    let mut found = Vec::new();
    specs(file.root(), 3, &mut found);
    for spec in &found {
        if spec.dtype() != Dtype::I64 {
            file.tensor(spec)?;
        }
    }
    Ok(found.len())
}

/// A pickle of one value in the old container, without storages.
fn legacy(object: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.".to_vec();
    bytes.extend(b"\x80\x02}X\x0d\0\0\0little_endian\x88s.");
    bytes.extend(object);
    bytes.extend(b"\x80\x02].");
    bytes
}

fn cause(object: &[u8]) -> String {
    TorchFile::read(Cursor::new(legacy(object))).unwrap_err().to_string()
}

#[test]
fn both_containers_are_read() {
    for name in FIXTURES {
        let found = read_all(fixture(name)).unwrap();
        assert!(found >= 24, "{name}: {found} tensors");
    }
}

#[test]
fn values_are_what_python_wrote() {
    // {"a": -2, "b": (None, True, 0.5), "c": Namespace(x="é"), "a": 3}
    let object = b"\x80\x02}(U\x01aJ\xfe\xff\xff\xffU\x01bN\x88G\x3f\xe0\0\0\0\0\0\0\x87\
        X\x01\0\0\0ccargparse\nNamespace\n)\x81}X\x01\0\0\0xX\x02\0\0\0\xc3\xa9sbU\x01aK\x03u.";
    let file = TorchFile::read(Cursor::new(legacy(object))).unwrap();
    let root = file.root();
    assert!(matches!(root.get("a").unwrap().kind(), Kind::Int(3)), "the last of two equal keys counts");
    assert!(matches!(root.entries().next().unwrap().1.kind(), Kind::Int(-2)));
    let kinds: Vec<String> = root.get("b").unwrap().items().map(|v| format!("{:?}", v.kind())).collect();
    assert_eq!(kinds, ["None", "Bool(true)", "Float(0.5)"]);
    assert!(matches!(root.get("c").unwrap().get("x").unwrap().kind(), Kind::Text("é")));
    assert!(root.get("x").is_none());
}

#[test]
fn nothing_is_run_and_what_is_unknown_is_named() {
    let call = b"\x80\x02cos\nsystem\nU\x02ls\x85R.";
    assert!(cause(call).contains("`os.system`"), "{}", cause(call));
    let other = b"\x80\x02cbuiltins\neval\nU\x011\x85R.";
    assert!(cause(other).contains("`builtins.eval`"), "{}", cause(other));
    let model = b"\x80\x02ccpc.model\nCPCModel\n)\x81.";
    assert!(cause(model).contains("`cpc.model.CPCModel`"), "{}", cause(model));
    let unnamed = b"\x80\x04\x8c\x05posix\x8c\x06system\x93.";
    assert!(cause(unnamed).contains("`posix.system`"), "{}", cause(unnamed));
    let scalar = b"\x80\x02}U\x01acnumpy.core.multiarray\nscalar\n)Rs.";
    let file = TorchFile::read(Cursor::new(legacy(scalar))).unwrap();
    let found = file.root().get("a").unwrap();
    assert!(matches!(found.kind(), Kind::Other("numpy.core.multiarray.scalar")), "{:?}", found.kind());
}

#[test]
fn windows_that_leave_their_storage_are_refused() {
    let tensor = |count: &str, offset: &str, shape: &str, strides: &str| {
        format!(
            "\u{2}ctorch._utils\n_rebuild_tensor_v2\n((U\x07storagectorch\nFloatStorage\nU\x010U\x03cpu{count}tQ\
             {offset}{shape}{strides}\u{89}}}tR."
        )
    };
    // Latin-1, as the instructions above 0x7f are single bytes
    let bytes =
        |text: String| -> Vec<u8> { std::iter::once(0x80).chain(text.chars().map(|c| c as u8)).collect() };
    let found = |count, offset, shape, strides| cause(&bytes(tensor(count, offset, shape, strides)));
    let eight = "K\x08";
    for (offset, shape, strides) in [
        ("K\x05", "K\x04\u{85}", "K\x01\u{85}"),
        ("K\x00", "K\x03K\x03\u{86}", "K\x03K\x01\u{86}"),
        ("K\x00", "K\x02\u{85}", "J\u{ff}\u{ff}\u{ff}\x7f\u{85}"),
        ("K\x00", "K\x02\u{85}", "K\x01K\x01\u{86}"),
        ("K\x09", "K\x00\u{85}", "K\x01\u{85}"),
        ("K\x00", "\u{8a}\x08\0\0\0\0\0\0\0\x40K\x08\u{86}", "K\x00K\x00\u{86}"),
    ] {
        let cause = found(eight, offset, shape, strides);
        assert!(cause.contains("reaches out of its storage"), "{cause}");
    }
    let cause = found(eight, "J\u{ff}\u{ff}\u{ff}\u{ff}", "K\x02\u{85}", "K\x01\u{85}");
    assert!(cause.contains("-1"), "{cause}");
    // a good window on a storage that is not in the file is found out when it is read
    let good = legacy(&bytes(tensor(eight, "K\x00", "K\x08\u{85}", "K\x01\u{85}")));
    let mut file = TorchFile::read(Cursor::new(good)).unwrap();
    let Kind::Tensor(spec) = file.root().kind() else { panic!("no tensor") };
    let spec = spec.clone();
    assert_eq!((spec.shape(), spec.count()), ([8].as_slice(), 8));
    assert!(file.tensor(&spec).unwrap_err().to_string().contains("storage 0 is not in the file"));
}

#[test]
fn bombs_are_refused() {
    let deep = [b"\x80\x02".as_slice(), &b"(".repeat(1000)].concat();
    assert!(cause(&deep).contains("nested"), "{}", cause(&deep));
    let many = [b"\x80\x02".as_slice(), &b"N".repeat(2 << 20)].concat();
    assert!(cause(&many).contains("values"), "{}", cause(&many));
    let copies = [b"\x80\x02N".as_slice(), &b"2".repeat(2 << 20)].concat();
    assert!(cause(&copies).contains("stack"), "{}", cause(&copies));
    let long = b"\x80\x02\x8d\xff\xff\xff\xff\xff\xff\xff\x7f";
    assert!(cause(long).contains("bytes"), "{}", cause(long));
    let promised = b"\x80\x02X\xff\xff\xff\x00abc";
    assert!(cause(promised).contains("ends too early"), "{}", cause(promised));
    // a list that holds itself
    let circle = legacy(b"\x80\x02]q\x00h\x00a.");
    assert!(TorchFile::read(Cursor::new(circle)).is_ok());
}

#[test]
fn a_flipped_number_in_an_archive_is_noticed() {
    let mut bytes = fixture("");
    let data = bytes.windows(7).position(|w| w == b"/data/0").unwrap();
    bytes[data + 100] ^= 1;
    let error = read_all(bytes).unwrap_err().to_string();
    assert!(error.contains("cannot be read"), "{error}");
}

#[derive(Debug, Clone)]
enum Damage {
    Cut(prop::sample::Index),
    Set(Vec<(prop::sample::Index, u8)>),
    Move(prop::sample::Index, prop::sample::Index, usize),
}

fn damage() -> impl Strategy<Value = Damage> {
    let place = || any::<prop::sample::Index>();
    prop_oneof![
        place().prop_map(Damage::Cut),
        prop::collection::vec((place(), any::<u8>()), 1..40).prop_map(Damage::Set),
        (place(), place(), 1usize..200).prop_map(|(from, to, n)| Damage::Move(from, to, n)),
    ]
}

/// `head` > 0 keeps the damage within the first so many bytes, where the pickle is.
fn apply(mut bytes: Vec<u8>, damage: &Damage, head: usize) -> Vec<u8> {
    let within = if head == 0 { bytes.len() } else { head.min(bytes.len()) };
    match damage {
        Damage::Cut(at) => bytes.truncate(at.index(within)),
        Damage::Set(places) => places.iter().for_each(|(at, value)| bytes[at.index(within)] = *value),
        Damage::Move(from, to, n) => {
            let (from, to) = (from.index(within), to.index(within));
            let piece: Vec<u8> = bytes[from..(from + n).min(within)].to_vec();
            let end = (to + piece.len()).min(within);
            bytes[to..end].copy_from_slice(&piece[..end - to]);
        }
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever is damaged, there is an answer.
    #[test]
    fn damaged_files_are_read_or_refused(which in 0..4usize, in_head: bool, damage in damage()) {
        let head = if in_head { 6000 } else { 0 };
        if let Err(error) = read_all(apply(fixture(FIXTURES[which]), &damage, head)) {
            prop_assert!(!error.to_string().is_empty() && !error.fix().is_empty());
        }
    }

    #[test]
    fn noise_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..2000), form in 0..3) {
        let _ = read_all(match form {
            0 => bytes,
            1 => legacy(&[b"\x80\x02".as_slice(), &bytes].concat()),
            _ => [b"PK\x03\x04".as_slice(), &bytes].concat(),
        });
    }

    /// Instructions in any order, so that more than the first of them are run.
    #[test]
    fn any_instructions_are_run_or_refused(
        codes in prop::collection::vec(prop::sample::select(vec![
            "N", "K\x05", "(", ")", "]", "}", "t", "\u{85}", "\u{86}", "\u{87}", "a", "e", "s", "u", "q\x00", "h\x00", "Q", "R",
            "\u{81}", "b", "0", "1", "2", "U\x07storage", "ctorch\nFloatStorage\n", "ccollections\nOrderedDict\n", "l", "d",
            "cargparse\nNamespace\n", "ctorch._utils\n_rebuild_tensor_v2\n", "ctorch._utils\n_rebuild_parameter\n", "\u{94}",
        ]), 0..60),
    ) {
        let mut object: Vec<u8> = vec![0x80, 2];
        object.extend(codes.iter().flat_map(|code| code.chars().map(|c| c as u8)));
        object.push(b'.');
        let _ = read_all(legacy(&object));
    }
}

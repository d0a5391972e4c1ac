//! The wire format of protobuf, as far as it is written here.

const VARINT: u64 = 0;
const BYTES: u64 = 2;
const FOUR_BYTES: u64 = 5;

/// A message to which fields are added by their numbers.
#[derive(Debug, Clone, Default)]
pub(super) struct Message(Vec<u8>);

impl Message {
    /// A message without fields.
    pub(super) fn new() -> Self {
        Self::default()
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn key(&mut self, field: u64, kind: u64) {
        self.varint(field << 3 | kind);
    }

    /// A field of an integer or of an enumeration.
    pub(super) fn int(&mut self, field: u64, value: i64) -> &mut Self {
        self.key(field, VARINT);
        // negative numbers take ten bytes
        self.varint(value as u64);
        self
    }

    /// A field of a number of 32 bits.
    pub(super) fn float(&mut self, field: u64, value: f32) -> &mut Self {
        self.key(field, FOUR_BYTES);
        self.0.extend(value.to_le_bytes());
        self
    }

    /// A field of bytes.
    pub(super) fn bytes(&mut self, field: u64, value: &[u8]) -> &mut Self {
        self.key(field, BYTES);
        self.varint(value.len() as u64);
        self.0.extend(value);
        self
    }

    /// A field of text.
    pub(super) fn text(&mut self, field: u64, value: &str) -> &mut Self {
        self.bytes(field, value.as_bytes())
    }

    /// A field that is a message.
    pub(super) fn message(&mut self, field: u64, value: &Message) -> &mut Self {
        self.bytes(field, &value.0)
    }

    /// What is written of it.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_encoding() {
        // https://protobuf.dev/programming-guides/encoding/
        let mut inner = Message::new();
        inner.int(1, 150);
        assert_eq!(inner.0, [0x08, 0x96, 0x01]);
        let mut outer = Message::new();
        outer.text(2, "testing").message(3, &inner).int(1, -2).float(4, 1.0);
        let text = b"\x12\x07testing";
        let negative = [0x08, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        let rest = [&[0x1a, 0x03, 0x08, 0x96, 0x01][..], &negative, &[0x25, 0, 0, 0x80, 0x3f]].concat();
        assert_eq!(outer.into_bytes(), [&text[..], &rest].concat());
    }
}

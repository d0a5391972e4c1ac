//! Memory as bytes and back, bit for bit.
//!
//! JSON has no NaN, and a stored state leaves out what a restart may forget. Here a value is written with all of its fields:
//! [`exact!`] takes the fields apart by name, so that one which is missing does not compile. Numbers are little-endian, of fixed
//! width. The form is that of one build and has no version of its own: whoever keeps the bytes keeps a name of the build with them.

use std::collections::VecDeque;

use crate::kernels::Triangle;

/// What can be written and read back without a difference.
pub(crate) trait Exact: Sized {
    /// Appends the value to `out`.
    fn write(&self, out: &mut Vec<u8>);

    /// Takes a value off the beginning of `from`; none where that holds no such value.
    fn read(from: &mut &[u8]) -> Option<Self>;
}

/// Implements [`Exact`] for a struct by the list of its fields.
macro_rules! exact {
    ($type:ty { $($field:ident),* $(,)? }) => {
        impl $crate::detect::exact::Exact for $type {
            fn write(&self, out: &mut Vec<u8>) {
                let Self { $($field),* } = self;
                $($crate::detect::exact::Exact::write($field, out);)*
            }

            fn read(from: &mut &[u8]) -> Option<Self> {
                $(let $field = $crate::detect::exact::Exact::read(from)?;)*
                Some(Self { $($field),* })
            }
        }
    };
}
pub(crate) use exact;

/// The same for an enum of names alone.
macro_rules! exact_names {
    ($type:ty { $($name:ident),* $(,)? }) => {
        impl $crate::detect::exact::Exact for $type {
            fn write(&self, out: &mut Vec<u8>) {
                let name = match self { $(Self::$name => stringify!($name)),* };
                $crate::detect::exact::Exact::write(&name.to_owned(), out);
            }

            fn read(from: &mut &[u8]) -> Option<Self> {
                let name: String = $crate::detect::exact::Exact::read(from)?;
                match name.as_str() {
                    $(stringify!($name) => Some(Self::$name),)*
                    _ => None,
                }
            }
        }
    };
}
pub(crate) use exact_names;

macro_rules! numbers {
    ($($type:ty),*) => {$(
        impl Exact for $type {
            fn write(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }

            fn read(from: &mut &[u8]) -> Option<Self> {
                let (bytes, rest) = from.split_first_chunk()?;
                *from = rest;
                Some(Self::from_le_bytes(*bytes))
            }
        }
    )*};
}

numbers!(u8, i8, u16, u32, u64, f32, f64);

impl Exact for usize {
    fn write(&self, out: &mut Vec<u8>) {
        (*self as u64).write(out);
    }

    fn read(from: &mut &[u8]) -> Option<Self> {
        u64::read(from)?.try_into().ok()
    }
}

impl Exact for bool {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }

    fn read(from: &mut &[u8]) -> Option<Self> {
        match u8::read(from)? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }
}

impl Exact for String {
    fn write(&self, out: &mut Vec<u8>) {
        self.len().write(out);
        out.extend_from_slice(self.as_bytes());
    }

    fn read(from: &mut &[u8]) -> Option<Self> {
        let length = usize::read(from)?;
        let (text, rest) = from.split_at_checked(length)?;
        *from = rest;
        Self::from_utf8(text.to_vec()).ok()
    }
}

impl<T: Exact> Exact for Option<T> {
    fn write(&self, out: &mut Vec<u8>) {
        self.is_some().write(out);
        if let Some(value) = self {
            value.write(out);
        }
    }

    fn read(from: &mut &[u8]) -> Option<Self> {
        if bool::read(from)? { Some(Some(T::read(from)?)) } else { Some(None) }
    }
}

impl<T: Exact> Exact for Box<T> {
    fn write(&self, out: &mut Vec<u8>) {
        T::write(self, out);
    }

    fn read(from: &mut &[u8]) -> Option<Self> {
        T::read(from).map(Self::new)
    }
}

impl<T: Exact> Exact for Vec<T> {
    fn write(&self, out: &mut Vec<u8>) {
        self.len().write(out);
        self.iter().for_each(|value| value.write(out));
    }

    fn read(from: &mut &[u8]) -> Option<Self> {
        let length = usize::read(from)?;
        // a value takes a byte at least: damaged lengths ask for no memory
        (length <= from.len()).then_some(())?;
        (0..length).map(|_| T::read(from)).collect()
    }
}

impl<T: Exact + Copy + Default> Exact for Triangle<T> {
    fn write(&self, out: &mut Vec<u8>) {
        self.numbers().collect::<Vec<_>>().write(out);
    }

    fn read(from: &mut &[u8]) -> Option<Self> {
        Self::from_packed(&Vec::read(from)?)
    }
}

impl<T: Exact> Exact for VecDeque<T> {
    fn write(&self, out: &mut Vec<u8>) {
        self.len().write(out);
        self.iter().for_each(|value| value.write(out));
    }

    fn read(from: &mut &[u8]) -> Option<Self> {
        Vec::read(from).map(Self::from)
    }
}

impl<T: Exact, const N: usize> Exact for [T; N] {
    fn write(&self, out: &mut Vec<u8>) {
        self.iter().for_each(|value| value.write(out));
    }

    fn read(from: &mut &[u8]) -> Option<Self> {
        let values: Vec<T> = (0..N).map(|_| T::read(from)).collect::<Option<_>>()?;
        values.try_into().ok()
    }
}

impl<A: Exact, B: Exact> Exact for (A, B) {
    fn write(&self, out: &mut Vec<u8>) {
        self.0.write(out);
        self.1.write(out);
    }

    fn read(from: &mut &[u8]) -> Option<Self> {
        Some((A::read(from)?, B::read(from)?))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone, PartialEq)]
    struct Sample {
        number: u64,
        values: Vec<f32>,
        name: Option<String>,
        grid: [[f64; 2]; 40],
        flag: bool,
        queue: VecDeque<(i8, usize)>,
    }
    exact!(Sample { number, values, name, grid, flag, queue });

    #[test]
    fn all_bits_come_back() {
        let values = vec![f32::NAN, -0.0, f32::MIN_POSITIVE / 2.0, f32::INFINITY, 1.0];
        let sample = Sample {
            number: u64::MAX,
            values: values.clone(),
            name: Some("né".to_owned()),
            grid: [[0.1, -1e300]; 40],
            flag: true,
            queue: VecDeque::from([(-7, 9)]),
        };
        let mut bytes = Vec::new();
        sample.write(&mut bytes);
        let mut rest = bytes.as_slice();
        let again = Sample::read(&mut rest).unwrap();
        assert!(rest.is_empty());
        let bits = |values: &[f32]| values.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&again.values), bits(&values));
        assert_eq!(Sample { values: vec![], ..again }, Sample { values: vec![], ..sample });
        for end in 0..bytes.len() {
            assert!(Sample::read(&mut &bytes[..end]).is_none(), "{end} of {} bytes", bytes.len());
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = Sample::read(&mut bytes.as_slice());
            let _ = Vec::<Vec<u64>>::read(&mut bytes.as_slice());
        }
    }
}

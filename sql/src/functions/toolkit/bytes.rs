//! The numbers of an encoded summary, written and read back.
//!
//! Reading never panics: what is not there, too long or not canonical is `None`.

/// Version of the encodings.
const VERSION: u8 = 1;

/// Bytes of a summary under way.
#[derive(Debug)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    /// Begins a summary.
    pub(super) fn new(kind: u8) -> Self {
        Writer(vec![kind, VERSION])
    }

    /// Begins another one in the same memory.
    pub(super) fn restart(&mut self, kind: u8) {
        self.0.clear();
        self.0.extend([kind, VERSION]);
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.0
    }

    pub(super) fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    pub(super) fn f64(&mut self, value: f64) {
        self.raw(&value.to_le_bytes());
    }

    pub(super) fn i64(&mut self, value: i64) {
        self.raw(&value.to_le_bytes());
    }

    /// An integer in as many bytes as it needs, seven bits each, the lowest first.
    pub(super) fn count(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    /// A signed integer, short where it is near zero.
    pub(super) fn signed(&mut self, value: i64) {
        self.count(((value << 1) ^ (value >> 63)) as u64);
    }

    /// A length and that many bytes.
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len() as u64);
        self.raw(bytes);
    }
}

/// What is left to read of a summary.
#[derive(Debug)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// The kind of a summary, and its body.
    pub(super) fn open(bytes: &'a [u8]) -> Option<(u8, Reader<'a>)> {
        match bytes {
            [kind, VERSION, body @ ..] => Some((*kind, Reader(body))),
            _ => None,
        }
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn fixed<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.fixed::<1>().map(|[byte]| byte)
    }

    pub(super) fn f64(&mut self) -> Option<f64> {
        self.fixed().map(f64::from_le_bytes)
    }

    pub(super) fn i64(&mut self) -> Option<i64> {
        self.fixed().map(i64::from_le_bytes)
    }

    pub(super) fn count(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            // The tenth byte has one bit left.
            if shift == 63 && bits > 1 {
                return None;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                // A last byte of nothing would be a second spelling.
                return (byte != 0 || shift == 0).then_some(value);
            }
        }
        None
    }

    pub(super) fn signed(&mut self) -> Option<i64> {
        let folded = self.count()?;
        Some((folded >> 1) as i64 ^ -((folded & 1) as i64))
    }

    /// A number of items of which each has at least so many bytes: never more than can be there.
    pub(super) fn length(&mut self, item_bytes_min: usize) -> Option<usize> {
        let length = usize::try_from(self.count()?).ok()?;
        (length.checked_mul(item_bytes_min)? <= self.0.len()).then_some(length)
    }

    pub(super) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.length(1)?;
        self.take(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_come_back() {
        let cases = [0, 1, -1, 63, 64, -65, 8191, 1 << 40, i64::MAX, i64::MIN];
        for value in cases {
            let mut out = Writer::new(7);
            out.signed(value);
            out.count(value as u64);
            let bytes = out.finish();
            let (kind, mut from) = Reader::open(&bytes).expect("a summary");
            assert_eq!(kind, 7);
            assert_eq!(from.signed(), Some(value));
            assert_eq!(from.count(), Some(value as u64));
            assert!(from.is_at_end());
        }
    }

    #[test]
    fn what_is_too_long_is_not_read() {
        for body in [
            &[0x80u8; 11][..],
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2],
            &[0x80, 0],
            &[0x80],
            &[],
        ] {
            assert_eq!(Reader(body).count(), None, "{body:?}");
        }
        assert_eq!(Reader(&[200, 1, 1, 2, 3]).length(1), None);
        assert_eq!(Reader(&[2, 1, 2, 3]).length(2), None);
        assert_eq!(Reader(&[3, 1, 2, 3]).bytes(), Some(&[1u8, 2, 3][..]));
    }
}

//! Lower-case hexadecimal. One form only, so that a text has one meaning and a value one text.

use zeroize::Zeroizing;

const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];

/// Wiped when dropped, because most of what is written this way is secret.
pub(super) fn encode(bytes: &[u8]) -> Zeroizing<String> {
    // Room for all of it at once: growing would leave a copy behind.
    let mut text = Zeroizing::new(String::with_capacity(bytes.len() * 2));
    for byte in bytes {
        text.push(DIGITS[usize::from(byte >> 4)]);
        text.push(DIGITS[usize::from(byte & 0x0f)]);
    }
    text
}

/// Exactly `N` bytes, or nothing.
pub(super) fn decode<const N: usize>(text: &str) -> Option<Zeroizing<[u8; N]>> {
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    if pairs.len() != N {
        return None;
    }
    let mut bytes = Zeroizing::new([0; N]);
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = nibble(*high)? << 4 | nibble(*low)?;
    }
    Some(bytes)
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_one_text_and_texts_one_length() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(decode::<256>(&encode(&all)).unwrap().as_slice(), all);
        assert_eq!(*encode(&[0, 0x1f, 0xa0]), "001fa0");
        for bad in ["", "0", "00", "0000000", "0000000000", "0000000A", "000000g0", "00 00000", "ééé€"] {
            assert!(decode::<4>(bad).is_none(), "{bad:?}");
        }
    }
}

//! The records of an array in another order: each keeps its bytes, and what stands between them stays
//! where it is.

use std::ops::Range;

use super::json::{self, Reach, Traits};

/// Appends `body`, an array that was scanned before, with its elements in the order of `places`.
/// `None` if it is not an array of so many elements.
pub(super) fn reorder(body: &[u8], places: &[usize], out: &mut Vec<u8>) -> Option<()> {
    let elements = elements(body)?;
    if elements.len() != places.len() {
        return None;
    }
    let mut copied = 0;
    for (element, place) in elements.iter().zip(places) {
        out.extend_from_slice(body.get(copied..element.start)?);
        out.extend_from_slice(body.get(elements.get(*place)?.clone())?);
        copied = element.end;
    }
    out.extend_from_slice(body.get(copied..)?);
    Some(())
}

/// Where the elements of an array of objects stand. An empty body has none.
fn elements(body: &[u8]) -> Option<Vec<Range<usize>>> {
    let mut found = Vec::new();
    let (mut depth, mut start, mut at) = (0_usize, 0, 0);
    while let Some(byte) = body.get(at) {
        match byte {
            b'"' => match json::string_end(body, at + 1, &mut Traits::default()) {
                Reach::Quote(end) => at = end,
                Reach::Bad | Reach::Short(_) => return None,
            },
            b'{' | b'[' => {
                depth += 1;
                if depth == 2 {
                    start = at;
                }
            }
            b'}' | b']' => {
                if depth == 2 {
                    found.push(start..at + 1);
                }
                depth = depth.checked_sub(1)?;
            }
            _ => {}
        }
        at += 1;
    }
    (depth == 0).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_change_places_and_what_is_between_them_does_not() {
        let body = "[{\"a\":\"}],[\\\"{\"}, \n {\"b\":[{}, 1]} ,{}]\n";
        let mut out = Vec::new();
        reorder(body.as_bytes(), &[2, 0, 1], &mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "[{}, \n {\"a\":\"}],[\\\"{\"} ,{\"b\":[{}, 1]}]\n"
        );
        let mut out = Vec::new();
        assert!(reorder(b"[]", &[], &mut out).is_some());
        assert_eq!(out, b"[]");
        assert!(reorder(b"[{},{}]", &[0], &mut out).is_none());
        assert!(reorder(b"[{}", &[0], &mut out).is_none());
    }
}

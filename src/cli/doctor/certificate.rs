//! How long a certificate is good for: the two times of its validity (RFC 5280 §4.1.2.5), and nothing else of it.

use chrono::NaiveDateTime;

use crate::clock::Timestamp;

/// The universal tags that are looked at.
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// When a certificate (DER) begins to be valid, and when it ends.
pub(super) fn validity(der: &[u8]) -> Option<(Timestamp, Timestamp)> {
    let (certificate, _) = expect(der, SEQUENCE)?;
    let (mut fields, _) = expect(certificate, SEQUENCE)?;
    if let Some((_, rest)) = expect(fields, VERSION) {
        fields = rest;
    }
    // Serial number, signature algorithm, issuer.
    for _ in 0..3 {
        (_, _, fields) = element(fields)?;
    }
    let (times, _) = expect(fields, SEQUENCE)?;
    let (tag, begins, times) = element(times)?;
    let begins = time(tag, begins)?;
    let (tag, ends, _) = element(times)?;
    Some((begins, time(tag, ends)?))
}

/// An element of this kind: its content, and what follows.
fn expect(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, content, rest) = element(der)?;
    (found == tag).then_some((content, rest))
}

/// The first element: tag, content, and what follows it (X.690 §8.1).
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = if first & 0x80 == 0 {
        (usize::from(*first), rest)
    } else {
        let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f).min(9))?;
        let fold = |length: usize, byte: &u8| length.checked_mul(256)?.checked_add(usize::from(*byte));
        (bytes.iter().try_fold(0, fold)?, rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

fn time(tag: u8, text: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(text).ok()?;
    let text = match tag {
        // Two digits: until 2049 (RFC 5280 §4.1.2.5.1).
        UTC_TIME if text < "50" => format!("20{text}"),
        UTC_TIME => format!("19{text}"),
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    let moment = NaiveDateTime::parse_from_str(&text, "%Y%m%d%H%M%SZ").ok()?;
    Some(Timestamp(moment.and_utc().timestamp_millis()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_times_of_a_certificate_are_read_in_both_forms() {
        for (year, expected) in [(2031, "2031-01-02T00:00:00Z"), (2075, "2075-01-02T00:00:00Z")] {
            let mut params = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
            params.not_before = rcgen::date_time_ymd(2026, 11, 3);
            params.not_after = rcgen::date_time_ymd(year, 1, 2);
            let key = rcgen::KeyPair::generate().unwrap();
            let der = params.self_signed(&key).unwrap();
            let (begins, ends) = validity(der.der()).unwrap();
            assert_eq!(begins.rfc3339(), "2026-11-03T00:00:00Z");
            assert_eq!(ends.rfc3339(), expected);
            for cut in 0..60 {
                assert!(validity(&der.der()[..cut]).is_none(), "{cut}");
            }
        }
    }
}

//! The facts of a certificate that people look for: its number, and from when to when it is valid (RFC 5280 §4.1).
//!
//! rustls judges certificates and tells none of them. Only the way to these fields is walked; what lies beside it is
//! stepped over.

use chrono::NaiveDate;

use crate::clock::Timestamp;

const INTEGER: u8 = 0x02;
const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// The version, which may be left out.
const VERSION: u8 = 0xa0;

/// What is told of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Certificate {
    /// The serial number, in hexadecimal.
    pub(crate) serial: String,
    /// When it begins.
    pub(crate) not_before: Timestamp,
    /// When it ends.
    pub(crate) not_after: Timestamp,
}

impl Certificate {
    /// Reads it from DER.
    pub(crate) fn read(der: &[u8]) -> Option<Self> {
        let (mut certificate, _) = expect(SEQUENCE, der)?;
        let (mut fields, _) = expect(SEQUENCE, take(&mut certificate)?.whole)?;
        let mut field = take(&mut fields)?;
        if field.tag == VERSION {
            field = take(&mut fields)?;
        }
        let serial = (field.tag == INTEGER).then(|| hexadecimal(field.body))?;
        let (_signature, _issuer) = (take(&mut fields)?, take(&mut fields)?);
        let (mut validity, _) = expect(SEQUENCE, fields)?;
        let (not_before, not_after) = (take(&mut validity)?, take(&mut validity)?);
        Some(Self { serial, not_before: moment(&not_before)?, not_after: moment(&not_after)? })
    }
}

struct Item<'a> {
    tag: u8,
    body: &'a [u8],
    whole: &'a [u8],
}

/// The next item and what follows it: a tag, a length and as many bytes (ITU-T X.690 §8.1, definite lengths alone).
fn take<'a>(rest: &mut &'a [u8]) -> Option<Item<'a>> {
    let whole = *rest;
    let (tag, after_tag) = whole.split_first()?;
    let (first, after_first) = after_tag.split_first()?;
    let (length, content) = match usize::from(*first) {
        short @ 0..0x80 => (short, after_first),
        long => {
            let (bytes, content) =
                after_first.split_at_checked(long - 0x80).filter(|(bytes, _)| bytes.len() <= 4)?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), content)
        }
    };
    let (body, after) = content.split_at_checked(length)?;
    *rest = after;
    Some(Item { tag: *tag, body, whole })
}

/// The body of the first item, which has this tag, and what follows it.
fn expect(tag: u8, mut der: &[u8]) -> Option<(&[u8], &[u8])> {
    let item = take(&mut der)?;
    (item.tag == tag).then_some((item.body, der))
}

/// As `openssl x509 -serial` writes it.
fn hexadecimal(number: &[u8]) -> String {
    let zeros = number.iter().take_while(|byte| **byte == 0).count().min(number.len().saturating_sub(1));
    let digits = number.iter().skip(zeros).map(|byte| format!("{byte:02X}"));
    digits.collect::<Vec<_>>().concat()
}

/// A time with seconds and in UTC, as certificates have it (RFC 5280 §4.1.2.5).
fn moment(item: &Item<'_>) -> Option<Timestamp> {
    let text = std::str::from_utf8(item.body).ok()?.strip_suffix('Z')?;
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<u32>().ok();
    let (year, rest) = match item.tag {
        UTC_TIME => {
            let year = number(0, 2)?;
            (if year < 50 { 2000 + year } else { 1900 + year }, 2)
        }
        GENERALIZED_TIME => (number(0, 4)?, 4),
        _ => return None,
    };
    let part = |place: usize| number(rest + 2 * place, rest + 2 * place + 2);
    let day = NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, part(0)?, part(1)?)?;
    let time = day.and_hms_opt(part(2)?, part(3)?, part(4)?)?;
    Some(Timestamp(time.and_utc().timestamp_millis()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, SerialNumber, date_time_ymd};

    #[test]
    fn its_number_beginning_and_end_are_read_in_both_ways_to_write_a_time() {
        for (year, serial, written, ends) in [
            (2031, vec![0x0a, 0x1b], "0A1B", "2031-02-03T00:00:00Z"),
            (2049, vec![0xff, 0x00, 0x01], "FF0001", "2049-02-03T00:00:00Z"),
            (2050, vec![1], "01", "2050-02-03T00:00:00Z"),
            (1999, vec![7; 20], &"07".repeat(20), "1999-02-03T00:00:00Z"),
        ] {
            let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
            params.not_before = date_time_ymd(1990, 1, 1);
            params.not_after = date_time_ymd(year, 2, 3);
            params.serial_number = Some(SerialNumber::from(serial));
            let made = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
            let read = Certificate::read(made.der()).unwrap();
            assert_eq!((read.serial.as_str(), read.not_after.rfc3339().as_str()), (written, ends));
            assert_eq!(read.not_before.rfc3339(), "1990-01-01T00:00:00Z");
            for cut in 0..150 {
                assert_eq!(Certificate::read(&made.der()[..cut]), None, "{cut}");
            }
        }
    }
}

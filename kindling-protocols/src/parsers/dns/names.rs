//! The names of numbers. <https://www.iana.org/assignments/dns-parameters>

use kindling_core::Text;

/// A record's or question's type: `A`; `TYPE123` for one without a name (RFC 3597 section 5).
pub(super) fn type_text(number: u16) -> Text {
    known_type(number).map_or_else(|| numbered("TYPE", number), Text::from)
}

/// A class: `IN`; `CLASS123` for one without a name.
pub(super) fn class_text(number: u16) -> Text {
    match number {
        1 => "IN".into(),
        3 => "CH".into(),
        4 => "HS".into(),
        254 => "NONE".into(),
        255 => "ANY".into(),
        _ => numbered("CLASS", number),
    }
}

/// What a message does: `QUERY`.
pub(super) fn opcode_text(number: u8) -> Text {
    match number {
        0 => "QUERY".into(),
        1 => "IQUERY".into(),
        2 => "STATUS".into(),
        4 => "NOTIFY".into(),
        5 => "UPDATE".into(),
        6 => "DSO".into(),
        _ => numbered("OPCODE", number.into()),
    }
}

/// A response code, with what EDNS adds to it: `NXDOMAIN`.
pub(super) fn rcode_text(number: u16) -> Text {
    let name = match number {
        0 => "NOERROR",
        1 => "FORMERR",
        2 => "SERVFAIL",
        3 => "NXDOMAIN",
        4 => "NOTIMP",
        5 => "REFUSED",
        6 => "YXDOMAIN",
        7 => "YXRRSET",
        8 => "NXRRSET",
        9 => "NOTAUTH",
        10 => "NOTZONE",
        11 => "DSOTYPENI",
        16 => "BADVERS",
        17 => "BADKEY",
        18 => "BADTIME",
        19 => "BADMODE",
        20 => "BADNAME",
        21 => "BADALG",
        22 => "BADTRUNC",
        23 => "BADCOOKIE",
        _ => return numbered("RCODE", number),
    };
    name.into()
}

fn numbered(what: &str, number: u16) -> Text {
    let mut text = Text::from(what);
    decimal(number, &mut text);
    text
}

/// Append a number; formatting as such costs more than everything else about a message.
pub(super) fn decimal(number: u16, out: &mut Text) {
    let mut rest = number;
    let mut digits = [b'0'; 5];
    let mut used = 0;
    for digit in digits.iter_mut().rev() {
        *digit += (rest % 10) as u8;
        rest /= 10;
        used += 1;
        if rest == 0 {
            break;
        }
    }
    out.push(digits.get(digits.len() - used..).unwrap_or_default());
}

/// The name of a type that has one.
pub(super) const fn known_type(number: u16) -> Option<&'static str> {
    Some(match number {
        1 => "A",
        2 => "NS",
        3 => "MD",
        4 => "MF",
        5 => "CNAME",
        6 => "SOA",
        7 => "MB",
        8 => "MG",
        9 => "MR",
        10 => "NULL",
        11 => "WKS",
        12 => "PTR",
        13 => "HINFO",
        14 => "MINFO",
        15 => "MX",
        16 => "TXT",
        17 => "RP",
        18 => "AFSDB",
        19 => "X25",
        20 => "ISDN",
        21 => "RT",
        22 => "NSAP",
        24 => "SIG",
        25 => "KEY",
        26 => "PX",
        28 => "AAAA",
        29 => "LOC",
        30 => "NXT",
        33 => "SRV",
        35 => "NAPTR",
        36 => "KX",
        37 => "CERT",
        38 => "A6",
        39 => "DNAME",
        41 => "OPT",
        42 => "APL",
        43 => "DS",
        44 => "SSHFP",
        45 => "IPSECKEY",
        46 => "RRSIG",
        47 => "NSEC",
        48 => "DNSKEY",
        49 => "DHCID",
        50 => "NSEC3",
        51 => "NSEC3PARAM",
        52 => "TLSA",
        53 => "SMIMEA",
        55 => "HIP",
        59 => "CDS",
        60 => "CDNSKEY",
        61 => "OPENPGPKEY",
        62 => "CSYNC",
        63 => "ZONEMD",
        64 => "SVCB",
        65 => "HTTPS",
        99 => "SPF",
        108 => "EUI48",
        109 => "EUI64",
        249 => "TKEY",
        250 => "TSIG",
        251 => "IXFR",
        252 => "AXFR",
        253 => "MAILB",
        254 => "MAILA",
        255 => "ANY",
        256 => "URI",
        257 => "CAA",
        258 => "AVC",
        32768 => "TA",
        32769 => "DLV",
        _ => return None,
    })
}

pub(super) const A: u16 = 1;
pub(super) const NS: u16 = 2;
pub(super) const CNAME: u16 = 5;
pub(super) const SOA: u16 = 6;
pub(super) const PTR: u16 = 12;
pub(super) const MX: u16 = 15;
pub(super) const TXT: u16 = 16;
pub(super) const AAAA: u16 = 28;
pub(super) const SRV: u16 = 33;
pub(super) const NAPTR: u16 = 35;
pub(super) const DNAME: u16 = 39;
pub(super) const OPT: u16 = 41;
pub(super) const DS: u16 = 43;
pub(super) const SVCB: u16 = 64;
pub(super) const HTTPS: u16 = 65;
pub(super) const SPF: u16 = 99;
pub(super) const IXFR: u16 = 251;
pub(super) const AXFR: u16 = 252;
pub(super) const CAA: u16 = 257;
pub(super) const NXDOMAIN: u16 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names() {
        for number in [0, 1, 9, 10, 255, 1000, 65535] {
            let mut text = Text::new();
            decimal(number, &mut text);
            assert_eq!(text, *number.to_string());
        }
        assert_eq!(type_text(28), "AAAA");
        assert_eq!(type_text(65280), "TYPE65280");
        assert_eq!(class_text(2), "CLASS2");
        assert_eq!(rcode_text(3), "NXDOMAIN");
        assert_eq!(rcode_text(4095), "RCODE4095");
        assert_eq!(opcode_text(9), "OPCODE9");
    }
}

//! The mistakes that clients make when they sign, as the texts that these make.
//!
//! Each comes with what to tell the caller: what was signed, and what to sign instead.

use std::borrow::Cow;

use keyward_model::Stage;

use super::diagnosis::{Cause, Trial};
use super::encoded::{Md5Form, md5_of};
use super::parameters::{Empty, Encoding, Order, Parameters, PathEscapes, Pick, Source, Style, decode_path};
use super::refusal::shown;

/// A field that has another value than the one that was signed.
pub(super) fn changed(field: &str, signed: &[u8], arrived: &[u8]) -> Cause {
    let show =
        |value: &[u8]| if value.is_empty() { "none".to_owned() } else { format!("`{}`", shown(value)) };
    Cow::Owned(format!(
        "the signature is right for another `{field}`: {} was signed, {} arrived; set it before signing, so that no library or \
         proxy changes it",
        show(signed),
        show(arrived)
    ))
}

pub(super) fn other_accepts(arrived: &[u8]) -> Vec<&'static [u8]> {
    let usual: [&[u8]; 4] = [b"", b"*/*", b"application/json", b"application/json; charset=utf-8"];
    usual.into_iter().filter(|other| *other != arrived).collect()
}

/// None, the one that arrived without its parameters, and that one with a charset.
pub(super) fn other_content_types(arrived: &[u8]) -> Vec<Vec<u8>> {
    let bare = arrived.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii_end();
    let with = |charset: &str| [bare, charset.as_bytes()].concat();
    let mut others = vec![Vec::new()];
    if bare.is_empty() {
        others.push(b"application/json".to_vec());
    } else {
        let charsets = ["", "; charset=UTF-8", "; charset=utf-8", ";charset=UTF-8", ";charset=utf-8"];
        others.extend(charsets.map(with));
    }
    others.retain(|other| other != arrived);
    others
}

/// Digests in other forms than the one that was signed, and none.
pub(super) fn other_digests(
    trial: &Trial<'_>,
    arrived: &[u8],
    forms: &[Md5Form],
) -> Vec<(String, &'static str)> {
    let mut others = Vec::new();
    if !arrived.is_empty() {
        others.push((
            String::new(),
            "the signature is right without Content-MD5: the body was not signed, so sign its digest",
        ));
    }
    let Some(body) = trial.body.filter(|body| !body.is_empty()) else { return others };
    let md5 = md5_of(body);
    others.extend(forms.iter().map(|form| (form.write(md5), match form {
        Md5Form::Raw => "the signature is right with `Content-MD5`, which did not arrive as it was signed: send it",
        Md5Form::HexBase64 => "Content-MD5 was signed as base64 of hexadecimal digits: use base64 of the 16 bytes",
        Md5Form::Hex => "Content-MD5 was signed in hexadecimal: use base64, as the vendor documents it",
    })));
    others.retain(|(other, _)| other.as_bytes() != arrived);
    others
}

/// Parameters as clients get them wrong.
pub(super) fn wrong_parameters(trial: &Trial<'_>) -> Vec<(Vec<u8>, &'static str)> {
    let parameters = trial.parameters;
    let documented = Style::DOCUMENTED;
    let right = parameters.write(documented);
    let encoded = Style { encoding: Encoding::AsSent, ..documented };
    let unsorted = Style { order: Order::AsSent, ..documented };
    let mut wrong: Vec<(Vec<u8>, &'static str)> = Vec::new();
    if !parameters.is_empty() {
        let equals = "a parameter without value was signed as `name=`: sign the bare name";
        let as_sent = "the parameters were signed percent-encoded: sign them decoded";
        let order = "the parameters were signed unsorted: sort them by the bytes of their names";
        wrong = vec![
            (parameters.write(encoded), as_sent),
            (parameters.write(Style { encoding: Encoding::QueryAsSent, ..documented }), as_sent),
            (parameters.write(Style { empty: Empty::Equals, ..documented }), equals),
            (parameters.write(Style { empty: Empty::Equals, ..encoded }), equals),
            (
                parameters.write(Style { pick: Pick::Every, ..documented }),
                "every value of a repeated parameter was signed: sign the first one only",
            ),
            (
                parameters.write(Style { pick: Pick::Last, ..documented }),
                "the last value of a repeated parameter was signed: sign the first one",
            ),
            (
                parameters.write(Style { wins: Source::Query, ..documented }),
                "where query and form have the same name, the form's value must be signed",
            ),
            (
                parameters.write(Style { only: Some(Source::Query), ..documented }),
                "the form's parameters were not signed: sign them together with the query's",
            ),
            (
                parameters.write(Style { only: Some(Source::Form), ..documented }),
                "the query's parameters were not signed: sign them, after the path and a `?`",
            ),
            (parameters.write(unsorted), order),
            (parameters.write(Style { empty: Empty::Equals, ..unsorted }), order),
            (
                parameters.write_verbatim(),
                "the query was signed as it was sent: decode it, and sort it by name",
            ),
            (Vec::new(), "the parameters were not signed: sign them, after the path and a `?`"),
        ];
    }
    if let Some(body) =
        trial.body.filter(|body| !trial.presented.positional.is_form() && body.contains(&b'='))
    {
        let query = trial.request.head.query.map(str::as_bytes);
        let text = Parameters::split(query, Some(body)).map(|all| all.write(documented));
        wrong.extend(text.map(|text| {
            (text, "the body was signed as a form: its Content-Type is not one, so only its digest is signed")
        }));
    }
    distinct(wrong, &right)
}

/// Paths as clients get them wrong: with or without what selects a stage, or decoded where they must not be.
pub(super) fn wrong_paths(trial: &Trial<'_>, right: &[u8]) -> Vec<(Vec<u8>, &'static str)> {
    let whole = trial.request.head.path;
    let prefix = "the path was signed with the prefix that selects the stage: leave the prefix out";
    let no_prefix = "the path was signed without its first segment: sign it as it is sent";
    let decoded = "the path was signed decoded, but an escape in it has a meaning of its own: sign the path as it is sent";
    let first_end = whole.get(1..).and_then(|rest| rest.find('/')).map(|at| at + 1);
    let shorter = first_end.and_then(|at| whole.get(at..)).unwrap_or("/");
    let starts_as_stage = Stage::ALL.iter().any(|stage| whole.starts_with(stage.tencent_prefix()));
    let mut wrong = vec![(whole.as_bytes().to_vec(), prefix)];
    if starts_as_stage || first_end.is_some() {
        wrong.push((shorter.as_bytes().to_vec(), no_prefix));
    }
    wrong.extend(decode_path(right, PathEscapes::All).map(|path| (path, decoded)));
    let slash = "the path was signed with another ending: a slash at its end counts";
    let toggled = right.strip_suffix(b"/").map_or_else(|| [right, b"/"].concat(), <[u8]>::to_vec);
    wrong.push((toggled, slash));
    distinct(wrong, right)
}

/// Each text once, and not the right one.
fn distinct(wrong: Vec<(Vec<u8>, &'static str)>, right: &[u8]) -> Vec<(Vec<u8>, &'static str)> {
    let mut kept: Vec<(Vec<u8>, &'static str)> = Vec::with_capacity(wrong.len());
    for (text, cause) in wrong {
        if text != right && kept.iter().all(|(other, _)| *other != text) {
            kept.push((text, cause));
        }
    }
    kept
}

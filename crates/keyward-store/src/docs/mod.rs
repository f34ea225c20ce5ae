//! The JSON documents within rows: the parts of an object that nothing is searched by.
//!
//! Values are written in the words of the world file and parsed by the model again, so that a row that was altered by hand
//! is either right or refused.

pub(crate) mod api;
pub(crate) mod caller;
pub(crate) mod gateway;
pub(crate) mod grant;
pub(crate) mod jwt;
pub(crate) mod module;
pub(crate) mod plugin;
pub(crate) mod secret;
pub(crate) mod service;

use std::fmt::Display;
use std::str::FromStr;

use keyward_model::ParseError;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The document as text. Maps are sorted, so that equal values give equal texts.
pub(crate) fn write<T: Serialize>(doc: &T) -> String {
    // Strings, numbers and lists only: there is nothing in these documents that JSON cannot say.
    serde_json::to_string(doc).unwrap_or_default()
}

pub(crate) fn read<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

pub(crate) fn parse<T: FromStr<Err = ParseError>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: ParseError| error.to_string())
}

pub(crate) fn texts<T: Display>(values: &[T]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}

pub(crate) fn parse_all<T: FromStr<Err = ParseError>>(texts: &[String]) -> Result<Vec<T>, String> {
    texts.iter().map(|text| parse(text)).collect()
}

fn networks(texts: &[String]) -> Result<Vec<keyward_model::IpNet>, String> {
    texts.iter().map(|text| text.parse().map_err(|_| format!("`{text}` is not a network"))).collect()
}

//! Descriptions on the command line: from a file, from flags, and field by field.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Map, Value};

use super::Failure;

/// The fields of a description, as JSON.
pub(crate) type Object = Map<String, Value>;

/// Flags that describe an object of one noun.
pub(crate) trait Described: Args {
    /// What the flags say.
    fn fields(&self) -> Result<Object, Failure>;

    /// Refuses flags that make sense only for an object that is being made.
    fn check_change(&self) -> Result<(), Failure> {
        Ok(())
    }
}

/// A description: a file, then flags, then single fields, each over the one before.
#[derive(Debug, Args)]
pub(crate) struct Description<F: Described> {
    #[command(flatten)]
    flags: F,
    /// Read the description from this file (YAML or JSON; `-` for standard input).
    #[arg(long, short, value_name = "FILE", help_heading = "Description")]
    file: Option<PathBuf>,
    /// Set any field, such as `signature.window_s=60`; the value is YAML.
    #[arg(long = "set", value_name = "FIELD=VALUE", help_heading = "Description")]
    set: Vec<String>,
}

impl<F: Described> Description<F> {
    /// What changes of an object that exists.
    pub(crate) fn change(&self) -> Result<Object, Failure> {
        self.flags.check_change()?;
        self.object()
    }

    pub(crate) fn object(&self) -> Result<Object, Failure> {
        let mut object = self.file.as_deref().map(read_object).transpose()?.unwrap_or_default();
        object.extend(self.flags.fields()?);
        for assignment in &self.set {
            let (path, value) = assignment
                .split_once('=')
                .ok_or_else(|| Failure::usage(format!("`{assignment}` is not FIELD=VALUE")))?;
            set(&mut object, path, yaml(value, assignment)?);
        }
        Ok(object)
    }
}

/// Sets the field at `path`, making the mappings on the way.
fn set(object: &mut Object, path: &str, value: Value) {
    match path.split_once('.') {
        None => {
            object.insert(path.to_owned(), value);
        }
        Some((first, rest)) => {
            let inner = object.entry(first).or_insert_with(|| Value::Object(Object::new()));
            if !inner.is_object() {
                *inner = Value::Object(Object::new());
            }
            if let Value::Object(inner) = inner {
                set(inner, rest, value);
            }
        }
    }
}

fn yaml(text: &str, whole: &str) -> Result<Value, Failure> {
    parse(text).map_err(|error| Failure::usage(format!("`{whole}` has no YAML value: {error}")))
}

/// YAML as world files are read: `yes` and `y` are texts.
fn parse<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, serde_saphyr::Error> {
    serde_saphyr::from_str_with_options(text, serde_saphyr::options! { strict_booleans: true })
}

fn read_object(path: &Path) -> Result<Object, Failure> {
    let text = read_text(path)?;
    parse(&text).map_err(|error| Failure::usage(format!("`{}` is no description: {error}", path.display())))
}

/// What a file says in YAML or JSON.
pub(crate) fn read_yaml(path: &Path) -> Result<Value, Failure> {
    let text = read_text(path)?;
    parse(&text).map_err(|error| Failure::usage(format!("`{}` cannot be read: {error}", path.display())))
}

/// The text of a file, or of standard input for `-`.
pub(crate) fn read_text(path: &Path) -> Result<String, Failure> {
    String::from_utf8(read_bytes(path)?)
        .map_err(|_| Failure::usage(format!("`{}` cannot be read: it is not UTF-8", path.display())))
}

/// The bytes of a file, or of standard input for `-`.
pub(crate) fn read_bytes(path: &Path) -> Result<Vec<u8>, Failure> {
    let wrong = |error| Failure::usage(format!("`{}` cannot be read: {error}", path.display()));
    if path == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes).map_err(wrong)?;
        return Ok(bytes);
    }
    std::fs::read(path).map_err(wrong)
}

/// A secret from a file (`-`: standard input), without the line break at its end.
pub(crate) fn read_secret(path: &Path) -> Result<String, Failure> {
    // The admin API reads `$$` in a secret as a dollar sign.
    read_text(path).map(|text| text.trim_end_matches(['\r', '\n']).replace('$', "$$"))
}

/// A reference to a secret: a text that has one, or the secret's name.
pub(crate) fn reference(text: &str) -> String {
    if text.contains("$ref{") { text.to_owned() } else { format!("$ref{{{text}}}") }
}

/// Puts fields together that are there.
#[derive(Default)]
pub(crate) struct Fields(Object);

impl Fields {
    pub(crate) fn put(mut self, name: &str, value: Option<impl Into<Value>>) -> Self {
        if let Some(value) = value {
            set(&mut self.0, name, value.into());
        }
        self
    }

    /// A list, where it names something.
    pub(crate) fn list<T: Into<Value>>(self, name: &str, values: impl IntoIterator<Item = T>) -> Self {
        let values: Vec<Value> = values.into_iter().map(Into::into).collect();
        let values = (!values.is_empty()).then_some(Value::Array(values));
        self.put(name, values)
    }

    pub(crate) fn done(self) -> Object {
        self.0
    }
}

/// Splits `NAME=VALUE`.
pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write it as NAME=VALUE".to_owned()),
    }
}

/// Tags as a mapping, where there are some.
pub(crate) fn tags(pairs: &[(String, String)]) -> Option<Value> {
    let tags: Object = pairs.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
    (!tags.is_empty()).then_some(Value::Object(tags))
}

/// `GET /{id}`, or a path alone for every method.
pub(crate) fn operation(text: &str) -> Value {
    let fields = match text.split_once(' ') {
        Some((method, path)) if method != "*" => {
            Fields::default().put("method", Some(method)).put("path", Some(path.trim_start()))
        }
        Some((_, path)) => Fields::default().put("path", Some(path.trim_start())),
        None => Fields::default().put("path", Some(text)),
    };
    Value::Object(fields.done())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_once_were_booleans_are_texts() {
        for word in ["y", "yes", "no", "on", "OFF"] {
            assert_eq!(yaml(word, word).unwrap(), Value::from(word), "{word}");
        }
        assert_eq!(yaml("true", "").unwrap(), Value::from(true));
        assert_eq!(yaml("[a, 7]", "").unwrap(), serde_json::json!(["a", 7]));
    }
}

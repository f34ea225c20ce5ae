//! Reading a document into typed values, strictly, and reporting everything that is wrong with it.
//!
//! Every accessor answers `None` where it has reported a problem. A reader of a noun asks for all of its fields
//! first and puts them together last, so that one mistake does not hide the next.

use std::cell::RefCell;
use std::fmt::{self, Write as _};
use std::ops::RangeInclusive;
use std::str::FromStr;

use keyward_model::{Located, ParseError, Place, Plaintext, SecretText};
use serde_json::Value as Json;

use crate::FieldProblem;
use crate::document::{Node, Position, Value};
use crate::dollar::{self, Dollars, Refs};

/// Collects the problems of one document.
pub(crate) struct Reader<'e> {
    dollars: Dollars<'e>,
    /// Is what is not quoted a text where one is expected? So it is in YAML, where `name: 7` is how people write.
    plain_is_text: bool,
    problems: RefCell<Vec<FieldProblem>>,
}

impl<'e> Reader<'e> {
    pub(crate) fn new(dollars: Dollars<'e>) -> Self {
        let plain_is_text = matches!(dollars, Dollars::World(_));
        Self { dollars, plain_is_text, problems: RefCell::default() }
    }

    /// The same for a document in JSON, where a number or a truth value is no text.
    pub(crate) fn of_json(dollars: Dollars<'e>) -> Self {
        Self { plain_is_text: false, ..Self::new(dollars) }
    }

    /// The document as the first thing to read.
    pub(crate) fn root<'a>(&'a self, node: &'a Node) -> Item<'a> {
        Item { reader: self, node, path: Path::Root }
    }

    /// Everything that was reported, in the order of the document where it has positions.
    pub(crate) fn into_problems(self) -> Vec<FieldProblem> {
        let mut problems = self.problems.into_inner();
        problems.sort_by_key(|problem| (problem.line, problem.column));
        problems
    }
}

/// A value of the document, with the way to it.
#[derive(Clone, Copy)]
pub(crate) struct Item<'a> {
    reader: &'a Reader<'a>,
    node: &'a Node,
    path: Path<'a>,
}

/// The way from the document's root to a value.
#[derive(Clone, Copy)]
pub(crate) enum Path<'a> {
    Root,
    Key(&'a Path<'a>, &'a str),
    Index(&'a Path<'a>, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Key(Self::Root, name) => f.write_str(name),
            Self::Key(parent, name) => write!(f, "{parent}.{name}"),
            Self::Index(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// The fields of a noun: what may be there, and what comes with later versions.
pub(crate) struct Shape {
    /// How the noun is called in messages: `an application`.
    pub(crate) noun: &'static str,
    pub(crate) allowed: &'static [&'static str],
    /// In the contract, and refused by name until it is built.
    pub(crate) later: &'static [&'static str],
}

impl<'a> Item<'a> {
    /// Reports a problem with this value.
    pub(crate) fn wrong<T>(&self, message: impl fmt::Display) -> Option<T> {
        self.wrong_at(self.node.at, &self.path, message)
    }

    fn wrong_at<T>(&self, at: Position, path: &Path<'_>, message: impl fmt::Display) -> Option<T> {
        self.reader.problems.borrow_mut().push(FieldProblem {
            line: at.line,
            column: at.column,
            path: path.to_string(),
            message: message.to_string(),
        });
        None
    }

    /// The value together with where it stands.
    pub(crate) fn located<T>(&self, value: T) -> Located<T> {
        let Position { line, column } = self.node.at;
        Located { place: Place { line, column, path: self.path.to_string() }, value }
    }

    /// Is this `null` in a request to the admin API, where that is as good as absent?
    pub(crate) fn is_absent(&self) -> bool {
        self.node.value == Value::Null && matches!(self.reader.dollars, Dollars::Api)
    }

    pub(crate) fn is_map(&self) -> bool {
        matches!(self.node.value, Value::Map(_))
    }

    pub(crate) fn is_text(&self) -> bool {
        matches!(self.node.value, Value::Plain(_) | Value::Quoted(_))
    }

    /// The fields of a mapping; unknown and repeated ones are reported, the rest stays readable.
    pub(crate) fn fields(&self, shape: &Shape) -> Option<Fields<'a>> {
        let Value::Map(entries) = &self.node.value else {
            return self.wrong(format_args!(
                "{} is a mapping of {}, this is {}",
                shape.noun,
                shape.allowed.join(", "),
                self.node.kind()
            ));
        };
        let mut known: Vec<(&'a str, &'a Node)> = Vec::with_capacity(entries.len());
        for (key, node) in entries {
            let name = key.name.as_str();
            let path = Path::Key(&self.path, name);
            if known.iter().any(|(other, _)| *other == name) {
                self.wrong_at::<()>(key.at, &path, format_args!("`{name}` is given twice; leave one out"));
            } else if shape.allowed.contains(&name) {
                known.push((name, node));
            } else if shape.later.contains(&name) {
                self.wrong_at::<()>(key.at, &path, format_args!("`{name}` is not supported by this version"));
            } else {
                let message = format_args!(
                    "`{}` is not a field of {}; allowed are {}",
                    name.escape_debug(),
                    shape.noun,
                    shape.allowed.join(", ")
                );
                self.wrong_at::<()>(key.at, &path, message);
            }
        }
        Some(Fields { item: *self, known })
    }

    /// The entries of a mapping whose keys are free; repeated ones are reported.
    pub(crate) fn entries(&self) -> Option<Vec<(&'a str, &'a Node)>> {
        let Value::Map(entries) = &self.node.value else {
            return self.wrong(format_args!("must be a mapping, this is {}", self.node.kind()));
        };
        let mut known: Vec<(&'a str, &'a Node)> = Vec::with_capacity(entries.len());
        for (key, node) in entries {
            if known.iter().any(|(other, _)| *other == key.name) {
                let path = Path::Key(&self.path, &key.name);
                self.wrong_at::<()>(
                    key.at,
                    &path,
                    format_args!("`{}` is given twice; leave one out", key.name),
                );
            }
            known.push((&key.name, node));
        }
        Some(known)
    }

    /// Reads a value that stands under this key of this mapping.
    pub(crate) fn under<T>(&self, name: &str, node: &Node, read: impl FnOnce(&Item<'_>) -> T) -> T {
        read(&Item { reader: self.reader, node, path: Path::Key(&self.path, name) })
    }

    /// Every item of a list, if all of them can be read.
    pub(crate) fn list<T>(&self, read: impl FnMut(&Item<'_>) -> Option<T>) -> Option<Vec<T>> {
        let items = self.each(read)?;
        items.into_iter().collect()
    }

    /// Every item of a list, each of which may have had problems.
    pub(crate) fn each<T>(&self, mut read: impl FnMut(&Item<'_>) -> T) -> Option<Vec<T>> {
        let Value::List(items) = &self.node.value else {
            return self.wrong(format_args!("must be a list ([] for none), this is {}", self.node.kind()));
        };
        let item = |(index, node)| Item { reader: self.reader, node, path: Path::Index(&self.path, index) };
        Some(items.iter().enumerate().map(item).map(|item| read(&item)).collect())
    }

    /// A text: variables put in, dollars undoubled.
    pub(crate) fn text(&self) -> Option<String> {
        let dollars =
            if matches!(self.reader.dollars, Dollars::Api) { None } else { Some(&self.reader.dollars) };
        self.raw_text(dollars, Refs::Refused)
    }

    /// A text with at most this many characters, none of them a control character other than line feed and tab.
    pub(crate) fn prose(&self, length_max: usize) -> Option<String> {
        let text = self.text()?;
        if text.chars().count() > length_max {
            return self.wrong(format_args!("must have at most {length_max} characters"));
        }
        match text.chars().find(|c| c.is_control() && !matches!(c, '\n' | '\t')) {
            Some(c) => self.wrong(format_args!("must not hold the control character `{}`", c.escape_debug())),
            None => Some(text),
        }
    }

    /// A secret value. Never named in a message.
    pub(crate) fn secret(&self) -> Option<Plaintext> {
        self.raw_text(Some(&self.reader.dollars), Refs::Refused).map(Plaintext::new)
    }

    /// A secret value in which secrets may be referred to. Never named in a message.
    pub(crate) fn secret_text(&self) -> Option<SecretText> {
        let written = Plaintext::new(self.raw_text(Some(&self.reader.dollars), Refs::Kept)?);
        match SecretText::parse(written.expose_secret()) {
            Ok(text) => Some(text),
            Err(error) => self.wrong(error),
        }
    }

    fn raw_text(&self, dollars: Option<&Dollars<'_>>, refs: Refs) -> Option<String> {
        let (text, plain) = match &self.node.value {
            Value::Quoted(text) => (text, false),
            Value::Plain(text) => (text, true),
            _ => return self.wrong(format_args!("must be a text, this is {}", self.node.kind())),
        };
        let unclear = matches!(text.as_str(), "true" | "false") || !self.reader.plain_is_text;
        if plain && unclear {
            return self.wrong("must be a text; put quotes around it");
        }
        match dollars.map(|dollars| dollar::expand(text, dollars, refs)) {
            None => Some(text.clone()),
            Some(Ok(text)) => Some(text),
            Some(Err(message)) => self.wrong(message),
        }
    }

    /// A whole number in this range, unquoted.
    pub(crate) fn number<N>(&self, range: RangeInclusive<N>) -> Option<N>
    where
        N: TryFrom<u64> + PartialOrd + fmt::Display + Copy,
    {
        let number = self.unquoted()?.parse::<u64>().ok().and_then(|number| N::try_from(number).ok());
        match number {
            Some(number) if range.contains(&number) => Some(number),
            _ => self.wrong(format_args!("must be a whole number from {} to {}", range.start(), range.end())),
        }
    }

    /// A whole number in this range, unquoted, that may be below zero.
    pub(crate) fn integer(&self, range: RangeInclusive<i64>) -> Option<i64> {
        match self.unquoted()?.parse::<i64>() {
            Ok(number) if range.contains(&number) => Some(number),
            _ => self.wrong(format_args!("must be a whole number from {} to {}", range.start(), range.end())),
        }
    }

    /// Any JSON that is to look like this, as far as it says what an unquoted text is. Texts that are secrets there, and with
    /// `secrets` all of them, may refer to secrets, and come as they are written.
    pub(crate) fn json(&self, shape: &keyward_model::Shape, secrets: bool) -> Option<Json> {
        match &self.node.value {
            Value::Null => Some(Json::Null),
            Value::Plain(text) if !self.reader.plain_is_text => match serde_json::from_str(text) {
                Ok(value) => Some(value),
                Err(_) => self.wrong("is not a number, true, false or null"),
            },
            Value::Plain(_) | Value::Quoted(_) => self.json_scalar(shape, secrets),
            Value::List(_) => {
                let of = match shape.among(&Json::Array(Vec::new())) {
                    keyward_model::Shape::List { of, .. } => of,
                    _ => &keyward_model::Shape::Any,
                };
                self.list(|item| item.json(of, secrets)).map(Json::Array)
            }
            Value::Map(_) => {
                let shape = shape.among(&Json::Object(serde_json::Map::new()));
                let mut members = Some(serde_json::Map::new());
                for (name, node) in self.entries()? {
                    if self.under(name, node, |item| item.is_absent()) {
                        continue;
                    }
                    let value = self.under(name, node, |item| item.json(shape.member(name), secrets));
                    members = members.zip(value).map(|(mut members, value)| {
                        members.insert(name.to_owned(), value);
                        members
                    });
                }
                members.map(Json::Object)
            }
        }
    }

    /// A text; or, unquoted and where no text is expected, what it says.
    fn json_scalar(&self, shape: &keyward_model::Shape, secrets: bool) -> Option<Json> {
        use keyward_model::Shape as S;
        let of_text = shape.among(&Json::String(String::new()));
        let (is_text, is_secret) = match of_text {
            S::Secret { .. } => (true, true),
            S::Text { .. } | S::OneOf(_) => (true, secrets),
            _ => (false, secrets),
        };
        let refers = matches!(&self.node.value, Value::Plain(text) if is_secret && text.contains("$ref{"));
        if let (Value::Plain(_), false) = (&self.node.value, is_text || refers) {
            let text = self.unquoted()?;
            let number = || serde_json::from_str(&text).ok().map(Json::Number);
            let word = match text.as_str() {
                "true" => Some(Json::Bool(true)),
                "false" => Some(Json::Bool(false)),
                _ => number(),
            };
            if word.is_some() {
                return word;
            }
        } else if let (Value::Plain(text), S::Either(_)) = (&self.node.value, shape) {
            let other = serde_json::from_str::<Json>(text).ok();
            if let Some(other) = other.filter(|value| !matches!(shape.among(value), S::Any)) {
                return Some(other);
            }
        }
        let dollars = match (&self.reader.dollars, is_secret) {
            (Dollars::Api, false) => None,
            (dollars, _) => Some(dollars),
        };
        let refs = if is_secret { Refs::Kept } else { Refs::Refused };
        self.raw_text(dollars, refs).map(Json::String)
    }

    /// Reports a problem with what stands on this path below this value, or as far on it as there is something.
    pub(crate) fn wrong_below<T>(&self, path: &str, message: impl fmt::Display) -> Option<T> {
        let Place { line, column, .. } = self.node.locate(path);
        let path = match (self.path.to_string(), path) {
            (own, "") => own,
            (own, below) if own.is_empty() => below.to_owned(),
            (own, below) => format!("{own}.{below}"),
        };
        let problem = FieldProblem { line, column, path, message: message.to_string() };
        self.reader.problems.borrow_mut().push(problem);
        None
    }

    /// An unquoted scalar's text (empty for anything else), with variables put in.
    fn unquoted(&self) -> Option<String> {
        match (&self.node.value, &self.reader.dollars) {
            (Value::Plain(text), Dollars::Api) => Some(text.clone()),
            (Value::Plain(text), dollars) => match dollar::expand(text, dollars, Refs::Refused) {
                Ok(text) => Some(text),
                Err(message) => self.wrong(message),
            },
            _ => Some(String::new()),
        }
    }

    /// One of these words, for which the reader gives the meaning.
    pub(crate) fn choice<T: Copy>(&self, choices: &[(&str, T)], later: &[&str]) -> Option<T> {
        let text = self.text()?;
        if let Some((_, meaning)) = choices.iter().find(|(word, _)| *word == text) {
            return Some(*meaning);
        }
        if later.contains(&text.as_str()) {
            return self.wrong(format_args!("`{text}` is not supported by this version"));
        }
        let mut words = String::new();
        for (word, _) in choices {
            let _ = write!(words, "{}{word}", if words.is_empty() { "" } else { ", " });
        }
        self.wrong(format_args!("`{}` is not allowed; use {words}", text.escape_debug()))
    }
}

/// A value that its own type parses from a text.
pub(crate) fn parse<T: FromStr<Err = ParseError>>(item: &Item<'_>) -> Option<T> {
    match item.text()?.parse() {
        Ok(value) => Some(value),
        Err(error) => item.wrong(error),
    }
}

/// `true` or `false`, unquoted.
pub(crate) fn flag(item: &Item<'_>) -> Option<bool> {
    match item.unquoted()?.as_str() {
        "true" => Some(true),
        "false" => Some(false),
        _ => item.wrong("must be true or false"),
    }
}

/// The known fields of one mapping.
pub(crate) struct Fields<'a> {
    pub(crate) item: Item<'a>,
    known: Vec<(&'a str, &'a Node)>,
}

impl Fields<'_> {
    /// Is the field there with a value?
    pub(crate) fn has(&self, name: &str) -> bool {
        self.node(name).is_some()
    }

    /// Refuses these fields where they are there and left empty: it could mean "none" or "not said".
    pub(crate) fn refuse_empty_lists<'n>(&self, names: impl Iterator<Item = &'n str>) {
        for name in names {
            let empty = self.known.iter().find(|(known, node)| *known == name && node.value == Value::Null);
            if let Some((_, node)) = empty {
                self.item.under(name, node, |item| item.wrong::<()>("must be a list; write [] for none"));
            }
        }
    }

    fn node(&self, name: &str) -> Option<&Node> {
        let (_, node) = self.known.iter().find(|(known, _)| *known == name)?;
        Some(*node).filter(|node| node.value != Value::Null)
    }

    /// The field if it is there; the outer `None` says that it was there and wrong.
    pub(crate) fn optional<T>(
        &self,
        name: &str,
        read: impl FnOnce(&Item<'_>) -> Option<T>,
    ) -> Option<Option<T>> {
        match self.node(name) {
            None => Some(None),
            Some(node) => self.item.under(name, node, read).map(Some),
        }
    }

    /// The field, or this default where it is absent.
    pub(crate) fn or<T>(
        &self,
        name: &str,
        default: T,
        read: impl FnOnce(&Item<'_>) -> Option<T>,
    ) -> Option<T> {
        self.optional(name, read).map(|value| value.unwrap_or(default))
    }

    /// The field, which must be there.
    pub(crate) fn required<T>(&self, name: &str, read: impl FnOnce(&Item<'_>) -> Option<T>) -> Option<T> {
        match self.optional(name, read)? {
            Some(value) => Some(value),
            None => self.item.wrong(format_args!("`{name}` is missing")),
        }
    }

    /// A problem with one of the fields.
    pub(crate) fn wrong<T>(&self, name: &str, message: impl fmt::Display) -> Option<T> {
        match self.node(name) {
            Some(node) => self.item.under(name, node, |item| item.wrong(&message)),
            None => self.item.wrong(message),
        }
    }
}

//! YAML to [`Node`], from the parser's events.

use std::collections::HashMap;

use granit_parser::{Event, Marker, Parser, ScalarStyle, Span, StrInput, Tag};

use super::{DEPTH_MAX, Key, Node, Position, SyntaxError, Value};

/// Most nodes that aliases may add to a document.
const ALIASED_MAX: usize = 100_000;

pub(super) fn parse(text: &str) -> Result<Node, SyntaxError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut builder = Builder { parser: Parser::new_from_str(text), anchors: HashMap::new(), aliased: 0 };
    builder.document()
}

struct Builder<'t> {
    parser: Parser<'t, StrInput<'t>>,
    anchors: HashMap<usize, Node>,
    aliased: usize,
}

impl<'t> Builder<'t> {
    /// The stream's only document; an empty stream is an empty document.
    fn document(&mut self) -> Result<Node, SyntaxError> {
        let mut root = None;
        while let Some((event, span)) = self.next()? {
            match event {
                Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd => {}
                Event::StreamEnd => break,
                _ if root.is_some() => {
                    return Err(error(
                        span,
                        "there must be one document only; write a second one to its own file",
                    ));
                }
                event => root = Some(self.node(event, span, 0)?),
            }
        }
        Ok(root.unwrap_or(Node { at: Position { line: 1, column: 1 }, value: Value::Null }))
    }

    /// The next event that is not a comment.
    fn next(&mut self) -> Result<Option<(Event<'t>, Span)>, SyntaxError> {
        loop {
            match self.parser.next_event() {
                None => return Ok(None),
                Some(Ok((Event::Comment(..), _))) => {}
                Some(Ok(found)) => return Ok(Some(found)),
                Some(Err(wrong)) => {
                    let message = wrong.kind().to_string();
                    return Err(SyntaxError { at: position(*wrong.marker()), message });
                }
            }
        }
    }

    fn node(&mut self, event: Event<'t>, span: Span, depth: usize) -> Result<Node, SyntaxError> {
        if depth > DEPTH_MAX {
            return Err(error(span, "nested too deeply"));
        }
        let anchor = event.anchor_id();
        let at = position(span.start);
        let value = match event {
            Event::Scalar(text, style, _, tag) => scalar(&text, style, tag.as_deref(), span)?,
            Event::SequenceStart(_, _, tag) => {
                refuse_tag(tag.as_deref(), "seq", span)?;
                self.list(depth)?
            }
            Event::MappingStart(_, _, tag) => {
                refuse_tag(tag.as_deref(), "map", span)?;
                self.map(depth)?
            }
            Event::Alias(id) => return self.alias(id, span),
            _ => return Err(error(span, "a value is expected here")),
        };
        let node = Node { at, value };
        if let Some(id) = anchor {
            self.anchors.insert(id, node.clone());
        }
        Ok(node)
    }

    fn list(&mut self, depth: usize) -> Result<Value, SyntaxError> {
        let mut items = Vec::new();
        while let Some((event, span)) = self.next()? {
            if matches!(event, Event::SequenceEnd) {
                break;
            }
            items.push(self.node(event, span, depth + 1)?);
        }
        Ok(Value::List(items))
    }

    fn map(&mut self, depth: usize) -> Result<Value, SyntaxError> {
        let mut entries = Vec::new();
        while let Some((event, span)) = self.next()? {
            if matches!(event, Event::MappingEnd) {
                break;
            }
            let key = self.node(event, span, depth + 1)?;
            let (Value::Plain(name) | Value::Quoted(name)) = key.value else {
                return Err(error(span, "a key must be a text"));
            };
            let Some((event, span)) = self.next()? else { break };
            let value = self.node(event, span, depth + 1)?;
            entries.push((Key { at: key.at, name }, value));
        }
        Ok(Value::Map(entries))
    }

    /// A copy of what the alias stands for, placed where the alias stands.
    fn alias(&mut self, id: usize, span: Span) -> Result<Node, SyntaxError> {
        let Some(target) = self.anchors.get(&id) else {
            return Err(error(span, "this alias stands inside of what it names"));
        };
        self.aliased = self.aliased.saturating_add(count(target));
        if self.aliased > ALIASED_MAX {
            return Err(error(span, "the document's aliases expand to too much"));
        }
        Ok(Node { at: position(span.start), value: target.value.clone() })
    }
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>, span: Span) -> Result<Value, SyntaxError> {
    if tag.is_some_and(|tag| tag.core_suffix() == Some("str")) {
        return Ok(Value::Quoted(text.to_owned()));
    }
    refuse_tag(tag, "str", span)?;
    Ok(match (style, text) {
        (ScalarStyle::Plain, "" | "~" | "null" | "Null" | "NULL") => Value::Null,
        (ScalarStyle::Plain, _) => Value::Plain(text.to_owned()),
        _ => Value::Quoted(text.to_owned()),
    })
}

fn refuse_tag(tag: Option<&Tag>, expected: &str, span: Span) -> Result<(), SyntaxError> {
    match tag {
        Some(tag) if tag.core_suffix() != Some(expected) => {
            Err(error(span, format!("the tag `{}` is not allowed here; leave it out", tag.original())))
        }
        _ => Ok(()),
    }
}

fn count(node: &Node) -> usize {
    1 + match &node.value {
        Value::List(items) => items.iter().map(count).sum(),
        Value::Map(entries) => entries.iter().map(|(_, node)| count(node)).sum(),
        _ => 0,
    }
}

fn position(mark: Marker) -> Position {
    let line = u32::try_from(mark.line()).unwrap_or(u32::MAX);
    Position { line, column: u32::try_from(mark.col()).unwrap_or(u32::MAX).saturating_add(1) }
}

fn error(span: Span, message: impl Into<String>) -> SyntaxError {
    SyntaxError { at: position(span.start), message: message.into() }
}

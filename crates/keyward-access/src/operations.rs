//! Operations, in the form that requests are matched against: literals decoded, as request paths are.

use std::collections::BTreeMap;

use keyward_model::{Operation, PathTemplate, Segment};

use crate::path::{Segments, decode};

/// A path template whose literals are decoded.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Template {
    /// `None` stands for any one segment that is not empty.
    segments: Box<[Option<Box<str>>]>,
}

impl Template {
    pub(crate) fn new(template: &PathTemplate) -> Self {
        let segments = template.segments().iter().map(|segment| match segment {
            // What cannot be decoded is no request's path either, and stays what it is.
            Segment::Literal(literal) => Some(decode(literal).map_or_else(|| literal.clone(), Into::into)),
            Segment::Parameter(_) => None,
        });
        Self { segments: segments.collect() }
    }

    /// Does this path (below a base path, decoded) have this form?
    pub(crate) fn matches(&self, path: &str) -> bool {
        let mut given = Segments::below(path);
        let all = self.segments.iter().all(|segment| match (segment, given.next()) {
            (Some(literal), Some(text)) => **literal == *text,
            (None, Some(text)) => !text.is_empty(),
            (_, None) => false,
        });
        all && given.next().is_none()
    }

    /// Is this one, wherever both match, at least as narrow as `other`?
    pub(crate) fn is_within(&self, other: &Self) -> bool {
        self.segments.len() == other.segments.len()
            && self
                .segments
                .iter()
                .zip(&other.segments)
                .all(|(ours, theirs)| theirs.is_none() || ours == theirs)
    }
}

/// An operation that a grant narrows to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct GrantedOperation {
    method: Option<Box<str>>,
    template: Template,
}

impl GrantedOperation {
    pub(crate) fn new(operation: &Operation) -> Self {
        let method = operation.method.as_ref().map(|method| method.as_str().into());
        Self { method, template: Template::new(&operation.path) }
    }

    /// Does it cover a request of this method and path, for which the API has found this operation?
    ///
    /// A grant for `/{id}` does not reach an operation `/admin` that the API declares beside it.
    pub(crate) fn covers(&self, method: &str, path: &str, resolved: Option<&Template>) -> bool {
        self.method.as_deref().is_none_or(|ours| ours == method)
            && self.template.matches(path)
            && resolved.is_none_or(|resolved| self.template.is_within(resolved))
    }
}

/// The operations that an API declares, as a tree of segments.
#[derive(Debug, Default)]
pub(crate) struct OperationTree {
    root: Node,
}

#[derive(Debug, Default)]
struct Node {
    literals: BTreeMap<Box<str>, Node>,
    parameter: Option<Box<Node>>,
    /// Operations that end here.
    here: Vec<Declared>,
}

#[derive(Debug)]
struct Declared {
    method: Option<Box<str>>,
    /// Which of the API's operations.
    index: usize,
    template: Template,
}

/// What became of looking for a request's operation.
#[derive(Debug)]
pub(crate) enum Found<'t> {
    /// The operation of this index has this template.
    Operation(usize, &'t Template),
    /// There are operations of this path, for other methods.
    OtherMethod,
    /// There is no operation of this path.
    Nothing,
}

impl OperationTree {
    pub(crate) fn new(operations: &[Operation]) -> Self {
        let mut tree = Self::default();
        for (index, operation) in operations.iter().enumerate() {
            let template = Template::new(&operation.path);
            let node = template
                .segments
                .iter()
                .fold(&mut tree.root, |node, segment| node.child_mut(segment.as_deref()));
            let method = operation.method.as_ref().map(|method| method.as_str().into());
            node.here.push(Declared { method, index, template });
        }
        tree
    }

    /// The operation of a request: a literal before a parameter, from the left; then its own method before any method.
    ///
    /// There is no falling through: where the narrowest path lacks the method, a wider one does not stand in.
    pub(crate) fn find(&self, method: &str, path: &str) -> Found<'_> {
        let Some(node) = self.root.find(Segments::below(path)) else { return Found::Nothing };
        let own = node.here.iter().find(|declared| declared.method.as_deref() == Some(method));
        match own.or_else(|| node.here.iter().find(|declared| declared.method.is_none())) {
            Some(declared) => Found::Operation(declared.index, &declared.template),
            None => Found::OtherMethod,
        }
    }
}

impl Node {
    fn child_mut(&mut self, segment: Option<&str>) -> &mut Self {
        match segment {
            Some(literal) => self.literals.entry(literal.into()).or_default(),
            None => self.parameter.get_or_insert_default(),
        }
    }

    /// The node at which a path ends and an operation is. Each node is visited at most once, so the tree bounds the work.
    fn find(&self, mut path: Segments<'_>) -> Option<&Self> {
        let Some(segment) = path.next() else { return (!self.here.is_empty()).then_some(self) };
        let by_literal = self.literals.get(segment).and_then(|node| node.find(path.clone()));
        let parameter = || self.parameter.as_ref().filter(|_| !segment.is_empty())?.find(path);
        by_literal.or_else(parameter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operation(text: &str) -> Operation {
        let (method, path) = text.split_once(' ').unwrap();
        Operation { method: (method != "*").then(|| method.parse().unwrap()), path: path.parse().unwrap() }
    }

    fn find(operations: &[&str], method: &str, path: &str) -> String {
        let operations: Vec<_> = operations.iter().map(|text| operation(text)).collect();
        match OperationTree::new(&operations).find(method, path) {
            Found::Operation(index, _) => operations[index].to_string(),
            Found::OtherMethod => "other method".into(),
            Found::Nothing => "nothing".into(),
        }
    }

    #[test]
    fn literals_come_before_parameters_and_nothing_falls_through() {
        let operations = [
            "GET /{id}",
            "DELETE /{id}",
            "GET /admin",
            "GET /",
            "* /any",
            "POST /any",
            "GET /{a}/x",
            "GET /b/{c}",
        ];
        for (method, path, expected) in [
            ("GET", "/1", "GET /{id}"),
            ("GET", "/admin", "GET /admin"),
            ("DELETE", "/admin", "other method"),
            ("HEAD", "/1", "other method"),
            ("get", "/1", "other method"),
            ("GET", "", "GET /"),
            ("GET", "/", "GET /"),
            ("GET", "/1/", "nothing"),
            ("GET", "/1/2", "nothing"),
            ("GET", "/a/x", "GET /{a}/x"),
            ("GET", "/b/x", "GET /b/{c}"),
            ("PATCH", "/any", "* /any"),
            ("POST", "/any", "POST /any"),
        ] {
            assert_eq!(find(&operations, method, path), expected, "{method} {path}");
        }
    }

    #[test]
    fn a_literal_that_leads_nowhere_gives_way() {
        assert_eq!(find(&["GET /a/b", "GET /{x}/c"], "GET", "/a/c"), "GET /{x}/c");
    }

    #[test]
    fn an_escaped_literal_is_the_same_literal() {
        assert_eq!(find(&["POST /x%3Acancel", "GET /{id}"], "POST", "/x:cancel"), "POST /x%3Acancel");
    }

    #[test]
    fn a_granted_parameter_does_not_cover_a_declared_literal() {
        let granted = GrantedOperation::new(&operation("GET /{id}"));
        let admin = Template::new(&"/admin".parse().unwrap());
        let any = Template::new(&"/{other}".parse().unwrap());
        assert!(granted.covers("GET", "/1", None));
        assert!(granted.covers("GET", "/1", Some(&any)));
        assert!(!granted.covers("GET", "/admin", Some(&admin)));
        assert!(!granted.covers("POST", "/1", Some(&any)));
        assert!(GrantedOperation::new(&operation("* /42")).covers("PUT", "/42", Some(&any)));
    }
}

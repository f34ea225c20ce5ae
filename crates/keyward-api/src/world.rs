//! The world file: reading it, and writing one.

use std::collections::BTreeSet;

use keyward_model::{Located, Noun, World};

use crate::FieldProblem;
use crate::document::{Doubled, Node, SyntaxError};
use crate::dollar::Dollars;
use crate::plugins::LimitSpec;
use crate::read::{Item, Reader, Shape};
use crate::{
    accounts, apis, applications, brief, consumers, gateways, grants, groups, modules, plugins, secrets,
    services,
};

/// A world file that was read: what it says, and where each part of it stands.
#[derive(Clone, Debug)]
pub struct WorldFile {
    /// What it says.
    pub world: World,
    document: Node,
}

/// The key of plugins `rate-limit` in their short form.
pub(crate) const LIMITS: &str = "limits";

const SHAPE: Shape = Shape {
    noun: "a world file",
    allowed: &[
        "version",
        "accounts",
        "gateways",
        "secrets",
        "services",
        "modules",
        "apis",
        "applications",
        "consumers",
        "groups",
        "grants",
        "plugins",
        LIMITS,
    ],
    later: &["operators", "budgets"],
};

impl WorldFile {
    /// Reads a world file: YAML, or the JSON that is YAML too. `environment` looks up `${NAME}`.
    ///
    /// # Errors
    /// Everything that is wrong with the file, in its order; never empty.
    pub fn parse(
        text: &str,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Vec<FieldProblem>> {
        Self::read(Node::from_yaml(text), Reader::new(Dollars::World(environment)))
    }

    /// The text of a file's bytes.
    ///
    /// # Errors
    /// Where it stops being UTF-8.
    pub fn text(bytes: &[u8]) -> Result<&str, FieldProblem> {
        std::str::from_utf8(bytes).map_err(|error| {
            let sound = bytes.get(..error.valid_up_to()).unwrap_or_default();
            let sound = std::str::from_utf8(sound).unwrap_or_default();
            let last = sound.rsplit('\n').next().unwrap_or_default();
            let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
            FieldProblem {
                line: count(sound.matches('\n').count() + 1),
                column: count(last.chars().count() + 1),
                path: String::new(),
                message: "the file is not UTF-8 from here on; save it as UTF-8".to_owned(),
            }
        })
    }

    /// Reads a world file in JSON. Problems have paths and no positions.
    ///
    /// # Errors
    /// As [`WorldFile::parse`].
    pub fn parse_json(
        text: &[u8],
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Vec<FieldProblem>> {
        Self::read(Node::from_json(text), Reader::of_json(Dollars::World(environment)))
    }

    fn read(document: Result<Node, SyntaxError>, reader: Reader<'_>) -> Result<Self, Vec<FieldProblem>> {
        let document = document.map_err(|error| vec![FieldProblem::from(error)])?;
        let world = read_world(&reader.root(&document));
        let problems = reader.into_problems();
        match world {
            Some(world) if problems.is_empty() => Ok(Self { world, document }),
            _ => Err(problems),
        }
    }

    /// Reads the files that the world's modules name, by `read`, which is told the name as it stands there.
    ///
    /// # Errors
    /// Every file that cannot be read, or holds no module, at its place.
    pub fn read_files(
        &mut self,
        read: &dyn Fn(&str) -> Result<Vec<u8>, String>,
    ) -> Result<(), Vec<FieldProblem>> {
        let mut problems = Vec::new();
        for entry in &mut self.world.modules {
            if let Err(message) = modules::read_file(&mut entry.value, read) {
                let path = format!("{}.wasm.file", entry.place.path);
                let keyward_model::Place { line, column, .. } = self.document.locate(&path);
                problems.push(FieldProblem { line, column, path, message });
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    /// The same problem with the line and column of its path in this file.
    #[must_use]
    pub fn locate(&self, problem: &FieldProblem) -> FieldProblem {
        let place = self.document.locate(&problem.path);
        FieldProblem { line: place.line, column: place.column, ..problem.clone() }
    }
}

/// Writes a world as a file that reads back as the same world. Fields that have their default are left out.
///
/// # Errors
/// The text of why it cannot be written.
pub fn write_yaml(world: &World) -> Result<String, String> {
    let node = brief::world(world)?;
    serde_saphyr::to_string(&Doubled::world(&node)).map_err(|error| error.to_string())
}

/// Writes a world as JSON for the admin API, secret values included: what `keyward apply` sends.
///
/// # Errors
/// The text of why it cannot be written.
pub fn write_json(world: &World) -> Result<String, String> {
    let node = brief::world(world)?;
    serde_json::to_string(&Doubled::world(&node)).map_err(|error| error.to_string())
}

fn read_world(root: &Item<'_>) -> Option<World> {
    let fields = root.fields(&SHAPE)?;
    let version = fields.required("version", |item| match item.number(1..=u64::MAX)? {
        1 => Some(()),
        other => item.wrong(format_args!("version `{other}` is not known; this version reads 1")),
    });
    let named = |noun: &Noun| fields.has(noun.plural());
    fields.refuse_empty_lists(Noun::ALL.iter().map(|noun| noun.plural()).chain([LIMITS]));
    let nouns: BTreeSet<Noun> = Noun::ALL.into_iter().filter(named).collect();
    let accounts = fields.or("accounts", Vec::new(), |item| entries(item, accounts::read));
    let gateways = fields.or("gateways", Vec::new(), |item| entries(item, gateways::read));
    let secrets = fields.or("secrets", Vec::new(), |item| entries(item, secrets::read));
    let services = fields.or("services", Vec::new(), |item| entries(item, services::read));
    let modules = fields.or("modules", Vec::new(), |item| entries(item, modules::read));
    let apis = fields.or("apis", Vec::new(), |item| entries(item, apis::read));
    let applications = fields.or("applications", Vec::new(), |item| entries(item, applications::read));
    let consumers = fields.or("consumers", Vec::new(), |item| entries(item, consumers::read));
    let groups = fields.or("groups", Vec::new(), |item| entries(item, groups::read));
    let grants = fields.or("grants", Vec::new(), |item| entries(item, grants::read));
    let plugins = fields.or("plugins", Vec::new(), |item| entries(item, plugins::read));
    let limits = fields.or(LIMITS, Vec::new(), |item| {
        entries(item, |item| plugins::read_limit(item).map(|LimitSpec(spec)| spec))
    });
    let names_limits = fields.has(LIMITS);
    version?;
    Some(World {
        nouns,
        accounts: accounts?,
        gateways: gateways?,
        secrets: secrets?,
        services: services?,
        modules: modules?,
        apis: apis?,
        applications: applications?,
        consumers: consumers?,
        groups: groups?,
        grants: grants?,
        plugins: plugins?,
        limits: limits?,
        names_limits,
    })
}

fn entries<T>(item: &Item<'_>, read: impl Fn(&Item<'_>) -> Option<T>) -> Option<Vec<Located<T>>> {
    item.list(|item| read(item).map(|value| item.located(value)))
}

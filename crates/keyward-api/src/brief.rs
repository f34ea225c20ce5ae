//! Descriptions without what goes without saying: fields that have their default are left out.
//!
//! What the defaults are is known in one place, the readers: the least that describes an object is read and
//! written again, and what comes of it is what can be left out of any other.

use keyward_model::{JwtSpec, KeyPairSpec, Located, Noun, OpaqueSpec, PluginSpec, World};
use serde::Serialize;

use crate::document::{Key, Node, Position, Value};
use crate::dollar::Dollars;
use crate::noun::Described;
use crate::plugins::LimitSpec;
use crate::read::Reader;

/// The whole world, every noun that it names, in the order of the contract's page.
pub(crate) fn world(world: &World) -> Result<Node, String> {
    let mut entries =
        vec![entry("version", Node { at: Position::default(), value: Value::Plain("1".into()) })];
    let mut add = |noun: Noun, list: Result<Node, String>| -> Result<(), String> {
        let list = list?;
        if world.nouns.contains(&noun) {
            entries.push(entry(noun.plural(), list));
        }
        Ok(())
    };
    add(Noun::Account, list(&world.accounts))?;
    add(Noun::Gateway, list(&world.gateways))?;
    add(Noun::Secret, list(&world.secrets))?;
    add(Noun::Service, list(&world.services))?;
    add(Noun::Module, list(&world.modules))?;
    add(Noun::Api, list(&world.apis))?;
    add(Noun::Application, list(&world.applications))?;
    add(Noun::Consumer, list(&world.consumers))?;
    add(Noun::Group, list(&world.groups))?;
    add(Noun::Grant, list(&world.grants))?;
    add(Noun::Plugin, list(&doubled(&world.plugins)))?;
    if world.names_limits {
        let limits: Vec<_> = world
            .limits
            .iter()
            .map(|spec| Located { place: spec.place.clone(), value: LimitSpec(spec.value.clone()) })
            .collect();
        entries.push(entry(crate::world::LIMITS, list(&limits)?));
    }
    Ok(Node { at: Position::default(), value: Value::Map(entries) })
}

/// Plugins whose configurations have their dollar signs doubled, as a world file has them.
fn doubled(plugins: &[Located<PluginSpec>]) -> Vec<Located<PluginSpec>> {
    let mut doubled = plugins.to_vec();
    for plugin in &mut doubled {
        let settings = &mut plugin.value.settings;
        settings.config = settings.config.doubled(&settings.kind);
    }
    doubled
}

fn list<T: Described>(specs: &[Located<T>]) -> Result<Node, String> {
    let least = least::<T>()?;
    let required = Node::from_json(T::LEAST.as_bytes()).map_err(|error| error.message)?;
    let parts = Parts::new()?;
    let node = |spec: &Located<T>| {
        let mut node = written(&spec.value.describe())?;
        leave_out(&mut node, &least, &required);
        parts.leave_out(&mut node);
        Ok(node)
    };
    let nodes: Vec<Node> = specs.iter().map(node).collect::<Result<_, String>>()?;
    Ok(Node { at: Position::default(), value: Value::List(nodes) })
}

/// What the least description says when everything is written out.
fn least<T: Described>() -> Result<Node, String> {
    let node = Node::from_json(T::LEAST.as_bytes()).map_err(|error| error.message)?;
    let reader = Reader::new(Dollars::Api);
    let spec = T::read(&reader.root(&node)).ok_or_else(|| format!("`{}` describes nothing", T::LEAST))?;
    written(&spec.describe())
}

/// The least of what nouns have several of: endpoints and credentials.
struct Parts {
    endpoint: Node,
    key_pair: Node,
    opaque: Node,
    jwt: Node,
}

impl Parts {
    fn new() -> Result<Self, String> {
        Ok(Self {
            endpoint: written(&serde_json::json!({ "weight": 1 }))?,
            key_pair: least::<KeyPairSpec>()?,
            opaque: least::<OpaqueSpec>()?,
            jwt: least::<JwtSpec>()?,
        })
    }

    fn leave_out(&self, node: &mut Node) {
        let Value::Map(entries) = &mut node.value else { return };
        for (key, value) in entries {
            match key.name.as_str() {
                "endpoints" => each(value, |endpoint| {
                    leave_out(endpoint, &self.endpoint, &NOTHING);
                    shorten(endpoint, "url");
                }),
                "key_pairs" => each(value, |pair| leave_out(pair, &self.key_pair, &NOTHING)),
                "app_codes" | "keys" => each(value, |opaque| {
                    leave_out(opaque, &self.opaque, &NOTHING);
                    shorten(opaque, "value");
                }),
                "jwt" => leave_out(value, &self.jwt, &NOTHING),
                "api_key" => self.leave_out(value),
                _ => {}
            }
        }
    }
}

fn each(node: &mut Node, change: impl FnMut(&mut Node)) {
    if let Value::List(items) = &mut node.value {
        items.iter_mut().for_each(change);
    }
}

/// A mapping of this one field becomes what the field holds: the short form that readers take as well.
fn shorten(node: &mut Node, only: &str) {
    if let Value::Map(entries) = &mut node.value
        && let [(key, _)] = entries.as_slice()
        && key.name == only
        && let Some((_, value)) = entries.pop()
    {
        *node = value;
    }
}

const NOTHING: Node = Node { at: Position { line: 0, column: 0 }, value: Value::Null };

fn written(dto: &impl Serialize) -> Result<Node, String> {
    Node::of(dto).map_err(|error| error.message)
}

/// Takes out of `node` what `least` says too, except what must always be said.
fn leave_out(node: &mut Node, least: &Node, required: &Node) {
    let Value::Map(entries) = &mut node.value else { return };
    entries.retain_mut(|(key, value)| {
        let Some(default) = least.get(&key.name) else { return true };
        if required.get(&key.name).is_some() {
            return true;
        }
        if value == default {
            return false;
        }
        leave_out(value, default, &NOTHING);
        true
    });
}

fn entry(name: &str, node: Node) -> (Key, Node) {
    (Key { at: Position::default(), name: name.to_owned() }, node)
}

//! What all nouns have in common: a description that is read and written.

use keyward_model::{
    AccountSpec, ApiSpec, ApplicationSpec, ConsumerSpec, GatewaySpec, GrantSpec, GroupSpec, JwtSpec,
    KeyPairSpec, MemberSpec, ModuleSpec, OpaqueSpec, OperatorSpec, OperatorTokenSpec, PluginSpec, SecretSpec,
    ServiceSpec, StageSpec,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::document::Node;
use crate::dollar::Dollars;
use crate::read::{Item, Reader};
use crate::{
    FieldProblem, GrantBatchSpec, NewApplicationSpec, NewConsumerSpec, accounts, apis, applications, callers,
    consumers, credentials, gateways, grants, groups, jwt, modules, operators, plugins, secrets, services,
};

/// A `*Spec` of the model that has a description: a DTO with the field names of the world file.
pub trait Described: Sized {
    /// The description.
    type Dto: Serialize + DeserializeOwned;

    /// The least that describes such an object, as JSON.
    #[doc(hidden)]
    const LEAST: &'static str;

    /// Describes it. Secret values that it has are written out.
    fn describe(&self) -> Self::Dto;

    /// Reads a description.
    #[doc(hidden)]
    #[expect(private_interfaces, reason = "documents are read by this crate alone")]
    fn read(item: &Item<'_>) -> Option<Self>;

    /// Reads the body of a request to the admin API, strictly.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    fn from_json(body: &[u8]) -> Result<Self, Vec<FieldProblem>> {
        read_node(&Node::from_json(body).map_err(|error| vec![error.into()])?)
    }

    /// What comes of this one when only the fields that are sent change (RFC 7396): `null` means the default,
    /// mappings are merged, anything else is replaced.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    fn patched(&self, patch: &[u8]) -> Result<Self, Vec<FieldProblem>> {
        let patch = Node::from_json(patch).map_err(|error| vec![error.into()])?;
        let mut node = Node::of(&self.describe()).map_err(|error| vec![error.into()])?;
        if let Some(path) = patch.repeated() {
            let message = format!("`{path}` is given twice; leave one out");
            return Err(vec![FieldProblem { line: 0, column: 0, path, message }]);
        }
        if !patch.is_map() {
            return read_node(&patch);
        }
        node.merge(patch);
        read_node(&node)
    }
}

fn read_node<T: Described>(node: &Node) -> Result<T, Vec<FieldProblem>> {
    let reader = Reader::new(Dollars::Api);
    let read = T::read(&reader.root(node));
    let problems = reader.into_problems();
    match read {
        Some(spec) if problems.is_empty() => Ok(spec),
        _ => Err(problems),
    }
}

macro_rules! described {
    ($($spec:ty => $dto:ty, $read:path, $least:literal;)*) => {$(
        impl Described for $spec {
            type Dto = $dto;
            const LEAST: &'static str = $least;

            fn describe(&self) -> Self::Dto {
                self.into()
            }

            #[expect(private_interfaces, reason = "documents are read by this crate alone")]
            fn read(item: &Item<'_>) -> Option<Self> {
                $read(item)
            }
        }
    )*};
}

described! {
    AccountSpec => accounts::Account, accounts::read, r#"{"name":"a"}"#;
    GatewaySpec => gateways::Gateway, gateways::read, r#"{"name":"a"}"#;
    SecretSpec => secrets::Secret, secrets::read, r#"{"name":"a"}"#;
    ServiceSpec => services::Service, services::read, r#"{"name":"a","endpoints":["http://a"]}"#;
    ModuleSpec => modules::Module, modules::read, r#"{"name":"a"}"#;
    ApiSpec => apis::Api, apis::read, r#"{"name":"a","admits":["anyone"]}"#;
    StageSpec => apis::StageBinding, apis::read_binding, r#"{"service":"a"}"#;
    ApplicationSpec => applications::Application, applications::read, r#"{"name":"a"}"#;
    ConsumerSpec => consumers::Consumer, consumers::read, r#"{"name":"a"}"#;
    GroupSpec => groups::Group, groups::read, r#"{"name":"a"}"#;
    GrantSpec => grants::Grant, grants::read, r#"{"to":{"group":"a"},"api":"a"}"#;
    PluginSpec => plugins::Plugin, plugins::read, r#"{"plugin":"a","on":{"api":"a"}}"#;
    KeyPairSpec => credentials::KeyPair, credentials::read_key_pair, "{}";
    OpaqueSpec => credentials::Opaque, credentials::read_opaque, "{}";
    JwtSpec => jwt::Jwt, jwt::read, "{}";
    OperatorSpec => operators::Operator, operators::read, r#"{"name":"a"}"#;
    OperatorTokenSpec => operators::OperatorToken, operators::read_token, r#"{"name":"a"}"#;
    GrantBatchSpec => grants::GrantBatch, grants::read_batch, r#"{"to":[{"group":"a"}],"apis":["a"]}"#;
    NewApplicationSpec => callers::NewApplication, callers::read_application, r#"{"name":"a"}"#;
    NewConsumerSpec => callers::NewConsumer, callers::read_consumer, r#"{"name":"a"}"#;
    MemberSpec => groups::Member, groups::read_member, r#"{"consumer":"a"}"#;
}

//! Operators in tests: who calls the admin plane, and as whom.

use keyward_control::{Actor, ObjectRef};
use keyward_model::{Name, OperatorSpec, OperatorTokenSpec, Plaintext, Qualified, Role, RoleSpec};

use crate::client::{self, Answer};
use crate::gateway::Gateway;
use crate::request::Request;

/// An operator with a token that has all its rights.
#[derive(Clone, Debug)]
pub struct Operating {
    /// Its name.
    pub name: String,
    /// Its token.
    pub token: String,
}

impl Gateway {
    /// Makes an operator with these roles (`None`: everywhere) and a token.
    ///
    /// # Panics
    /// If it cannot be made.
    pub async fn operator(&self, text: &str, roles: &[(Option<&str>, Role)]) -> Operating {
        let control = self.node().control();
        let name: Name = text.parse().expect("a name");
        let roles = roles.iter().map(|(account, role)| RoleSpec {
            role: *role,
            account: account.map(|account| account.parse().expect("an account's name")),
        });
        let spec = OperatorSpec {
            name: name.clone(),
            description: String::new(),
            enabled: true,
            password: Some(Plaintext::new(password(text))),
            roles: roles.collect(),
            identities: Vec::new(),
        };
        control.operators().create(&Actor::LocalToken, spec).await.expect("an operator");
        let of = ObjectRef::Named(Qualified { account: name.clone(), name });
        let spec = OperatorTokenSpec {
            name: "all".parse().expect("a name"),
            role: None,
            accounts: None,
            valid_until: None,
        };
        let made = control.operators().create_token(&Actor::LocalToken, of, spec).await.expect("a token");
        let token = made.object.value.expect("its value").expose_secret().to_owned();
        Operating { name: text.to_owned(), token }
    }

    /// Makes a call of the admin API without any token.
    ///
    /// # Panics
    /// If there is no answer.
    pub async fn admin_anonymous(&self, request: &Request) -> Answer {
        client::call(self.admin_address(), request).await.expect("an answer")
    }

    /// Makes a call of the admin API as this operator, with a JSON body where there is one.
    ///
    /// # Panics
    /// If there is no answer.
    pub async fn admin_as(&self, who: &Operating, method: &str, target: &str, body: &str) -> Answer {
        self.admin_anonymous(&json(method, target, body).bearer(&who.token)).await
    }
}

/// The password of an operator of this name.
pub fn password(name: &str) -> String {
    format!("password of {name}")
}

/// A request of the admin API with a JSON body, where there is one.
pub fn json(method: &str, target: &str, body: &str) -> Request {
    let request = Request::get("localhost", target).method(method);
    if body.is_empty() {
        return request;
    }
    request.header("Content-Type", "application/json").body(body)
}

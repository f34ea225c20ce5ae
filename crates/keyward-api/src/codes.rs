//! The stable codes of problems: one list, from which the contract and the manual come.

use std::borrow::Cow;

use schemars::generate::SchemaGenerator;
use schemars::{JsonSchema, Schema, json_schema};

/// A stable code of a problem. Codes are never given another meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    /// As in `code` of a problem.
    pub code: &'static str,
    /// What it says, in a sentence without its full stop.
    pub meaning: &'static str,
}

macro_rules! codes {
    ($($code:literal: $meaning:literal;)*) => {
        impl Code {
            /// Every code, in alphabetical order.
            pub const ALL: &'static [Self] = &[$(Self { code: $code, meaning: $meaning },)*];
        }
    };
}

codes! {
    "account_changed": "An object stays in its account";
    "account_renamed": "An account keeps its name";
    "account_unknown": "There is no such account";
    "accounts_empty": "A token names no account";
    "after_malformed": "`after` is not the `next` of a page";
    "another_store": "The store is not the one that the node belongs to";
    "api_unknown": "There is no such API";
    "app_key_taken": "Another key pair has this AppKey; case is ignored";
    "audit_broken": "The audit does not hold";
    "body_malformed": "The body is not JSON, or not UTF-8";
    "body_too_large": "The body is larger than this route reads";
    "bootstrap_closed": "The one-time way in is closed";
    "changed_meanwhile": "The object is no longer the one that `If-Match` names";
    "claim_missing": "A claim to hand on is not named";
    "clock_skew": "The tolerance on times is too large";
    "config_invalid": "The configuration of a plugin is not one that its kind takes";
    "config_unreadable": "The stored configuration of a plugin cannot be read";
    "conflict": "Another object has what this one claims";
    "contradiction": "The store holds what this would contradict";
    "copy_unusable": "The local copy of the store cannot be used";
    "credential_ended": "The credential has ended already";
    "credential_refers": "The value of a credential is a secret's, and changes with it";
    "csrf_missing": "A session's write lacks `X-Keyward-Csrf`";
    "data_folder_unusable": "The data folder cannot be used";
    "days_malformed": "A number of days is not within its bounds";
    "default_key_pair": "The default key pair of an application cannot be deleted";
    "default_key_pair_kept": "The default key pair of an application cannot be left out";
    "default_stays": "The account and the gateway `default` cannot be deleted";
    "disk_full": "There is no room on the store's disk";
    "duplicate": "Something stands there twice";
    "endpoint_own_listener": "An endpoint is an address that this node listens on";
    "endpoints_missing": "A service has no endpoint";
    "endpoints_without_weight": "No endpoint of a service takes requests";
    "extension_malformed": "The extension does not fit into a header";
    "gateway_not_published": "The API is not published to this gateway";
    "gateway_renamed": "A gateway keeps its name";
    "gateway_unknown": "There is no such gateway";
    "gateways_empty": "A grant names no gateway";
    "grant_exists": "The same grant exists already";
    "grant_fixed": "Of a grant only validity and description can be changed";
    "grant_revoked": "The grant was revoked, which is final";
    "grantee_unknown": "There is no such application, consumer or group";
    "grants_count": "Too many grants at once, or none";
    "header_reserved": "The header is owned by the transport or the gateway";
    "held_malformed": "Where a secret is held elsewhere cannot be read";
    "host_not_allowed": "The request names a host that this admin server is not";
    "idempotency_key_done": "The same request is done already";
    "idempotency_key_reused": "The Idempotency-Key was used for another request";
    "identity_claim_malformed": "The identity claim is not one";
    "identity_claim_taken": "Another consumer of the account has this identity claim";
    "identity_taken": "Another operator has this identity";
    "identity_unknown": "No operator has this identity";
    "identity_unproven": "What the provider says of who signed in does not hold";
    "in_use": "It cannot go while others use it; `users` names them";
    "internal": "Something failed that is not the caller's fault; the node's log says what";
    "invalid": "The description is wrong; `problems` names every part that is";
    "jwt_not_rotated": "A key set holds several keys by itself";
    "jwt_unknown": "The consumer has no JWT";
    "key_pairs_empty": "An application has at least its default key pair";
    "key_set_remote": "The keys are fetched from the address that the consumer names";
    "last_owner": "Nobody would own everything any more";
    "limit_malformed": "`limit` is not a number of items";
    "master_key_missing": "The store was sealed with a master key that is not there";
    "master_key_unusable": "The file of the master key cannot be used";
    "master_key_wrong": "The store was sealed with another master key";
    "media_type_unsupported": "The body comes in a media type that this route does not read";
    "member_unknown": "There is no such member";
    "method_not_allowed": "The path has no such method; `Allow` names those that there are";
    "module_missing": "The code of a module is neither given nor stored";
    "module_name": "A module cannot have the name of a built-in plugin";
    "module_renamed": "A module keeps its name";
    "module_unknown": "There is no built-in plugin and no module of this name in the account";
    "module_unusable": "A module cannot run, or does not start with a configuration";
    "more_than_held": "Nobody hands out more than they have";
    "name_ambiguous": "An application and a consumer have this name";
    "name_like_id": "The name has the form of an id";
    "name_malformed": "The name is not one";
    "name_taken": "Another object of the account and noun has this name";
    "no_app_key": "Only key pairs have an AppKey";
    "no_previous_value": "A secret has no value before the current one";
    "no_scheme": "Only key pairs have a scheme";
    "node_running": "The node is running, and cannot be forgotten";
    "not_dry": "This cannot be tried without being done";
    "not_found": "There is no such object";
    "not_revealable": "The value cannot be shown again";
    "not_signed_in": "Only an operator that signed in can do this";
    "operation_unknown": "The API has no such operation";
    "operations_empty": "A grant names no operation";
    "operator_unknown": "A valid operator token is needed";
    "origin_not_allowed": "The write comes from a page of another site";
    "outcome_unknown": "It is not known whether the change holds; look before you try again";
    "overlap_malformed": "The overlap is too long";
    "parameter_invalid": "A parameter of the path, the query or the head is wrong; `problems` names it";
    "parameter_malformed": "The name of a query parameter is not one";
    "password_malformed": "The password is too short or too long";
    "password_unhashed": "The password could not be hashed";
    "password_wrong": "The old password is not right";
    "path_malformed": "The path is not UTF-8";
    "plugin_changed": "A plugin stays what it is";
    "plugin_on_gateway": "Only account `default`, by an operator who may change gateways, binds plugins to a gateway";
    "previous_of_held": "A secret that is held elsewhere keeps its own history";
    "provider_refused": "The provider did not sign the operator in";
    "provider_unavailable": "The provider through which operators sign in does not answer";
    "provider_unset": "No provider through which operators sign in is set up";
    "query_malformed": "The query is not well-formed";
    "random_failed": "The system gives no random numbers";
    "reference_unknown": "Something that is named does not exist, or is another account's";
    "role_lacking": "No role of the operator allows this";
    "role_twice": "An operator has one role per account";
    "route_unknown": "There is no such route";
    "row_damaged": "A row of the store cannot be believed";
    "sealed": "The node has no master key that opens its store, and waits for it";
    "secret_destination": "A secret may not be sent to an address of the service";
    "secret_from": "The operator may not say that a value is held elsewhere: that takes a role in all accounts";
    "secret_held_elsewhere": "The value of a secret is held elsewhere: it is changed and shown there alone";
    "secret_malformed": "A secret value has characters or a length that none has";
    "secret_missing": "A secret value that is needed was neither given nor stored";
    "secret_name_malformed": "The name of a secret has other characters than letters, digits and `_`";
    "secret_read": "The operator may not read this secret";
    "secret_renamed": "A secret keeps its name";
    "secret_unfit": "The value of a secret cannot be used where it is referred to";
    "secret_unknown": "There is no such secret in the account";
    "secret_unreadable": "A stored secret cannot be opened";
    "secret_use": "The operator may not use this secret";
    "service_unknown": "There is no such service";
    "sign_in_busy": "Too many sign-ins are under way";
    "sign_in_failed": "Name or password is not right";
    "sign_in_not_begun": "The sign-in was not begun in this browser, is over, or took too long";
    "sign_in_waits": "Too many attempts failed";
    "sources_count": "API keys stand in one to three places";
    "stages_empty": "A grant names no stage";
    "store_address": "The address of the store is not one";
    "store_away": "The store is away, and there is no local copy to start from";
    "store_locked": "Another node has the store";
    "store_newer": "The store was written by a newer version";
    "store_refused": "The store refuses this node";
    "store_unavailable": "The store does not answer";
    "store_went_back": "The store is older than what the node has applied";
    "text_malformed": "A text has a character that no text has";
    "token_place_malformed": "The place of tokens is not one";
    "validity_malformed": "The end is not one that is allowed";
    "validity_too_long": "The account's grants end sooner";
    "value_malformed": "The value has characters or a length that none has";
    "value_taken": "Another credential has this value";
    "writer_stopped": "The node is ending and takes no more changes";
    "writes_refused": "The store takes no writes";
}

impl JsonSchema for Code {
    fn schema_name() -> Cow<'static, str> {
        "ProblemCode".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let lines = Self::ALL.iter().map(|known| format!("- `{}`: {}.", known.code, known.meaning));
        json_schema!({
            "type": "string",
            "description": format!("Stable, for programs.\n\n{}", lines.collect::<Vec<_>>().join("\n")),
            "enum": Self::ALL.iter().map(|known| known.code).collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_in_order_and_distinct() {
        assert!(Code::ALL.windows(2).all(|pair| pair[0].code < pair[1].code));
    }
}

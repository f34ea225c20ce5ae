//! The list of reasons in its order: whatever else is wrong as well, the first reason is told.

use keyward_access::Field;
use keyward_access::signature::{DigestChoice, SignRequest, SigningSecret, sign};
use keyward_model::CredentialKind::{ApiKey, AppCode, AppSignature};
use keyward_model::DenyReason::{self, *};
use keyward_model::{
    Admits, ApiId, CallerId, Grant, Grantee, HmacAlgorithm, Plaintext, ServiceAuth, SignatureScheme, Stage,
    StageSet,
};

use crate::world::{NOON, World, at, call, operation};

/// A signed call that passes, and what can be changed about it.
#[derive(Clone)]
struct Case {
    world: World,
    api: ApiId,
    shop: CallerId,
    method: &'static str,
    path: &'static str,
    app_key: &'static str,
    secret: &'static str,
    algorithm: HmacAlgorithm,
    offset_ms: Option<i64>,
    nonce: Option<&'static str>,
    body: &'static str,
    signed: bool,
    signature_sent: bool,
    added: Vec<(&'static str, &'static str)>,
}

impl Case {
    fn new() -> Self {
        let mut world = World::new();
        let api = world.api("/orders", &[AppSignature, AppCode]);
        world.edit(api, |api| api.settings.operations = ["POST /{id}", "GET /{id}"].map(operation).into());
        let partner = world.account("partner");
        let shop = world.application(partner);
        world.pair(shop, "shop-key", "shop-secret-0123456789", SignatureScheme::Alibaba);
        world.grant(Grantee::Caller(shop), api);
        Self {
            world,
            api,
            shop,
            method: "POST",
            path: "/orders/1",
            app_key: "shop-key",
            secret: "shop-secret-0123456789",
            algorithm: HmacAlgorithm::Sha256,
            offset_ms: Some(0),
            nonce: Some("nonce-0123456789"),
            body: "{}",
            signed: true,
            signature_sent: true,
            added: Vec::new(),
        }
    }

    fn grants(&mut self, edit: fn(&mut Grant)) {
        self.world.grants.values_mut().for_each(edit);
    }

    /// The reason that is told; `None`: it passes.
    fn told(&self) -> Option<DenyReason> {
        let mut request = call(self.method, self.path).header("Content-Type", "application/json").body("{}");
        if self.signed {
            request = self.sign(request);
        }
        request = request.body(self.body);
        request = self.added.iter().fold(request, |request, (name, value)| request.header(name, value));
        request.decide(&self.world).err()
    }

    fn sign(&self, request: crate::world::Call) -> crate::world::Call {
        let fields: Vec<Field<'_>> =
            request.headers.iter().map(|(name, value)| Field { name, value }).collect();
        let signed = sign(&SignRequest {
            scheme: SignatureScheme::Alibaba,
            algorithm: self.algorithm,
            method: self.method,
            path: self.path,
            query: None,
            headers: &fields,
            sign_headers: &[],
            body: &request.body,
            app_key: self.app_key,
            secret: &SigningSecret::new(&Plaintext::new(self.secret)),
            timestamp: self.offset_ms.map(|ms| NOON.plus_millis(ms)),
            nonce: self.nonce,
            stage: None,
            digest: DigestChoice::NotForms,
        });
        let sent = |name: &str| self.signature_sent || name == "X-Ca-Key" || !name.starts_with("X-Ca-");
        let headers = signed.unwrap().headers.into_iter().filter(|(name, _)| sent(name));
        headers.fold(request, |request, (name, value)| request.header(name, &value))
    }
}

/// One thing wrong, and the reason that it alone leads to.
type Fault = (DenyReason, fn(&mut Case));

/// Every fault that a Snapshot and a request can show, in the order of the list.
const FAULTS: &[Fault] = &[
    (RequestMalformed, |case| case.path = "/orders/./1"),
    (ApiNotFound, |case| {
        let api = case.api;
        case.world.edit(api, |api| api.settings.hosts = vec!["elsewhere.test".parse().unwrap()]);
    }),
    (MethodNotAllowed, |case| case.method = "PUT"),
    (StageInvalid, |case| case.added.push(("X-Ca-Stage", "PROD"))),
    (CredentialMissing, |case| case.signed = false),
    (CredentialAmbiguous, |case| case.added.push(("Authorization", "APPCODE 0123456789abcdef"))),
    (CredentialMalformed, |case| case.signature_sent = false),
    (CredentialNotAdmitted, |case| {
        let api = case.api;
        case.world.edit(api, |api| api.settings.admits = Admits::of([ApiKey]).unwrap());
    }),
    (AlgorithmNotAdmitted, |case| case.algorithm = HmacAlgorithm::Sha1),
    (CredentialUnknown, |case| case.app_key = "nobody"),
    (RequiredHeaderNotSigned, |case| {
        let api = case.api;
        case.world.edit(api, |api| api.settings.signature.require_timestamp = true);
        case.offset_ms = None;
    }),
    (ProofMismatch, |case| case.secret = "another-secret-0123456"),
    (DigestMismatch, |case| case.body = "[]"),
    (ProofExpired, |case| case.offset_ms = case.offset_ms.map(|_| -900_001)),
    (NonceMissing, |case| {
        let api = case.api;
        case.world.edit(api, |api| api.settings.signature.require_nonce = true);
        case.nonce = None;
    }),
    (CredentialDisabled, |case| case.world.callers.get_mut(&case.shop).unwrap().1[0].enabled = false),
    (CredentialExpired, |case| case.world.callers.get_mut(&case.shop).unwrap().1[0].valid_until = Some(NOON)),
    (CallerDisabled, |case| case.world.callers.get_mut(&case.shop).unwrap().0.enabled = false),
    (AccountDisabled, |case| {
        let account = case.world.callers[&case.shop].0.account;
        case.world.accounts.get_mut(&account).unwrap().enabled = false;
    }),
    (GrantMissing, |case| case.world.grants.clear()),
    (GrantOtherGateway, |case| case.grants(|grant| grant.gateways = Some(Vec::new()))),
    (GrantOtherStage, |case| case.grants(|grant| grant.stages = StageSet::of([Stage::Pre]))),
    (GrantNotYetValid, |case| case.grants(|grant| grant.validity.from = Some(at(1)))),
    (GrantExpired, |case| case.grants(|grant| grant.validity.until = Some(at(0)))),
    (GrantRevoked, |case| case.grants(|grant| grant.revoked = Some(at(0)))),
    (OperationNotGranted, |case| case.grants(|grant| grant.operations = Some(vec![operation("GET /{id}")]))),
    (SecretUnresolvable, |case| {
        let service = case.world.service;
        let auth = ServiceAuth::Header { name: "X-Backend-Key".parse().unwrap(), value: None };
        case.world.services.get_mut(&service).unwrap().spec.service_auth = Some(auth);
    }),
    (SnapshotStale, |case| case.added.push(("X-Keyward-Min-Revision", "999999"))),
    (UpstreamUnavailable, |case| {
        let service = case.world.service;
        case.world.services.get_mut(&service).unwrap().spec.enabled = false;
    }),
];

/// Reasons that need more than a Snapshot and a request: the gateway gives them, in their place of the ladder.
const OF_THE_GATEWAY: &[DenyReason] =
    &[NonceReplayed, ReplayMemoryUnavailable, LimitExceeded, PluginRefused, PluginFailed];

/// What is told where both are wrong, if that is not simply the first.
fn exception(first: DenyReason, second: DenyReason) -> Option<DenyReason> {
    match (first, second) {
        // The second fault brings a credential, so that nothing is missing any more: AppCodes are admitted, but this
        // one is nobody's.
        (CredentialMissing, CredentialAmbiguous) => Some(CredentialUnknown),
        // Kinds that are not admitted are ignored, however many and however malformed.
        (CredentialAmbiguous | CredentialMalformed, CredentialNotAdmitted) => Some(CredentialNotAdmitted),
        // What a header lacks is told whether or not somebody has the AppKey: anything else would tell who exists.
        (CredentialUnknown, RequiredHeaderNotSigned) => Some(RequiredHeaderNotSigned),
        // What the head alone can refuse is refused before a body is waited for.
        (DigestMismatch, ProofExpired | NonceMissing) => Some(second),
        // A revoked grant is that, whatever its validity.
        (GrantNotYetValid | GrantExpired, GrantRevoked) => Some(GrantRevoked),
        _ => None,
    }
}

#[test]
fn every_reason_is_in_the_table() {
    let mut all: Vec<_> =
        FAULTS.iter().map(|(reason, _)| *reason).chain(OF_THE_GATEWAY.iter().copied()).collect();
    assert!(FAULTS.windows(2).all(|pair| pair[0].0 < pair[1].0));
    all.sort();
    assert_eq!(all, DenyReason::ALL);
}

#[test]
fn each_fault_alone_leads_to_its_reason() {
    assert_eq!(Case::new().told(), None);
    for (reason, fault) in FAULTS {
        let mut case = Case::new();
        fault(&mut case);
        assert_eq!(case.told(), Some(*reason));
    }
}

#[test]
fn of_two_faults_the_first_in_the_list_is_told() {
    for (index, (first, one)) in FAULTS.iter().enumerate() {
        for (second, other) in &FAULTS[index + 1..] {
            let mut case = Case::new();
            one(&mut case);
            other(&mut case);
            let expected = exception(*first, *second).unwrap_or(*first);
            assert_eq!(case.told(), Some(expected), "{first} and {second}");
        }
    }
}

//! What a Snapshot of the design size costs: memory per grant and credential, time per change and per decision.
//!
//! ```text
//! cargo run --release -p keyward-access --example footprint [APPLICATIONS [GRANTS_EACH]]
//! ```
//! Builds applications with one key pair each and consumers with one API key each, half and half, granted on some of a
//! thousand APIs. Bytes are counted by the allocator itself, so they are what was asked for and not what it took.
#![expect(clippy::print_stdout, reason = "a program whose output is its result")]

use keyward_model::OpaqueProof;
use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use keyward_access::{
    Body, Field, RequestHead, Snapshot, SnapshotUpdate, authenticate, authorize, digest_credential, resolve,
};
use keyward_model::*;
use uuid::Uuid;

const APIS: u64 = 1_000;
const KEY: DigestKey = DigestKey([1; 32]);
const NOW: Timestamp = Timestamp::from_millis(1_780_315_200_000);

fn main() {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<u64>().unwrap_or(0));
    let callers = arguments.next().filter(|count| *count > 0).unwrap_or(1_000_000);
    let each = arguments.next().filter(|count| *count > 0).unwrap_or(10);
    println!("{callers} callers with one credential each, {each} grants each, {APIS} APIs");

    let bare = measure(|| load(callers, 0));
    println!("callers:   {:>6.0} bytes each, loaded in {:.1?}", per(bare.bytes, callers), bare.took);
    drop(bare.snapshot);
    let full = measure(|| load(callers, each));
    let grants = callers * each;
    println!(
        "grants:    {:>6.0} bytes each, loaded in {:.1?} with their callers",
        per(full.bytes.saturating_sub(bare.bytes), grants),
        full.took
    );
    println!("in all:    {:>6.0} MB, at most {:.0} MB while loading", mega(full.bytes), mega(full.peak));
    changes(&full.snapshot, callers, each);
    decisions(&full.snapshot, callers);
}

/// The time of single changes, each on the Snapshot before it.
fn changes(snapshot: &Snapshot, callers: u64, each: u64) {
    let count = 2_000;
    let numbers: Vec<u64> = (0..count).map(|n| mixed(n) % callers).collect();
    let mut current = snapshot.clone();
    let started = Instant::now();
    for (n, caller) in (2..).zip(&numbers) {
        let update = SnapshotUpdate::UpsertGrant(Grant { revoked: Some(NOW), ..grant(*caller, 0) });
        current = apply(&current, n, &update);
    }
    println!("a grant revoked:      {:>7.1} µs", micros(started, count));
    let started = Instant::now();
    for (n, caller) in (2..).zip(&numbers) {
        current = apply(&current, n, &caller_update(*caller, false));
    }
    println!("a caller disabled:    {:>7.1} µs", micros(started, count));
    let started = Instant::now();
    for n in 0..count {
        current = apply(&current, n, &caller_update(callers + n, true));
    }
    println!("a caller added:       {:>7.1} µs", micros(started, count));
    let updates: Vec<_> =
        numbers.iter().map(|caller| SnapshotUpdate::UpsertGrant(grant(*caller, each + 1))).collect();
    let started = Instant::now();
    current = current.apply(revision(9), &updates).unwrap_or_else(|error| fail(&error));
    println!("{count} grants at once:  {:>7.1} µs each", micros(started, count));
    drop(current);
}

/// The time of decisions: by the same caller over and over, and by others each time.
fn decisions(snapshot: &Snapshot, callers: u64) {
    let keys: Vec<Vec<u8>> =
        (0..20_000).map(|n| format!("Bearer {}", key_of(consumer(mixed(n), callers))).into()).collect();
    for (name, step) in [("the same caller", 0), ("another caller each time", 1)] {
        let mut passed = 0;
        let started = Instant::now();
        for n in 0..keys.len() {
            passed += usize::from(decide(snapshot, keys.get(n * step).map_or(&[], Vec::as_slice)));
        }
        let nanos = micros(started, keys.len() as u64) * 1000.0;
        println!("resolve, authenticate, authorize by API key, {name}: {nanos:.0} ns ({passed} passed)");
    }
}

/// A request of eight fields by this `Authorization`.
fn decide(snapshot: &Snapshot, authorization: &[u8]) -> bool {
    let field = |name, value| Field { name, value };
    let fields = [
        field("Host", b"api.test".as_slice()),
        field("User-Agent", b"bench/1.0"),
        field("Accept", b"*/*"),
        field("Accept-Encoding", b"gzip, deflate"),
        field("Connection", b"keep-alive"),
        field("Authorization", authorization),
        field("X-Forwarded-For", b"192.0.2.1"),
        field("Cookie", b"a=b"),
    ];
    let head = RequestHead {
        method: "GET",
        host: "api.test",
        path: "/api/0/orders/4711",
        query: Some("page=1&size=20"),
        fields: &fields,
        client: IpAddr::V4(Ipv4Addr::LOCALHOST),
        secure: false,
        has_body: false,
    };
    let gateway = GatewayId::from_uuid(id(2, 0));
    resolve(snapshot, gateway, &head)
        .and_then(|target| {
            let proven = authenticate(snapshot, &target, &head, Body::Unread, NOW)?;
            authorize(snapshot, &target, &proven, NOW, NOW)
        })
        .is_ok()
}

fn load(callers: u64, each: u64) -> Snapshot {
    let world = [account(), gateway(), service()].into_iter().chain((0..APIS).map(api));
    let callers_and_grants = (0..callers).flat_map(move |number| {
        let grants = (0..each).map(move |n| SnapshotUpdate::UpsertGrant(grant(number, n)));
        std::iter::once(caller_update(number, true)).chain(grants)
    });
    let loaded = Snapshot::load(revision(1), KEY, world.chain(callers_and_grants));
    if let Some(problem) = loaded.quarantined.first() {
        fail(problem);
    }
    loaded.snapshot
}

fn apply(snapshot: &Snapshot, number: u64, update: &SnapshotUpdate) -> Snapshot {
    snapshot.apply(revision(number), std::slice::from_ref(update)).unwrap_or_else(|error| fail(&error))
}

/// Even callers are applications, odd ones consumers.
fn caller_id(number: u64) -> CallerId {
    let kind = if number.is_multiple_of(2) { CallerKind::Application } else { CallerKind::Consumer };
    CallerId::from_uuid(kind, id(5, number))
}

fn consumer(number: u64, callers: u64) -> u64 {
    (number % (callers / 2)) * 2 + 1
}

fn key_of(number: u64) -> String {
    format!("kw_{:016x}{:08x}", mixed(number), number)
}

fn caller_update(number: u64, enabled: bool) -> SnapshotUpdate {
    let is_application = number.is_multiple_of(2);
    let caller = Caller {
        id: caller_id(number),
        account: AccountId::from_uuid(id(1, 0)),
        name: name(&format!("caller-{number:07}")),
        description: String::new(),
        enabled,
        tags: BTreeMap::new(),
        extension: None,
        key_sources: if is_application { Vec::new() } else { vec![KeySource::Bearer] },
    };
    let proof = if is_application {
        Proof::KeyPair {
            app_key: format!("{:09}", 200_000_000 + number).parse().unwrap_or_else(|error| fail(&error)),
            app_secret: Plaintext::new(format!("{:016x}{:016x}", mixed(number), mixed(!number))).into(),
            scheme: SignatureScheme::Alibaba,
            is_default: true,
        }
    } else {
        Proof::ApiKey(OpaqueProof::Digest(digest_credential(&KEY, key_of(number).as_bytes())))
    };
    let credential = Credential {
        id: CredentialId::from_uuid(id(6, number)),
        caller: caller.id,
        enabled: true,
        valid_until: None,
        origin: Origin::Generated,
        created: NOW,
        proof,
    };
    SnapshotUpdate::UpsertCaller { caller, credentials: vec![credential] }
}

fn grant(caller: u64, number: u64) -> Grant {
    Grant {
        id: GrantId::from_uuid(id(8, caller << 8 | number)),
        account: AccountId::from_uuid(id(1, 0)),
        grantee: Grantee::Caller(caller_id(caller)),
        api: ApiId::from_uuid(id(4, if number == 0 { 0 } else { mixed(caller ^ number << 40) % APIS })),
        stages: StageSet::of([Stage::Release]),
        gateways: Some(vec![GatewayId::from_uuid(id(2, 0))]),
        operations: None,
        validity: Validity { from: None, until: Some(NOW.plus_millis(86_400_000)) },
        revoked: None,
        description: String::new(),
        created: NOW,
    }
}

fn account() -> SnapshotUpdate {
    let id = AccountId::from_uuid(id(1, 0));
    SnapshotUpdate::UpsertAccount(Account {
        id,
        name: name("default"),
        description: String::new(),
        enabled: true,
        reveal: true,
        grant_validity_max_s: None,
    })
}

fn gateway() -> SnapshotUpdate {
    let spec = GatewaySpec {
        name: name("default"),
        description: String::new(),
        trusted_proxies: Vec::new(),
        limits: GatewayLimits::default(),
    };
    SnapshotUpdate::UpsertGateway(Gateway { id: GatewayId::from_uuid(id(2, 0)), spec })
}

fn service() -> SnapshotUpdate {
    let spec = ServiceSpec {
        account: name("default"),
        name: name("service"),
        description: String::new(),
        enabled: true,
        kind: ServiceKind::Http,
        endpoints: Vec::new(),
        timeouts: ServiceTimeouts::default(),
        service_auth: None,
    };
    let (id, account) = (ServiceId::from_uuid(id(3, 0)), AccountId::from_uuid(id(1, 0)));
    SnapshotUpdate::UpsertService(Service { id, account, spec })
}

fn api(number: u64) -> SnapshotUpdate {
    let admits = [CredentialKind::AppSignature, CredentialKind::ApiKey];
    let binding = StageBinding { service: ServiceId::from_uuid(id(3, 0)), path_prefix: None, host: None };
    let parse_base = || format!("/api/{number}").parse();
    SnapshotUpdate::UpsertApi(Box::new(Api {
        id: ApiId::from_uuid(id(4, number)),
        account: AccountId::from_uuid(id(1, 0)),
        name: name(&format!("api {number}")),
        gateways: vec![GatewayId::from_uuid(id(2, 0))],
        stages: [(Stage::Release, binding)].into(),
        settings: ApiSettings {
            kind: ApiKind::Rest,
            description: String::new(),
            enabled: true,
            hosts: vec!["api.test".parse().unwrap_or_else(|error| fail(&error))],
            base_path: parse_base().unwrap_or_else(|error| fail(&error)),
            strip_base_path: false,
            admits: Admits::of(admits).unwrap_or_else(|error| fail(&error)),
            operations: Vec::new(),
            signature: SignaturePolicy::default(),
            app_code_in: AppCodePlaces { header: true, query: false },
            app_code_requires_tls: true,
            stream_before_digest: false,
            max_staleness_s: None,
            allowed_addresses: Vec::new(),
            system_parameters: Vec::new(),
        },
    }))
}

fn id(noun: u8, number: u64) -> Uuid {
    Uuid::from_u128(u128::from(noun) << 120 | u128::from(number) << 48 | u128::from(mixed(number) >> 16))
}

fn name(text: &str) -> Name {
    text.parse().unwrap_or_else(|error| fail(&error))
}

fn revision(number: u64) -> Revision {
    Revision { store: Uuid::from_u128(1), number }
}

/// A number that looks like no other (splitmix64).
fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn per(bytes: usize, count: u64) -> f64 {
    bytes as f64 / count as f64
}

fn mega(bytes: usize) -> f64 {
    bytes as f64 / 1e6
}

fn micros(started: Instant, count: u64) -> f64 {
    started.elapsed().as_secs_f64() * 1e6 / count as f64
}

fn fail(error: &dyn std::fmt::Display) -> ! {
    println!("{error}");
    std::process::exit(1)
}

struct Measured {
    snapshot: Snapshot,
    bytes: usize,
    peak: usize,
    took: Duration,
}

fn measure(make: impl FnOnce() -> Snapshot) -> Measured {
    let before = IN_USE.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let started = Instant::now();
    let snapshot = make();
    let took = started.elapsed();
    let bytes = IN_USE.load(Ordering::Relaxed) - before;
    Measured { snapshot, bytes, peak: PEAK.load(Ordering::Relaxed) - before, took }
}

static IN_USE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

/// Counts what is asked of the system's allocator.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[expect(unsafe_code, reason = "an allocator can only be written so; it hands everything on")]
// SAFETY: every call is handed on as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = IN_USE.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(now, Ordering::Relaxed);
        // SAFETY: as it came.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as it came.
        unsafe { System.dealloc(pointer, layout) }
    }
}

//! Keyward's test kit: a whole gateway in process, upstream doubles, a raw client, a reference signer, an oracle,
//! and the scenarios that run pure, through the store and through the live gateway.

pub mod browser;
pub mod cases;
pub mod client;
pub mod clock;
pub mod cluster;
pub mod fixture;
pub mod gateway;
pub mod identity_provider;
pub mod judge;
pub mod key_server;
pub mod openbao;
pub mod operate;
pub mod operators;
pub mod oracle;
mod port;
pub mod postgres;
pub mod proxy;
pub mod pure;
pub mod redis;
pub mod request;
pub mod scenario;
pub mod signer;
pub mod tls;
pub mod upstream;

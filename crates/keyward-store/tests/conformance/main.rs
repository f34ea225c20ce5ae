//! What every store must do, whatever database is behind it: each case runs on SQLite and on a real PostgreSQL.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

/// Makes tests of these cases: one on SQLite, one on PostgreSQL.
macro_rules! on_both {
    ($($case:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $case() {
                super::$case(crate::world::On::Sqlite).await;
            })*
        }
        mod postgres {
            $(#[tokio::test]
            async fn $case() {
                super::$case(crate::world::On::Postgres).await;
            })*
        }
    };
}

mod at_rest;
mod audit;
mod copy;
mod crash;
mod objects;
mod plugins;
mod restored;
mod revisions;
mod secrets;
mod shared;
mod usage;
mod world;

//! The host of plugins, tried with guests written by hand and with a plugin in Rust.

mod abuse;
mod functions;
mod guest;
mod hello;
mod life;
mod load;
mod pairs;
mod run;
mod tour;

//! Why a guest did not answer.

use wasmtime::Trap;

/// Why an event has no answer of the plugin. Its text names no byte that came from the guest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The guest trapped; the text names the kind of trap.
    #[error("the plugin trapped: {0}")]
    Trapped(String),
    /// A callback took more instructions than it may.
    #[error("the plugin ran out of fuel")]
    OutOfFuel,
    /// A callback took longer than it may.
    #[error("the plugin ran out of time")]
    OutOfTime,
    /// The guest wanted more memory, or larger tables, than it may have.
    #[error("the plugin wants more memory than it may have")]
    OutOfMemory,
    /// The guest's calls are nested too deep.
    #[error("the plugin's stack overflowed")]
    StackOverflow,
    /// The guest called `proc_exit` with this code.
    #[error("the plugin exited with code {0}")]
    Exited(u32),
    /// The guest refused its configuration.
    #[error("the plugin refused its configuration")]
    Refused,
    /// The guest paused the request and did not go on in time.
    #[error("the plugin paused the request for too long")]
    PausedTooLong,
    /// Too many events wait for the worker already, or it has too many requests.
    #[error("too many events wait for the plugin")]
    QueueFull,
    /// The instance that had the request is gone: another request made it trap, or the plugin was stopped.
    #[error("the plugin's instance that had the request is gone")]
    Gone,
    /// Instances failed too often; none is made for a while.
    #[error("the plugin failed too often and waits before it is started again")]
    BackingOff,
}

impl Failure {
    /// What an error of the engine means.
    pub(crate) fn of(error: &wasmtime::Error) -> Self {
        if let Some(failure) = error.downcast_ref::<Self>() {
            return failure.clone();
        }
        match error.downcast_ref::<Trap>() {
            Some(Trap::OutOfFuel) => Self::OutOfFuel,
            Some(Trap::Interrupt) => Self::OutOfTime,
            Some(Trap::StackOverflow) => Self::StackOverflow,
            Some(trap) => Self::Trapped(trap.to_string()),
            None => Self::Trapped("the engine could not go on".to_owned()),
        }
    }
}

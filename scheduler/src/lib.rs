//! Running functions: compiling components ahead of time, keeping programs ready, and giving every
//! request a fresh instance of its own with exact limits.
//!
//! The way of one request: [`Scheduler::invoke`] takes places and the program, then
//! [`instance`](crate::instance) makes a `Store`, instantiates, calls, and says how it ended. There is
//! no SQL, no compiling and no lock held over an await on that way.

mod address;
mod body;
mod by_namespace;
mod cdn_loop;
mod code_cache;
mod compile;
mod compile_worker;
mod component;
mod deploy_queue;
mod engine;
mod fair_queue;
mod function;
mod guest;
mod host;
mod instance;
mod interfaces;
mod jail;
mod lane;
mod limits;
mod machine;
mod meter;
mod outbound;
mod outcome;
mod places;
mod program;
mod response;
mod scheduler;
mod stdio;

pub use body::ResponseBody;
pub use cdn_loop::passes;
pub use compile::CompileLimits;
pub use compile_worker::run_compile_worker;
pub use component::{ComponentSummary, Refusal, World};
pub use engine::TargetCpu;
pub use function::Function;
pub use interfaces::look;
pub use limits::Limits;
pub use machine::{KernelFeatures, Mappings};
pub use meter::{Receipt, Usage};
pub use outbound::{AllowOrigin, OutboundPolicy};
pub use outcome::{Blame, Failure, Outcome};
pub use program::LoadSource;
pub use scheduler::{
    Answer, EngineUsage, Invocation, PrepareError, Prepared, RETRY_AFTER, Scheduler, SchedulerConfig, StartError,
};
pub use stdio::{LogSink, OutputStream};

/// The version of the engine that runs the functions, as in `Cargo.lock`.
pub const WASMTIME_VERSION: &str = env!("WASMTIME_VERSION");

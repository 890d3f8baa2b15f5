//! Running functions: compiling components ahead of time, keeping programs ready, and giving every
//! request a fresh instance of its own with exact limits.
//!
//! The way of one request: [`Scheduler::invoke`] takes places and the program, then
//! [`instance`](crate::instance) makes a `Store`, instantiates, calls, and says how it ended. There is
//! no SQL, no compiling and no lock held over an await on that way.

mod address;
mod answer;
mod body;
mod by_namespace;
mod capture;
mod cdn_loop;
mod code_cache;
mod compile;
mod compile_worker;
mod component;
mod deploy_queue;
mod engine;
mod fair_queue;
mod flat;
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
mod player;
mod program;
mod rate;
mod recorder;
mod response;
mod scheduler;
mod seats;
mod spare;
mod stdio;
mod tape;
mod tenant;
mod trace;

pub use body::ResponseBody;
pub use capture::{
    Body as CapturedBody, CAPTURE_FORMAT, Capture, CapturedFunction, CapturedLimits, Data, End, Exchange,
    ExchangeResult, Fault, Headers, Keep, Message, Recorded, Redaction, Response as CapturedResponse,
};
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
pub use player::{PlayedBody, Player};
pub use program::LoadSource;
pub use recorder::Recorder;
pub use scheduler::{Answer, Invocation, PrepareError, Prepared, RETRY_AFTER, Scheduler, SchedulerConfig, StartError};
pub use seats::EngineUsage;
pub use stdio::{LogSink, OutputStream};
pub use tape::Tape;
pub use tenant::{Tenant, TenantLimits};
pub use trace::{Step, Trace, TraceOutbound};

/// The version of the engine that runs the functions, as in `Cargo.lock`.
pub const WASMTIME_VERSION: &str = env!("WASMTIME_VERSION");

//! How much a manifest may ask for.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::{ByteSize, Limits, Manifest, ManifestError, human_duration};

const MEMORY: RangeInclusive<ByteSize> = ByteSize::mib(1)..=ByteSize::gib(4);
const CPU: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_mins(5);
const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_hours(1);
const CPU_WEIGHT: RangeInclusive<u32> = 1..=10_000;
const CONCURRENCY: RangeInclusive<u32> = 1..=10_000;
const REUSE: RangeInclusive<u32> = 1..=10_000;
const BODY: RangeInclusive<ByteSize> = ByteSize::bytes(0)..=ByteSize::gib(16);

const ENV_ENTRIES_MAX: usize = 128;
/// Names and values together.
const ENV_SIZE_MAX: ByteSize = ByteSize::kib(64);
const ALLOWED_ORIGINS_MAX: usize = 64;
const ROUTES_MAX: usize = 32;

impl Manifest {
    /// Checks every value against what any node grants. Deserializing does not: see [`Manifest`].
    pub fn check(&self) -> Result<(), ManifestError> {
        self.limits.check()?;
        let requests = "number of requests for one instance a function";
        within("instances.reuse", &self.instances.reuse, &REUSE, requests, u32::to_string)?;
        self.check_env()?;
        at_most("outbound.allow", self.outbound.allow.len(), ALLOWED_ORIGINS_MAX, "origins")?;
        at_most("routes", self.routes.len(), ROUTES_MAX, "routes")?;
        for (index, rule) in self.routes.iter().enumerate() {
            if let Some(earlier) = self.routes[..index].iter().position(|r| r == rule) {
                return Err(ManifestError::new(
                    format!("routes[{index}]"),
                    format!("{rule} is also routes[{earlier}]; remove one"),
                ));
            }
        }
        Ok(())
    }

    fn check_env(&self) -> Result<(), ManifestError> {
        at_most("env", self.env.len(), ENV_ENTRIES_MAX, "variables")?;
        for (name, value) in &self.env {
            if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
                return Err(ManifestError::new(
                    format!("env.{name:?}"),
                    "no variable can be called or hold this; give it a name without \"=\" and no NUL in either",
                ));
            }
        }
        let bytes: usize = self.env.iter().map(|(name, value)| name.len() + value.len()).sum();
        if bytes as u64 > ENV_SIZE_MAX.as_u64() {
            return Err(ManifestError::new(
                "env",
                format!(
                    "{bytes} bytes of names and values are over the most a function may have ({ENV_SIZE_MAX}); shorten them"
                ),
            ));
        }
        Ok(())
    }
}

impl Limits {
    fn check(&self) -> Result<(), ManifestError> {
        let size = |size: &ByteSize| format!("{:?}", size.to_string());
        let time = |time: &Duration| format!("{:?}", human_duration::format(*time));
        within("limits.memory", &self.memory, &MEMORY, "memory a function", size)?;
        within("limits.cpu", &self.cpu, &CPU, "CPU time a request", time)?;
        within("limits.timeout", &self.timeout, &TIMEOUT, "wall-clock time a request", time)?;
        check_cpu_weight("limits.cpu_weight", self.cpu_weight, "a function")?;
        within(
            "limits.concurrency",
            &self.concurrency,
            &CONCURRENCY,
            "number of requests at once a function",
            u32::to_string,
        )?;
        within("limits.request_body", &self.request_body, &BODY, "body a request", size)?;
        within("limits.response_body", &self.response_body, &BODY, "body an answer", size)
    }
}

/// Checks that `whom` may ask for such a share of CPU time.
pub(crate) fn check_cpu_weight(field: &str, weight: u32, whom: &str) -> Result<(), ManifestError> {
    within(field, &weight, &CPU_WEIGHT, &format!("weight {whom}"), u32::to_string)
}

/// Checks that the `what` may ask for `value`.
fn within<T: PartialOrd>(
    field: &str,
    value: &T,
    range: &RangeInclusive<T>,
    what: &str,
    print: impl Fn(&T) -> String,
) -> Result<(), ManifestError> {
    let (side, bound, fix) = if value > range.end() {
        ("over the largest", range.end(), "lower")
    } else if value < range.start() {
        ("under the smallest", range.start(), "raise")
    } else {
        return Ok(());
    };
    let bound = print(bound);
    let message = format!("{} is {side} {what} may ask for ({}); {fix} it", print(value), bound.trim_matches('"'),);
    Err(ManifestError::new(field, message))
}

/// Checks that a list holds no more than it may.
fn at_most(field: &str, count: usize, most: usize, what: impl Display) -> Result<(), ManifestError> {
    if count <= most {
        return Ok(());
    }
    Err(ManifestError::new(
        field,
        format!("{count} {what} are over the most a function may have ({most}); remove some"),
    ))
}

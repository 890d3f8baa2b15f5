//! One case of the catalogue.

use futures::future::LocalBoxFuture;

use crate::harness::{Platform, Server};

/// An attack under way. It panics, as a test does, when the platform does not hold; otherwise it says what the
/// attacker was answered.
pub(crate) type Attack<'a> = LocalBoxFuture<'a, Answered>;
pub(crate) type Answered = Result<String, CannotRun>;

/// Why an attack cannot be made on this machine.
pub(crate) struct CannotRun(pub(crate) String);

/// Who attacks.
#[derive(Clone, Copy)]
pub(crate) enum By {
    Guest,
    Upload,
    Client,
    Environment,
    ControlPlane,
}

pub(crate) struct Case {
    pub(crate) number: u8,
    pub(crate) by: By,
    pub(crate) what: &'static str,
    /// MiB that the server may grow by in the course of it.
    pub(crate) memory_mib: u64,
    pub(crate) ground: Ground,
}

/// What is attacked.
pub(crate) enum Ground {
    /// The server that all cases share.
    Shared(fn(&Server) -> Attack<'_>),
    /// A server of the case's own.
    Own(OwnServer, fn(&mut Platform) -> Attack<'_>),
    /// It takes more than one server: shown by what is named.
    Elsewhere(&'static str),
}

/// How a case's own server is started.
#[derive(Clone, Copy)]
pub(crate) struct OwnServer {
    pub(crate) settings: &'static [&'static str],
    /// Commands of the shell that becomes the server.
    pub(crate) after: Option<&'static str>,
    /// One more variable of the server's environment.
    pub(crate) env: Option<(&'static str, &'static str)>,
    /// A command that fails where the machine does not let us do what `after` does.
    pub(crate) needs: Option<&'static str>,
    /// The case ends it, or has it turn everybody away: no memory is watched, and no neighbour could stay.
    pub(crate) alone: bool,
}

impl OwnServer {
    pub(crate) const fn new(settings: &'static [&'static str], alone: bool) -> Self {
        Self { settings, after: None, env: None, needs: None, alone }
    }
}

/// MiB that a server may grow by when the attack itself is not about memory.
const MEMORY_MIB: u64 = 64;

impl By {
    pub(crate) const fn attacks(self, number: u8, what: &'static str, attack: fn(&Server) -> Attack<'_>) -> Case {
        self.case(number, what, Ground::Shared(attack))
    }

    pub(crate) const fn attacks_own(
        self,
        number: u8,
        what: &'static str,
        settings: &'static [&'static str],
        attack: fn(&mut Platform) -> Attack<'_>,
    ) -> Case {
        self.case(number, what, Ground::Own(OwnServer::new(settings, false), attack))
    }

    pub(crate) const fn attacks_alone(
        self,
        number: u8,
        what: &'static str,
        settings: &'static [&'static str],
        attack: fn(&mut Platform) -> Attack<'_>,
    ) -> Case {
        self.case(number, what, Ground::Own(OwnServer::new(settings, true), attack))
    }

    pub(crate) const fn elsewhere(self, number: u8, what: &'static str, why: &'static str) -> Case {
        self.case(number, what, Ground::Elsewhere(why))
    }

    const fn case(self, number: u8, what: &'static str, ground: Ground) -> Case {
        Case { number, by: self, what, memory_mib: MEMORY_MIB, ground }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            By::Guest => "guest",
            By::Upload => "upload",
            By::Client => "client",
            By::Environment => "environment",
            By::ControlPlane => "control",
        }
    }
}

impl Case {
    /// The server may grow by so much, since the limits of the attacking function allow it.
    pub(crate) const fn within_mib(mut self, memory_mib: u64) -> Self {
        self.memory_mib = memory_mib;
        self
    }

    /// Its own server is started by a shell, after these commands; `needs` tries whether the machine allows them.
    pub(crate) fn after(mut self, needs: &'static str, commands: &'static str) -> Self {
        if let Ground::Own(own, _) = &mut self.ground {
            (own.needs, own.after) = (Some(needs), Some(commands));
        }
        self
    }

    pub(crate) fn env(mut self, name: &'static str, value: &'static str) -> Self {
        if let Ground::Own(own, _) = &mut self.ground {
            own.env = Some((name, value));
        }
        self
    }
}

/// Deploys the guest as `siege-GUEST`; answers with the name.
pub(crate) async fn arm(server: &Server, guest: &str, manifest: &str) -> String {
    let name = armed(guest);
    server.deploy_with(guest, manifest).named(&name).await;
    name
}

/// The name under which the siege deploys.
pub(crate) fn armed(guest: &str) -> String {
    format!("{PREFIX}{guest}")
}

/// Names of the functions that the siege deploys, and removes at its end.
pub(crate) const PREFIX: &str = "siege-";

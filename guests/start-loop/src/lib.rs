//! Would answer like `hello`, but never gets there: it loops while it is being instantiated.

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

struct Function;

impl Guest for Function {
    fn handle(_request: IncomingRequest, out: ResponseOutparam) {
        respond::text(out, 200, "started after all\n");
    }
}

extern "C" fn spin() {
    loop {
        std::hint::spin_loop();
    }
}

/// The WASI targets bring an `_initialize`, which runs the constructors.
#[cfg(target_os = "wasi")]
#[used]
#[unsafe(link_section = ".init_array")]
static AT_START: extern "C" fn() = spin;

/// Without WASI's start-up code the function of that name is ours to write.
#[cfg(not(target_os = "wasi"))]
#[unsafe(export_name = "_initialize")]
extern "C" fn at_start() {
    spin();
}

wasip2::http::proxy::export!(Function);

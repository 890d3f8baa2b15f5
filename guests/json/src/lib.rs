//! Reads an order in JSON and answers with an invoice in JSON, as much of it: what most functions do for a living.

use serde_json::{Value, json};
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

struct Function;

impl Guest for Function {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        match serde_json::from_slice(&respond::whole_body(&request)) {
            Ok(order) => respond::whole(out, 200, "application/json", invoice(&order).to_string().as_bytes()),
            Err(error) => respond::text(out, 400, &format!("no JSON: {error}\n")),
        }
    }
}

/// The order with what each of its items costs, and all of them.
fn invoice(order: &Value) -> Value {
    let items = order["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    let cost = |item: &Value| item["cents"].as_u64().unwrap_or(0) * item["count"].as_u64().unwrap_or(0);
    let lines: Vec<Value> = items.iter().map(|item| json!({ "name": item["name"], "cost": cost(item) })).collect();
    json!({ "for": order["for"], "lines": lines, "total": items.iter().map(cost).sum::<u64>() })
}

wasip2::http::proxy::export!(Function);

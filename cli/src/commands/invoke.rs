//! `wasmway invoke`.

mod body;
mod receipt;
mod repeat;

use anyhow::{Context, anyhow};
use clap::Args;
use futures::TryStreamExt;
use reqwest::header::{HeaderName, HeaderValue};
use reqwest::{Method, Response};
use url::Url;
use wasmway_registry::FunctionName;

use crate::api::{Function, Problem};
use crate::cli::Globals;
use crate::client::{self, Client};
use crate::failure::Failure;
use crate::output::{self, Format};
use body::Data;

/// Call a function and print its answer
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  wasmway invoke hello\n  wasmway invoke shop '/items?page=2' -i --receipt\n  wasmway invoke shop /items -H 'content-type: application/json' -d @item.json\n  wasmway invoke hello --repeat 1000 --concurrency 8"
)]
pub(crate) struct Invoke {
    name: FunctionName,
    /// Path that the function sees, with its query
    #[arg(default_value = "/")]
    path: String,
    /// Method of the request [default: GET, or POST when there is data]
    #[arg(short = 'X', long, value_name = "METHOD")]
    method: Option<Method>,
    /// Header of the request; may be given more than once
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = header)]
    headers: Vec<(HeaderName, HeaderValue)>,
    /// Body of the request: a text, @FILE, or @- (or -) for standard input
    #[arg(short, long, value_name = "DATA", allow_hyphen_values = true)]
    data: Option<Data>,
    /// Print the answer's status and headers too
    #[arg(short, long)]
    include: bool,
    /// Print the bill of the call on standard error: CPU, memory, wall clock, queued time, bytes
    #[arg(long)]
    receipt: bool,
    /// Call it so many times, and print the latencies instead of the answers
    #[arg(
        long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000),
        conflicts_with_all = ["include", "receipt"],
    )]
    repeat: Option<u32>,
    /// Calls at once
    #[arg(
        long, value_name = "N", default_value_t = 1, requires = "repeat",
        value_parser = clap::value_parser!(u32).range(1..=1000),
    )]
    concurrency: u32,
}

pub(crate) async fn run(arguments: Invoke, globals: &Globals) -> Result<(), Failure> {
    let client = Client::new(globals)?;
    let function: Function = client.json(client.function(Method::GET, &arguments.name, "")).await?;
    let url = address(&function.url, &arguments.path)?;

    let default_method = if arguments.data.is_some() { Method::POST } else { Method::GET };
    let http = client::http_client(&url)?;
    let mut request = http.request(arguments.method.unwrap_or(default_method), url.clone());
    for (name, value) in arguments.headers {
        request = request.header(name, value);
    }
    if let Some(times) = arguments.repeat {
        if let Some(data) = &arguments.data {
            request = request.body(data.whole().await?);
        }
        let request = request.build().context("cannot make the request")?;
        return repeat::run(&http, &request, times, arguments.concurrency, globals.output).await;
    }
    if let Some(data) = arguments.data {
        request = data.stream_into(request).await?;
    }
    let response = request.send().await.map_err(|error| client::no_answer(error, &url))?;
    if arguments.include {
        print_head(&response)?;
    }
    let bill = arguments.receipt.then(|| receipt::Told::of(response.headers()));
    let printed = print_body(response, globals.output).await;
    if let Some(bill) = bill {
        bill.print(&client, &arguments.name, globals.output).await?;
    }
    printed
}

/// The address of `path` within a function, whose own address ends in a slash.
fn address(function: &Url, path: &str) -> Result<Url, Failure> {
    let joined = format!("{function}{}", path.trim_start_matches('/'));
    joined.parse().map_err(|error| Failure::Usage(format!("{path:?} is no path: {error}")))
}

fn print_head(response: &Response) -> Result<(), Failure> {
    let mut head = format!("{:?} {}\n", response.version(), response.status()).into_bytes();
    for (name, value) in response.headers() {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.push(b'\n');
    }
    head.push(b'\n');
    output::bytes(&head)
}

/// Prints the answer as it arrives; a refusal by the platform is none. Where a function fails, people are told where to
/// look; programs, which may read the bill beside it, are not.
async fn print_body(response: Response, format: Format) -> Result<(), Failure> {
    let broke_off = "the answer broke off";
    let status = response.status();
    if client::is_problem(&response) && (status.is_client_error() || status.is_server_error()) {
        let body = response.bytes().await.context(broke_off)?;
        return match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) if problem.source == "platform" => Err(Failure::Refused(problem)),
            Ok(Problem { source, request_id: Some(id), .. }) if source == "function" && format == Format::Text => {
                output::bytes(&body)?;
                eprintln!("\nthe cause is in the function's log, and what happened when: `wasmway trace {id}`");
                Ok(())
            }
            // The function's own answer, of whatever form.
            Ok(_) | Err(_) => output::bytes(&body),
        };
    }
    let mut chunks = response.bytes_stream();
    while let Some(chunk) = chunks.try_next().await.context(broke_off)? {
        output::bytes(&chunk)?;
    }
    Ok(())
}

fn header(text: &str) -> anyhow::Result<(HeaderName, HeaderValue)> {
    let (name, value) = text.split_once(':').ok_or_else(|| anyhow!("write it as 'name: value'"))?;
    Ok((name.trim().parse()?, value.trim().parse()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_lies_below_the_function() {
        let function: Url = "http://127.0.0.1:8080/hello/".parse().unwrap();
        for (path, expected) in [
            ("/", "http://127.0.0.1:8080/hello/"),
            ("/a/b?c=d", "http://127.0.0.1:8080/hello/a/b?c=d"),
            ("a", "http://127.0.0.1:8080/hello/a"),
            ("?q", "http://127.0.0.1:8080/hello/?q"),
        ] {
            assert_eq!(address(&function, path).unwrap().as_str(), expected);
        }
    }

    #[test]
    fn a_header_is_a_name_and_a_value() {
        let (name, value) = header("Content-Type: text/plain; a=b:c").unwrap();
        assert_eq!((name.as_str(), value.to_str().unwrap()), ("content-type", "text/plain; a=b:c"));
        assert!(header("no colon").is_err() && header("bad name: x").is_err());
    }
}

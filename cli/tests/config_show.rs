//! `wasmway config show`: which place a setting's value is taken from, and how bad ones are refused.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

/// `config show` in a folder whose `server.toml` holds `file`.
struct ConfigShow {
    home: tempfile::TempDir,
    command: Command,
}

impl ConfigShow {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_wasmway"));
        command.env_clear().env("HOME", home.path()).current_dir(home.path()).args(["config", "show"]);
        Self { home, command }
    }

    fn file(mut self, text: &str) -> Self {
        fs::write(self.home.path().join("server.toml"), text).unwrap();
        self.command.args(["--config", "server.toml"]);
        self
    }

    fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    fn args(mut self, arguments: &[&str]) -> Self {
        self.command.args(arguments);
        self
    }

    fn output(mut self) -> Output {
        self.command.output().unwrap()
    }

    /// The setting of that name in the JSON form, without its help.
    fn setting(self, name: &str) -> Value {
        let output = self.args(&["-o", "json"]).output();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let settings: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
        let mut setting = settings.into_iter().find(|setting| setting["name"] == name).unwrap();
        let help = setting.as_object_mut().unwrap().remove("help").unwrap();
        assert!(help.as_str().is_some_and(|help| !help.is_empty()), "{name} has no help");
        setting
    }

    /// The first line of the refusal.
    fn refused(self) -> String {
        let output = self.output();
        assert_eq!(output.status.code(), Some(2));
        assert!(output.stdout.is_empty());
        String::from_utf8(output.stderr).unwrap().lines().next().unwrap().to_owned()
    }
}

#[test]
fn flag_beats_environment_beats_file_beats_default() {
    let name = "max-upload";
    let default = ConfigShow::new().setting(name);
    assert_eq!(default, json!({"name": name, "value": "100MiB", "origin": "default"}));

    let file = ConfigShow::new().file("max-upload = \"10MiB\"\n").setting(name);
    assert_eq!(file, json!({"name": name, "value": "10MiB", "origin": "file", "from": "server.toml"}));

    let env = ConfigShow::new().file("max-upload = \"10MiB\"\n").env("WASMWAY_MAX_UPLOAD", "20MiB").setting(name);
    assert_eq!(env, json!({"name": name, "value": "20MiB", "origin": "environment", "from": "WASMWAY_MAX_UPLOAD"}));

    let flag = ConfigShow::new()
        .file("max-upload = \"10MiB\"\n")
        .env("WASMWAY_MAX_UPLOAD", "20MiB")
        .args(&["--max-upload", "30MiB"])
        .setting(name);
    assert_eq!(flag, json!({"name": name, "value": "30MiB", "origin": "flag", "from": "--max-upload"}));
}

#[test]
fn the_data_directory_is_a_setting_wherever_it_is_given() {
    let text = "data-dir = \"/from/file\"\n";
    assert_eq!(ConfigShow::new().file(text).setting("data-dir")["value"], "/from/file");
    let env = ConfigShow::new().file(text).env("WASMWAY_DATA_DIR", "/from/env").setting("data-dir");
    assert_eq!((&env["value"], &env["origin"]), (&json!("/from/env"), &json!("environment")));

    let home = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_wasmway"))
        .env_clear()
        .env("HOME", home.path())
        .args(["--data-dir", "/from/flag", "config", "show", "-o", "json"])
        .output()
        .unwrap();
    let settings: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&settings[0]["value"], &settings[0]["origin"]), (&json!("/from/flag"), &json!("flag")));
    let default = ConfigShow::new().setting("data-dir");
    assert!(Path::new(default["value"].as_str().unwrap()).ends_with("wasmway"), "{default}");
}

#[test]
fn switches_can_be_turned_on_and_off_everywhere() {
    assert_eq!(ConfigShow::new().setting("dev")["value"], "false");
    assert_eq!(ConfigShow::new().args(&["--dev"]).setting("dev")["value"], "true");
    assert_eq!(ConfigShow::new().file("dev = true\n").setting("dev")["value"], "true");
    assert_eq!(ConfigShow::new().file("dev = true\n").args(&["--dev=false"]).setting("dev")["value"], "false");
    assert_eq!(ConfigShow::new().env("WASMWAY_DEV", "1").setting("dev")["value"], "1");
}

#[test]
fn the_file_may_be_named_by_the_environment() {
    let shown = ConfigShow::new().file("log-lines = 5\n").env("WASMWAY_CONFIG", "elsewhere.toml").setting("log-lines");
    assert_eq!(shown["value"], "5");
    let refused = ConfigShow::new().env("WASMWAY_CONFIG", "elsewhere.toml").refused();
    assert!(refused.starts_with("error: cannot read the configuration file elsewhere.toml"), "{refused}");
}

#[test]
fn bad_values_name_setting_place_limit_and_fix() {
    let range = "out of range: choose a value from 1MiB to 4GiB";
    assert_eq!(
        ConfigShow::new().args(&["--max-memory", "8GiB"]).refused(),
        format!("error: max-memory = \"8GiB\" (from flag --max-memory): {range}")
    );
    assert_eq!(
        ConfigShow::new().env("WASMWAY_MAX_MEMORY", "8GiB").refused(),
        format!("error: max-memory = \"8GiB\" (from environment WASMWAY_MAX_MEMORY): {range}")
    );
    assert_eq!(
        ConfigShow::new().file("max-memory = \"8GiB\"\n").refused(),
        format!("error: max-memory = \"8GiB\" (from file server.toml): {range}")
    );
    assert_eq!(
        ConfigShow::new().env("WASMWAY_LOG_FORMAT", "xml").refused(),
        "error: log-format = \"xml\" (from environment WASMWAY_LOG_FORMAT): unknown value: choose one of auto, human, json"
    );
    for (setting, value, fix) in [
        ("drain-timeout", "30", "such as 500ms, 10s or 1m30s"),
        ("max-upload", "100", "64MiB"),
        ("listen", "8080", "127.0.0.1:8080"),
        ("domain", "https://x", "fn.example.com"),
        ("log-level", "loud", "error, warn, info"),
        ("dev", "maybe", "neither true nor false"),
        ("max-requests", "0", "from 1 to 1000000"),
        ("trace-ratio", "1.5", "from 0 to 1"),
        ("otlp-endpoint", "collector:4318", "http://collector:4318"),
        ("otlp-signals", "traces,spans", "\"spans\" is no signal: choose some of traces, logs and metrics"),
        ("otlp-signals", "", "\"\" is no signal"),
        ("otlp-signals", "logs,traces,logs", "logs is named twice"),
    ] {
        let refused = ConfigShow::new().file(&format!("{setting} = \"{value}\"\n")).refused();
        assert!(refused.starts_with(&format!("error: {setting} = \"{value}\" (from file")), "{refused}");
        assert!(refused.contains(fix), "{refused}");
    }
    let refused = ConfigShow::new().args(&["--otlp-endpoint", "http://user:secret@collector:4318"]).refused();
    assert!(refused.contains("OTEL_EXPORTER_OTLP_HEADERS") && !refused.contains("secret"), "{refused}");
}

#[test]
fn the_file_holds_settings_and_nothing_else() {
    let refused = ConfigShow::new().file("max_memory = \"1GiB\"\n").refused();
    assert_eq!(
        refused,
        "error: max_memory (from file server.toml): there is no such setting; did you mean max-memory?"
    );
    let refused = ConfigShow::new().file("[kitchen]\nsink = 1\n").refused();
    assert!(refused.contains("`wasmway config show` lists the settings"), "{refused}");
    let refused = ConfigShow::new().file("max-requests = [1]\n").refused();
    assert!(refused.contains("array where a text, a number"), "{refused}");
    let refused = ConfigShow::new().file("max-requests = \n").refused();
    assert!(refused.starts_with("error: server.toml is not TOML"), "{refused}");
}

#[test]
fn the_variables_of_opentelemetry_come_before_the_default_alone() {
    let endpoint = "OTEL_EXPORTER_OTLP_ENDPOINT";
    let name = "otlp-endpoint";
    let standard = || ConfigShow::new().env(endpoint, "http://standard:4318");
    let said = standard().setting(name);
    assert_eq!(said, json!({"name": name, "value": "http://standard:4318", "origin": "environment", "from": endpoint}));
    let file = standard().file("otlp-endpoint = \"http://file:4318\"\ntrace-ratio = 0.25\n");
    assert_eq!(file.setting(name)["value"], "http://file:4318");
    let own = standard().env("WASMWAY_OTLP_ENDPOINT", "http://own:4318").setting(name);
    assert_eq!((&own["value"], &own["from"]), (&json!("http://own:4318"), &json!("WASMWAY_OTLP_ENDPOINT")));
    let flag = standard().args(&["--otlp-endpoint", "http://flag:4318"]).setting(name);
    assert_eq!(flag["from"], "--otlp-endpoint");
    assert_eq!(ConfigShow::new().env(endpoint, "").setting(name)["origin"], "default", "empty is unset");
    let refused = ConfigShow::new().env(endpoint, "collector:4317").refused();
    assert!(refused.starts_with("error: otlp-endpoint = \"collector:4317\" (from environment OTEL"), "{refused}");
}

#[test]
fn the_samplers_of_opentelemetry_are_ratios() {
    let sampler = |sampler| ConfigShow::new().env("OTEL_TRACES_SAMPLER", sampler);
    for (name, ratio) in [("always_on", "1"), ("parentbased_always_off", "0"), ("traceidratio", "1")] {
        let setting = sampler(name).setting("trace-ratio");
        assert_eq!(setting["value"], ratio, "{setting}");
    }
    let setting = sampler("parentbased_traceidratio").env("OTEL_TRACES_SAMPLER_ARG", "0.25").setting("trace-ratio");
    assert_eq!((&setting["value"], &setting["from"]), (&json!("0.25"), &json!("OTEL_TRACES_SAMPLER_ARG")));
    let refused = sampler("traceidratio").env("OTEL_TRACES_SAMPLER_ARG", "2").refused();
    assert!(refused.contains("(from environment OTEL_TRACES_SAMPLER_ARG): out of range"), "{refused}");
    let refused = sampler("jaeger_remote").refused();
    assert!(refused.contains("unknown sampler: choose one of"), "{refused}");
}

#[test]
fn signals_need_somewhere_to_go() {
    let name = "otlp-signals";
    assert_eq!(ConfigShow::new().setting(name)["value"], "traces");
    let named = || ConfigShow::new().env("WASMWAY_OTLP_SIGNALS", "logs, metrics");
    assert_eq!(
        named().refused(),
        "error: otlp-signals (from environment WASMWAY_OTLP_SIGNALS) says what is sent, and nothing says where to: set \
         otlp-endpoint, such as http://collector:4318"
    );
    let said = named().env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://standard:4318").setting(name);
    assert_eq!(said["value"], "logs, metrics");
    let file = ConfigShow::new().file("otlp-signals = \"logs\"\n").args(&["--otlp-endpoint", "http://flag:4318"]);
    assert_eq!(file.setting(name)["origin"], "file");
}

#[test]
fn no_token_is_needed_on_loopback_only() {
    let refused = ConfigShow::new().args(&["--dev", "--control", "0.0.0.0:8081"]).refused();
    assert!(refused.contains("dev = true (from flag --dev)") && refused.contains("loopback"), "{refused}");
    assert_eq!(ConfigShow::new().args(&["--dev", "--control", "[::1]:0"]).setting("dev")["value"], "true");
}

#[test]
fn the_text_form_has_a_line_for_each_setting() {
    let output = ConfigShow::new().output();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.lines()
            .any(|line| line.starts_with("listen ") && line.contains("127.0.0.1:8080") && line.contains("default"))
    );
    assert!(text.lines().any(|line| line.starts_with("domain ") && line.contains(" - ")), "{text}");
}

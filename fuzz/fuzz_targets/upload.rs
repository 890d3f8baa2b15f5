//! The check of an upload: whatever the bytes are, it ends, and takes nothing but components with an HTTP handler.

#![no_main]

#[allow(dead_code, unused_imports)]
#[path = "../../scheduler/src/component.rs"]
mod component;

use component::{World, inspect};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| match inspect(bytes) {
    Ok(summary) => {
        assert!(bytes.starts_with(b"\0asm\x0d\0\x01\0"), "no component was taken");
        assert_eq!(World::of_export(&summary.export), Some(summary.world));
        assert!(summary.imports.len() <= 1000, "{} imports were taken", summary.imports.len());
        let written = serde_json::to_string(&summary).unwrap();
        assert_eq!(serde_json::from_str::<component::ComponentSummary>(&written).unwrap(), summary);
    }
    Err(refusal) => assert!(!refusal.to_string().is_empty()),
});

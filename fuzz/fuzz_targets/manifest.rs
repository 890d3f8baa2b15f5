//! A manifest that somebody wrote: it is taken and in order, or refused with the place that is wrong.

#![no_main]

#[allow(dead_code, unused_imports)]
#[path = "../../registry/src"]
mod registry {
    pub mod manifest;
    pub mod names;
}

// The registry's modules know each other by these names.
use registry::{manifest, names};

use libfuzzer_sys::fuzz_target;
use manifest::Manifest;

fuzz_target!(|text: &str| match Manifest::from_toml(text) {
    Ok(manifest) => {
        assert_eq!(manifest.check(), Ok(()));
        // As the registry keeps it.
        let written = serde_json::to_string(&manifest).unwrap();
        assert_eq!(serde_json::from_str::<Manifest>(&written).unwrap(), manifest);
    }
    Err(error) => {
        let message = error.to_string();
        let names_field = error.field().is_some_and(|field| !field.is_empty());
        assert!(names_field || message.contains("(line "), "{message:?} names no place");
    }
});

//! Has the crate built again when a migration comes: `sqlx::migrate!` notices only those that were there before.

fn main() {
    println!("cargo:rerun-if-changed=../migrations");
}

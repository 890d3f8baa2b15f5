import assert from "node:assert/strict";
import { test } from "node:test";
import { greeting } from "../src/greeting";

test("greets by name", () => {
  assert.equal(greeting("/tea", "Ada"), "Hello, Ada! This is TypeScript, and you asked for /tea\n");
  assert.equal(greeting("/", null), "Hello, world! This is TypeScript, and you asked for /\n");
});

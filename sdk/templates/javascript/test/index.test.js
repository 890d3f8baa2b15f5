import assert from "node:assert/strict";
import { test } from "node:test";

// On the platform a request comes as an event; here the tests make it.
let listener;
globalThis.addEventListener = (type, given) => {
  assert.equal(type, "fetch");
  listener = given;
};
await import("../src/index.js");

function answer(path, options) {
  return new Promise((respondWith) => {
    listener({ request: new Request(`http://localhost${path}`, options), respondWith });
  });
}

test("greets by name", async () => {
  const response = await answer("/tea?name=Ada");
  assert.equal(await response.text(), "Hello, Ada! This is JavaScript, and you asked for /tea\n");
});

test("answers JSON by JSON", async () => {
  const good = await answer("/", { method: "POST", body: '{"name": "Ada"}' });
  assert.deepEqual(await good.json(), { hello: "Ada" });
  const bad = await answer("/", { method: "POST", body: "{" });
  assert.equal(bad.status, 400);
});

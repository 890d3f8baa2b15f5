// Tries the dashboard of a running platform out in a browser: every page, every action. Started by `cargo xtask browser`,
// which prepares the platform and has its functions called meanwhile.
import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";

const { CONTROL, TOKEN, MODULES, CHROMIUM, GUESTS, SCREENSHOTS } = process.env;
const require = createRequire(`${MODULES}/node_modules/`);
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const PHONE = { width: 390, height: 844 };
const DESKTOP = { width: 1280, height: 860 };
const HOSTILE = "<img src=x onerror=alert(1)>";

const browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox"] });
const problems = [];
// Addresses whose answers are meant to be errors.
const expected = [];

// A browser of its own, which notes whatever it should not come to.
async function visitor(options = {}) {
  const context = await browser.newContext({ viewport: DESKTOP, baseURL: CONTROL, ...options });
  context.setDefaultTimeout(15_000);
  const page = await context.newPage();
  page.on("console", (message) => {
    const at = message.location().url;
    const isExpected = expected.some((part) => at.includes(part));
    if (message.type() === "error" && !isExpected) problems.push(`console: ${message.text()} (${at})`);
  });
  page.on("pageerror", (error) => problems.push(`error on ${page.url()}: ${error.message}`));
  page.on("dialog", (dialog) => { problems.push(`a dialog of the browser: ${dialog.message()}`); dialog.dismiss(); });
  page.on("request", (request) => {
    const url = new URL(request.url());
    if (url.origin !== new URL(CONTROL).origin && url.protocol !== "data:" && url.protocol !== "blob:") {
      problems.push(`a request to another origin: ${url.href}`);
    }
  });
  return page;
}

async function step(name, run) {
  const began = Date.now();
  await run();
  console.log(`${String(Date.now() - began).padStart(6)} ms  ${name}`);
}

async function logIn(page, token) {
  await page.goto("/");
  await page.getByLabel("Token").fill(token);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("heading", { name: "Overview" }).waitFor();
}

async function confirm(page) {
  await page.locator("#confirm [data-answer=yes]").click();
}

async function said(page, text) {
  await page.locator("#toasts p", { hasText: text }).waitFor();
}

const cell = (page, name) => page.locator(`[data-cell="${name}"]`);
const changes = (locator, from) => assert.doesNotReject(async () => {
  for (let look = 0; look < 100; look++) {
    if ((await locator.textContent()) !== from) return;
    await new Promise((done) => setTimeout(done, 100));
  }
  throw new Error(`it stays ${from}`);
});

// What programs find that check for people who cannot see or use a mouse, and that nothing is wider than the page.
async function check(page, name) {
  await page.evaluate(axe);
  const found = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  for (const { id, impact, nodes } of found.violations) {
    if (["serious", "critical"].includes(impact)) {
      problems.push(`${name}: ${id} (${impact}): ${nodes.map((node) => node.html.slice(0, 160)).join(" | ")}`);
    }
  }
  const excess = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  if (excess > 0) problems.push(`${name}: ${excess} px wider than the window`);
}

async function everyPage(page, look) {
  const paths = ["/", "/functions", "/functions/default/hello", "/functions/default/hello/versions",
    "/functions/default/trap", "/functions/default/hello/calls", "/functions/default/forge-log/logs",
    "/functions/default/hello/settings", "/deploy", "/nodes", "/namespaces", "/tokens", "/audit"];
  for (const path of paths) {
    await page.goto(path);
    if (await page.locator("[data-chart]").count()) await page.locator("canvas").first().waitFor();
    if (path.endsWith("/logs")) await page.locator(".log div").first().waitFor();
    await look(path);
  }
}

const page = await visitor();
await step("nobody looks without a token, and a wrong one is none", async () => {
  expected.push("/login", "/live/overview");
  await page.goto("/functions?q=hel");
  assert.equal(new URL(page.url()).pathname, "/login");
  await check(page, "login");
  await page.getByLabel("Token").fill("not a token");
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("alert").filter({ hasText: "not a token of this server" }).waitFor();
  await page.getByLabel("Token").fill(TOKEN);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("heading", { name: "Functions" }).waitFor();
  assert.equal(new URL(page.url()).search, "?q=hel", "where one wanted to go");
  const [cookie] = await page.context().cookies();
  assert.deepEqual([cookie.httpOnly, cookie.sameSite, cookie.expires > 0], [true, "Strict", true]);
  expected.length = 0;
});

await step("the overview is live", async () => {
  await page.goto("/");
  await page.locator("canvas").first().waitFor();
  const total = cell(page, "requests-note");
  await changes(total, "0 since the start");
  await changes(total, await total.textContent());
  assert.match(await cell(page, "p99").textContent(), /^[\d.]+ (µs|ms|s)$/);
  assert.match(await cell(page, "memory").textContent(), /^[\d.]+ (MiB|GiB)$/);
  assert.equal(await page.locator("canvas").count(), 4);
  await page.getByRole("link", { name: "trap" }).first().waitFor();
});

await step("functions are searched, sorted and live", async () => {
  await page.getByRole("link", { name: "Functions", exact: true }).click();
  await page.getByRole("heading", { name: "Functions" }).waitFor();
  const rows = page.locator("#list tbody tr");
  const all = await rows.count();
  assert.ok(all >= 5, `${all} functions`);
  await page.getByRole("link", { name: "Requests" }).click();
  await page.locator("th[aria-sort=descending]", { hasText: "Requests" }).waitFor();
  assert.equal(await rows.first().locator("th a").textContent(), "hello");
  await page.getByRole("searchbox").pressSequentially("tra");
  await page.waitForFunction(() => document.querySelectorAll("#list tbody tr").length === 1);
  assert.match(page.url(), /q=tra.*sort=requests|sort=requests.*q=tra/);
  const total = cell(page, "default/trap total");
  await changes(total, await total.textContent());
  await page.getByRole("searchbox").fill(HOSTILE);
  await page.getByRole("heading", { name: "No name has that in it" }).waitFor();
});

await step("a function shows its charts, its limits and why it fails", async () => {
  await page.goto("/functions");
  await page.getByRole("link", { name: "trap", exact: true }).click();
  await page.getByRole("heading", { name: "trap", exact: true }).waitFor();
  await page.locator("canvas").first().waitFor();
  await page.locator(".failure pre", { hasText: "trapped" }).first().waitFor();
  assert.match(await page.locator("main").textContent(), /128 MiB/);
  await page.locator(".failure a").first().click();
  await page.getByRole("heading", { name: "Bill" }).waitFor();
  assert.match(await page.locator("main").textContent(), /CPU time\s*[\d.]+ (µs|ms)/);
  await page.getByRole("link", { name: "Calls" }).click();
  await page.getByRole("link", { name: "Failed" }).click();
  await page.locator(".badge.bad").first().waitFor();
});

await step("calls are shown as they come, with a hostile path as text", async () => {
  await page.goto("/functions/default/inspect/calls");
  await page.locator("tbody tr", { hasText: "onerror" }).first().waitFor();
  const first = await page.locator("tbody tr a").first().getAttribute("href");
  await page.mouse.move(5, 5);
  await page.waitForFunction((first) => document.querySelector("tbody tr a").getAttribute("href") !== first, first);
});

await step("the log is live, searched and held", async () => {
  await page.goto("/functions/default/forge-log/logs");
  const lines = page.locator(".log div");
  await lines.first().waitFor();
  const before = await lines.count();
  await page.waitForFunction((before) => document.querySelectorAll(".log div").length > before, before);
  await page.getByRole("button", { name: "Pause" }).click();
  await page.locator("[data-state]", { hasText: "lines wait" }).waitFor();
  await page.getByRole("button", { name: "Go on" }).click();
  await page.getByLabel("Show lines with").fill("no line says this");
  await page.waitForFunction(() => document.querySelectorAll(".log div:not([hidden])").length === 0);
});

await step("traffic is split, promoted and rolled back", async () => {
  await page.goto("/functions/default/hello/versions");
  await page.getByLabel("Version 2", { exact: false }).fill("25");
  await page.getByLabel("Version 1", { exact: false }).fill("75");
  await page.locator("[data-share='2']", { hasText: "25%" }).waitFor();
  await page.getByLabel("The same client, the same version").fill("nonsense");
  expected.push("/traffic");
  await page.getByRole("button", { name: "Set traffic" }).click();
  await said(page, "sticky");
  expected.length = 0;
  await page.getByLabel("The same client, the same version").fill("cookie:session");
  await page.getByRole("button", { name: "Set traffic" }).click();
  await said(page, "Requests are split");
  await page.locator(".sub .badge", { hasText: "version 2: 25%" }).waitFor();
  await page.getByRole("button", { name: "Promote version 2" }).click();
  await page.locator("#confirm [data-answer=no]").click();
  await page.locator(".sub .badge", { hasText: "version 2: 25%" }).waitFor();
  await page.getByRole("button", { name: "Promote version 2" }).click();
  await confirm(page);
  await said(page, "Version 2 gets all requests");
  await page.getByRole("button", { name: "Roll back", exact: true }).click();
  await confirm(page);
  await said(page, "Rolled back");
});

await step("settings name variables and not their values", async () => {
  await page.goto("/functions/default/inspect/settings");
  const text = await page.locator("main").textContent();
  assert.ok(text.includes("DATABASE_PASSWORD") && !text.includes("hunter2"), text);
  assert.ok(text.includes("shop.example/api") && text.includes("https://api.example.com"), text);
});

await step("a component is deployed after its plan was seen", async () => {
  await page.goto("/deploy");
  await page.getByRole("button", { name: "Show the plan" }).focus();
  const manifest = "name = \"dropped\"\n[limits]\nmemory = \"256MiB\"\n[env]\n\"" + "NOTE\" = \"" + HOSTILE + "\"\n";
  await page.locator("#files").setInputFiles([
    { name: "hello.wasm", mimeType: "application/wasm", buffer: readFileSync(`${GUESTS}/hello.wasm`) },
    { name: "wasmway.toml", mimeType: "", buffer: Buffer.from(manifest) },
  ]);
  await page.locator("[data-chosen]", { hasText: "hello.wasm" }).waitFor();
  assert.equal(await page.getByLabel("Function").inputValue(), "dropped");
  await page.getByRole("button", { name: "Show the plan" }).click();
  await page.locator("[data-plan-shown]", { hasText: "256MiB" }).waitFor();
  await page.locator("[data-plan-shown] td", { hasText: HOSTILE }).waitFor();
  await check(page, "the plan");
  await page.getByRole("button", { name: "Deploy", exact: true }).click();
  await page.locator("[data-problem]", { hasText: "Tick" }).waitFor();
  await page.getByLabel("I have seen").check();
  await page.getByRole("button", { name: "Deploy", exact: true }).click();
  await page.waitForURL("**/functions/default/dropped");
  await said(page, "Deployed dropped, version 1");
});

await step("a file is dropped, and what is no component is refused", async () => {
  await page.goto("/deploy?name=dropped");
  const transfer = await page.evaluateHandle(() => {
    const transfer = new DataTransfer();
    transfer.items.add(new File(["not a component"], "broken.wasm"));
    return transfer;
  });
  await page.dispatchEvent("[data-drop]", "drop", { dataTransfer: transfer });
  await page.locator("[data-chosen]", { hasText: "broken.wasm" }).waitFor();
  expected.push("/plan");
  await page.getByRole("button", { name: "Show the plan" }).click();
  await page.getByRole("alert").filter({ hasText: "component" }).waitFor();
  expected.length = 0;
});

await step("a function is deleted, if somebody says so", async () => {
  await page.goto("/functions/default/dropped/settings");
  await page.getByRole("button", { name: "Delete dropped" }).click();
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: "Delete dropped" }).click();
  await confirm(page);
  await page.waitForURL("**/functions");
  assert.equal(await page.getByRole("link", { name: "dropped" }).count(), 0);
});

await step("a namespace has a quota", async () => {
  await page.goto("/namespaces");
  await page.locator("#new-name").fill("shop");
  await page.locator("#functions-").fill("3");
  await page.locator("#memory-").fill("a lot");
  expected.push("/quota");
  await page.getByRole("button", { name: "Set", exact: true }).last().click();
  await said(page, "a lot");
  expected.length = 0;
  await page.locator("#memory-").fill("64MiB");
  await page.locator("#requests_per_second-").fill("500");
  await page.getByRole("button", { name: "Set", exact: true }).last().click();
  await said(page, "The quota is set");
  await page.locator(".card", { hasText: "shop" }).getByText("at most 64MiB").waitFor();
  await page.locator(".card", { hasText: "shop" }).getByText("at most 500").waitFor();
});

await step("a token is shown once; a viewer sees no actions; revoked, it is nobody's", async () => {
  await page.goto("/tokens");
  await page.getByLabel("What it is for").fill(`eyes ${HOSTILE}`);
  await page.getByLabel("Role").selectOption("viewer");
  await page.getByRole("button", { name: "Make" }).click();
  const secret = await page.locator("[data-secret]", { hasText: "wwt_" }).textContent();
  await check(page, "the token");
  await page.getByRole("button", { name: "Done" }).click();
  await page.locator("tbody th", { hasText: HOSTILE }).waitFor();
  assert.ok(!(await page.content()).includes(secret), "only once");

  const viewer = await visitor();
  await viewer.goto("/login");
  await viewer.getByLabel("Token").fill(secret);
  expected.push("/live/overview", "/tokens", "/deploy");
  await viewer.getByRole("button", { name: "Sign in" }).click();
  await viewer.getByRole("heading", { name: "Overview" }).waitFor();
  for (const path of ["/", "/functions/default/hello", "/functions/default/hello/versions", "/functions/default/hello/settings"]) {
    await viewer.goto(path);
    assert.equal(await viewer.locator("form[data-api], [href^='/deploy'], [href='/tokens']").count(), 0, path);
  }
  for (const path of ["/tokens", "/deploy"]) {
    assert.equal((await viewer.goto(path)).status(), 403, path);
    await viewer.getByRole("heading", { name: "Forbidden" }).waitFor();
  }
  await viewer.goto("/functions");
  expected.push("/live/functions");
  await page.getByRole("button", { name: "Revoke" }).click();
  await confirm(page);
  await said(page, "Revoked");
  await viewer.waitForURL("**/login?**");
  await viewer.context().close();
  expected.length = 0;
});

await step("the audit log has it all", async () => {
  await page.goto("/audit");
  for (const action of ["token-revoke", "token-create", "quota", "delete", "rollback", "traffic"]) {
    await page.locator("tbody .badge", { hasText: action }).first().waitFor();
  }
});

await step("a page that there is not is a page", async () => {
  expected.push("/functions/default/nobody");
  assert.equal((await page.goto("/functions/default/nobody")).status(), 404);
  await page.getByRole("link", { name: "Back to the overview" }).click();
  await page.getByRole("heading", { name: "Overview" }).waitFor();
  expected.length = 0;
});

await step("everything can be reached by keyboard", async () => {
  await page.goto("/functions");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement.id), "main", "past the menu");
});

await step("every page, on a desktop and on a phone, light and dark", async () => {
  if (SCREENSHOTS) mkdirSync(SCREENSHOTS, { recursive: true });
  const looks = [["desktop", DESKTOP, "light"], ["desktop", DESKTOP, "dark"], ["phone", PHONE, "light"]];
  // Nothing to be found out that the others do not say, but something to look at.
  if (SCREENSHOTS) looks.push(["phone", PHONE, "dark"]);
  for (const [name, viewport, colorScheme] of looks) {
    await page.setViewportSize(viewport);
    await page.emulateMedia({ colorScheme });
    await everyPage(page, async (path) => {
      await check(page, `${path} (${colorScheme}, ${name})`);
      const file = `${SCREENSHOTS}/${name}-${colorScheme}-${path.slice(1).replaceAll("/", "-") || "overview"}.png`;
      if (SCREENSHOTS) await page.screenshot({ path: file, fullPage: true });
    });
  }
});

await step("a session ends", async () => {
  await page.setViewportSize(DESKTOP);
  expected.push("/live/overview");
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.waitForURL("**/login");
  await page.goto("/functions");
  assert.equal(new URL(page.url()).pathname, "/login");
});

await browser.close();
assert.deepEqual(problems, []);

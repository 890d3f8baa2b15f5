// What every page does: it is brought up to date, and says so when it cannot be.
"use strict";
const wasmway = {
  // Begins for every element that has come, with the page or later.
  onLoad: [],

  toast(text, isBad) {
    const shown = document.createElement("p");
    shown.textContent = text;
    if (isBad) shown.className = "bad";
    document.getElementById("toasts").append(shown);
    setTimeout(() => shown.remove(), isBad ? 12000 : 5000);
  },

  // What a problem document says, for people.
  async problem(answer) {
    try {
      const problem = await answer.json();
      return problem.detail || problem.title || `the server answered ${answer.status}`;
    } catch {
      return `the server answered ${answer.status}`;
    }
  },

  toLogin() {
    location.assign("/login?next=" + encodeURIComponent(location.pathname + location.search));
  },

  // Answers whether somebody says yes.
  confirm(text) {
    const dialog = document.getElementById("confirm");
    document.getElementById("confirm-text").textContent = text;
    return new Promise((done) => {
      const answer = (event) => {
        const button = event.target.closest("[data-answer]");
        if (button) dialog.close(button.dataset.answer);
      };
      dialog.returnValue = "";
      dialog.addEventListener("click", answer);
      dialog.addEventListener("close", () => {
        dialog.removeEventListener("click", answer);
        done(dialog.returnValue === "yes");
      }, { once: true });
      dialog.showModal();
    });
  },
};

(() => {
  const EVERY_MS = 1000;
  const PATIENCE_MS = 8000;

  // Brings the cells and charts in `part` up to date, as long as it is on the page.
  function keepUp(part) {
    const url = part.dataset.live;
    async function look() {
      if (!part.isConnected) return;
      if (!document.hidden) {
        try {
          const answer = await fetch(url, { signal: AbortSignal.timeout(PATIENCE_MS) });
          if (answer.status === 401) return wasmway.toLogin();
          // What has gone is said by the next page that is opened.
          if (answer.status === 404) return;
          if (!answer.ok) throw new Error(String(answer.status));
          show(part, await answer.json());
          stale(false);
        } catch {
          if (part.isConnected) stale(true);
        }
      }
      setTimeout(look, EVERY_MS);
    }
    look();
  }

  function show(part, live) {
    for (const cell of part.querySelectorAll("[data-cell]")) {
      const text = live.cells[cell.dataset.cell];
      if (text !== undefined && cell.textContent !== text) cell.textContent = text;
    }
    for (const chart of part.querySelectorAll("[data-chart]")) {
      const rows = live.charts && live.charts[chart.dataset.chart];
      if (rows) wasmway.draw(chart, rows);
    }
  }

  function stale(is) {
    document.getElementById("stale").hidden = !is;
  }

  // Has a part of the page loaded again, unless somebody is reading or using it.
  setInterval(() => {
    for (const part of document.querySelectorAll("[data-refresh]")) {
      const isUsed = part.matches(":hover") || part.contains(document.activeElement);
      if (!document.hidden && !isUsed) htmx.trigger(part, "refresh");
    }
  }, 2 * EVERY_MS);

  function within(part, selector) {
    const inside = [...part.querySelectorAll(selector)];
    return part.matches(selector) ? [part, ...inside] : inside;
  }

  htmx.onLoad((part) => {
    for (const live of within(part, "[data-live]")) keepUp(live);
    for (const time of within(part, "time")) {
      time.title = new Date(time.dateTime).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
    }
    for (const begin of wasmway.onLoad) begin((selector) => within(part, selector));
  });

  // The new page's heading is where readers of screens go on.
  document.addEventListener("htmx:afterSettle", (event) => {
    if (event.detail.target === document.body) document.getElementById("main").focus({ preventScroll: true });
  });
  for (const failure of ["htmx:sendError", "htmx:timeout"]) {
    document.addEventListener(failure, () => stale(true));
  }
  // Pages of problems are pages too.
  document.addEventListener("htmx:beforeSwap", (event) => {
    const kind = event.detail.xhr.getResponseHeader("content-type") || "";
    if (event.detail.isError && kind.startsWith("text/html")) location.assign(event.detail.pathInfo.finalRequestPath);
  });
  const said = sessionStorage.getItem("said");
  if (said) {
    sessionStorage.removeItem("said");
    addEventListener("load", () => wasmway.toast(said));
  }
})();

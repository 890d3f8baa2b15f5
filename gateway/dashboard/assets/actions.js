// What forms ask of the control API: the same that programs ask, with the session's cookie in place of a token.
"use strict";
(() => {
  const text = (form, name) => new FormData(form).get(name).trim();
  const orNothing = (value) => (value === "" ? null : value);

  // What each kind of form sends.
  const BODIES = {
    none: () => undefined,
    rollback: () => ({}),
    promote: (form) => ({ weights: { [form.dataset.version]: 100 } }),
    traffic(form) {
      const weights = {};
      for (const input of form.querySelectorAll("[data-weight]")) {
        if (Number(input.value) > 0) weights[input.dataset.weight] = Number(input.value);
      }
      const traffic = { weights, sticky: orNothing(text(form, "sticky")) };
      if (form.querySelector("#trial").checked) traffic.trial = {};
      return traffic;
    },
    quota(form) {
      // What is no number goes as it is: the answer says what is wrong with it.
      const number = (name) => (/^\d+$/.test(text(form, name)) ? Number(text(form, name)) : orNothing(text(form, name)));
      return {
        functions: number("functions"),
        component_bytes: orNothing(text(form, "component_bytes")),
        memory: orNothing(text(form, "memory")),
        concurrency: number("concurrency"),
        requests_per_second: number("requests_per_second"),
        cpu_weight: number("cpu_weight"),
      };
    },
    token(form) {
      const days = text(form, "days");
      const token = { name: text(form, "name"), role: text(form, "role"), namespace: orNothing(text(form, "namespace")) };
      if (days) token.expires_in_s = Number(days) * 86400;
      return token;
    },
  };

  async function send(form) {
    const url = form.dataset.url.replace("{namespace}", () => encodeURIComponent(text(form, "namespace")));
    const body = BODIES[form.dataset.body](form);
    const answer = await fetch(url, {
      method: form.dataset.api,
      headers: body === undefined ? {} : { "content-type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    if (answer.status === 401) return wasmway.toLogin();
    if (!answer.ok) return wasmway.toast(await wasmway.problem(answer), true);
    if (form.dataset.body === "token") return showSecret((await answer.json()).secret);
    wasmway.goOn(form.dataset.done, form.dataset.said);
  }

  // Shows the page as it is now, and there what was done.
  wasmway.goOn = (place, said) => {
    if (said) sessionStorage.setItem("said", said);
    if (place) location.assign(place); else location.reload();
  };

  document.addEventListener("submit", async (event) => {
    const form = event.target.closest("form[data-api]");
    if (!form) return;
    event.preventDefault();
    event.stopPropagation();
    const button = form.querySelector("button:not([type=button])");
    if (form.dataset.confirm && !(await wasmway.confirm(form.dataset.confirm))) return;
    button.disabled = true;
    try {
      await send(form);
    } catch {
      wasmway.toast("no answer from the server; look whether it was done before you try again", true);
    } finally {
      button.disabled = false;
    }
  }, true);

  function showSecret(secret) {
    const dialog = document.getElementById("secret");
    dialog.querySelector("[data-secret]").textContent = secret;
    dialog.querySelector("[data-copy]").onclick = async () => {
      try {
        await navigator.clipboard.writeText(secret);
        wasmway.toast("Copied");
      } catch {
        // Not allowed over plain HTTP: it is selected instead.
        getSelection().selectAllChildren(dialog.querySelector("[data-secret]"));
      }
    };
    dialog.querySelector("[data-close]").onclick = () => dialog.close();
    dialog.addEventListener("close", () => location.reload(), { once: true });
    dialog.showModal();
  }

  // Weights as shares of their sum.
  function showShares(form) {
    const inputs = [...form.querySelectorAll("[data-weight]")];
    const sum = inputs.reduce((all, input) => all + Number(input.value), 0);
    for (const input of inputs) {
      const share = sum === 0 ? "–" : Math.round((Number(input.value) / sum) * 1000) / 10 + "%";
      form.querySelector(`[data-share="${input.dataset.weight}"]`).textContent = share;
    }
  }
  document.addEventListener("input", (event) => {
    if (event.target.matches("[data-weight]")) showShares(event.target.form);
  });
  wasmway.onLoad.push((find) => find("form[data-body=traffic]").forEach(showShares));
})();

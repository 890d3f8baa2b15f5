// Deploying: files, their plan, and then the deploy itself.
"use strict";
(() => {
  const MANIFEST_BYTES = 256 * 1024;

  function begin(form) {
    const find = (selector) => form.querySelector(selector);
    const show = (selector, is) => { find(selector).hidden = !is; };
    let component = null;

    function refuse(text) {
      const problem = find("[data-problem]");
      problem.textContent = text;
      problem.hidden = !text;
      if (text) problem.scrollIntoView({ block: "nearest" });
    }

    // What was planned is another plan's once anything has changed.
    function forgetPlan() {
      show("[data-step=plan]", false);
      refuse("");
    }

    async function choose(files) {
      forgetPlan();
      for (const file of files) {
        if (file.name.endsWith(".toml")) {
          if (file.size > MANIFEST_BYTES) {
            refuse(`${file.name} is larger than the 256 KiB that a manifest may have`);
            continue;
          }
          const text = await file.text();
          find("#manifest").value = text;
          find("details").open = true;
          const name = /^\s*name\s*=\s*["']([^"']+)["']/m.exec(text);
          if (name) find("#name").value = name[1];
        } else {
          component = file;
          const name = /^([a-z][a-z0-9-]*)\.wasm$/.exec(file.name.replaceAll("_", "-"));
          if (name && !find("#name").value) find("#name").value = name[1];
        }
      }
      if (component) {
        const size = (component.size / 1024).toLocaleString("en", { maximumFractionDigits: 1 });
        find("[data-chosen]").textContent = `${component.name}, ${size} KiB`;
      }
    }

    function body() {
      const parts = new FormData();
      if (find("#manifest").value.trim()) parts.append("manifest", find("#manifest").value);
      parts.append("component", component);
      return parts;
    }

    function address(end) {
      const name = encodeURIComponent(find("#name").value);
      return `/api/v1/functions/${name}${end}?namespace=${encodeURIComponent(find("#namespace").value)}`;
    }

    // Sends it, showing how far that is. By XMLHttpRequest: fetch says nothing of an upload.
    function upload(method, url, title) {
      const progress = find("progress");
      find("[data-progress-title]").textContent = title;
      show("[data-step=progress]", true);
      return new Promise((done, failed) => {
        const request = new XMLHttpRequest();
        request.upload.onprogress = (event) => {
          if (event.lengthComputable) progress.value = (event.loaded / event.total) * 100;
        };
        request.upload.onload = () => { find("[data-progress-title]").textContent = "Compiling"; progress.removeAttribute("value"); };
        request.onload = () => done(new Response(request.status === 204 ? null : request.response, { status: request.status }));
        request.onerror = () => failed(new Error("no answer"));
        request.open(method, url);
        request.responseType = "blob";
        request.send(body());
      }).finally(() => show("[data-step=progress]", false));
    }

    async function ask(method, url, title, then) {
      refuse("");
      if (!component) return refuse("Choose a component first: a .wasm file.");
      const buttons = form.querySelectorAll("[data-plan], [data-go]");
      buttons.forEach((button) => { button.disabled = true; });
      try {
        const answer = await upload(method, url, title);
        if (answer.status === 401) wasmway.toLogin();
        else if (!answer.ok) refuse(await wasmway.problem(answer));
        else then(await answer.json());
      } catch {
        refuse("no answer from the server; look whether it was done before you try again");
      } finally {
        buttons.forEach((button) => { button.disabled = false; });
      }
    }

    function showPlan(plan) {
      const shown = find("[data-plan-shown]");
      shown.replaceChildren(...describe(plan));
      find("#approve").checked = false;
      show("[data-approve]", plan.grows);
      show("[data-step=plan]", true);
      find("[data-step=plan]").scrollIntoView({ block: "nearest" });
      find("[data-go]").focus({ preventScroll: true });
    }

    form.addEventListener("submit", (event) => {
      event.preventDefault();
      event.stopPropagation();
      ask("POST", address("/plan"), "Uploading", showPlan);
    });
    find("[data-go]").addEventListener("click", () => {
      if (!find("[data-approve]").hidden && !find("#approve").checked) {
        return refuse("Tick that you have seen what it could do more, or change the manifest.");
      }
      ask("PUT", `${address("")}&traffic=${find("#traffic").value}`, "Deploying", (deployed) => {
        const version = deployed.deployed_version || deployed.version;
        wasmway.goOn(`/functions/${deployed.namespace}/${deployed.name}`, `Deployed ${deployed.name}, version ${version}`);
      });
    });
    find("#traffic").addEventListener("input", (event) => { find("[data-traffic]").textContent = event.target.value + "%"; });
    find("#files").addEventListener("change", (event) => choose(event.target.files));
    for (const name of ["#name", "#namespace", "#manifest"]) find(name).addEventListener("input", forgetPlan);
    const drop = find("[data-drop]");
    drop.addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
    drop.addEventListener("dragleave", () => drop.classList.remove("over"));
    drop.addEventListener("drop", (event) => {
      event.preventDefault();
      drop.classList.remove("over");
      choose(event.dataTransfer.files);
    });
  }

  function element(name, text, className) {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    if (className) made.className = className;
    return made;
  }

  // A plan, as people read it: all of it as text, whatever is in it.
  function describe(plan) {
    const said = plan.version === null ? "A new function: version 1." : plan.component_changes
      ? `Another component than version ${plan.version}, which answers requests now.`
      : `The same component as version ${plan.version}, which answers requests now.`;
    const shown = [element("p", said)];
    if (plan.differences.length === 0) return [...shown, element("p", "Nothing else changes.", "quiet")];
    const table = element("table");
    const head = table.createTHead().insertRow();
    for (const title of ["What", "Now", "Then", ""]) {
      const cell = element("th", title);
      cell.scope = "col";
      if (title === "") cell.append(element("span", "Whether it can do more", "hidden"));
      head.append(cell);
    }
    const rows = table.createTBody();
    for (const { what, before, after, grows, meaning } of plan.differences) {
      const row = rows.insertRow();
      const first = element("th", what);
      first.scope = "row";
      row.append(first, element("td", before ?? "–", "text"), element("td", after ?? "–", "text"));
      const last = row.insertCell();
      if (grows) last.append(element("span", "can do more", "badge warm"), " ");
      if (meaning) last.append(element("span", meaning, "quiet"));
    }
    const region = element("div", undefined, "table");
    region.tabIndex = 0;
    region.setAttribute("role", "region");
    region.setAttribute("aria-label", "What would change");
    region.append(table);
    return [...shown, region];
  }

  wasmway.onLoad.push((find) => find("form[data-deploy]").forEach(begin));
})();

// A function's log as it is written: one request that does not end, read line by line.
"use strict";
(() => {
  const LINES = 1000;
  const AGAIN_MS = 2000;

  function begin(section) {
    const log = section.querySelector(".log");
    const filter = section.querySelector("#log-filter");
    const stream = section.querySelector("#log-stream");
    const pause = section.querySelector("[data-pause]");
    const state = section.querySelector("[data-state]");
    const reading = new AbortController();
    let held = [];
    let isPaused = false;

    const say = (text) => { if (state.textContent !== text) state.textContent = text; };

    function hides(row) {
      const wanted = filter.value.toLowerCase();
      return (stream.value && row.dataset.stream !== stream.value) || (wanted && !row.dataset.text.includes(wanted));
    }

    function make(line) {
      const row = document.createElement("div");
      row.className = row.dataset.stream = line.stream;
      row.dataset.text = `${line.message} ${line.request_id}`.toLowerCase();
      row.title = `${line.time}, version ${line.version}, request ${line.request_id}`;
      const time = document.createElement("span");
      time.textContent = new Date(line.time).toLocaleTimeString(undefined, { hour12: false });
      const from = document.createElement("span");
      from.textContent = line.stream;
      const message = document.createElement("p");
      message.textContent = line.message;
      row.append(time, from, message);
      row.hidden = hides(row);
      return row;
    }

    // Shows lines that have come, and goes along with them while the end is in sight.
    function show(lines) {
      if (isPaused) {
        held = held.concat(lines).slice(-LINES);
        return say(`Paused: ${held.length} lines wait.`);
      }
      const isAtEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
      log.append(...lines.slice(-LINES).map(make));
      while (log.childElementCount > LINES) log.firstElementChild.remove();
      if (isAtEnd) log.scrollTop = log.scrollHeight;
      say(`Live. The latest ${log.childElementCount} lines.`);
    }

    async function read() {
      const answer = await fetch(section.dataset.logs, { signal: reading.signal });
      if (answer.status === 401) return wasmway.toLogin();
      if (!answer.ok) return say(await wasmway.problem(answer));
      log.replaceChildren();
      let rest = "";
      const text = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { done, value } = await text.read();
        if (done) return;
        const lines = (rest + value).split("\n");
        rest = lines.pop();
        if (lines.length) show(lines.map((line) => JSON.parse(line)));
        if (!section.isConnected) return reading.abort();
      }
    }

    async function keepReading() {
      while (section.isConnected) {
        try {
          await read();
        } catch {
          if (!section.isConnected) return;
          say("No answer from the server; trying again.");
        }
        await new Promise((done) => setTimeout(done, AGAIN_MS));
      }
    }

    const again = () => log.querySelectorAll("div").forEach((row) => { row.hidden = hides(row); });
    filter.addEventListener("input", again);
    stream.addEventListener("change", again);
    pause.addEventListener("click", () => {
      isPaused = !isPaused;
      pause.setAttribute("aria-pressed", String(isPaused));
      pause.textContent = isPaused ? "Go on" : "Pause";
      if (!isPaused) show(held.splice(0));
      else say("Paused.");
    });
    // The request does not end by itself when the page goes.
    const gone = setInterval(() => {
      if (section.isConnected) return;
      clearInterval(gone);
      reading.abort();
    }, 500);
    keepReading();
  }

  wasmway.onLoad.push((find) => find("[data-logs]").forEach(begin));
})();

// Lines over time, by uPlot. Colours are those of the page, light or dark.
"use strict";
(() => {
  const HEIGHT = 190;
  const charts = new Map();

  function short(number) {
    if (number >= 100) return Math.round(number).toLocaleString("en");
    if (number >= 10) return number.toFixed(1);
    return number.toFixed(2);
  }
  const trimmed = (text) => text.replace(/\.0+$|(\.\d*[1-9])0+$/, "$1");

  // As the server writes them.
  const UNITS = {
    rate: (number) => trimmed(short(number)) + "/s",
    cores: (number) => (number === 0 || number >= 0.1 ? trimmed(short(number)) : String(+number.toPrecision(2))) + " cores",
    seconds(number) {
      if (number === 0) return "0 s";
      if (number < 0.0009995) return trimmed((number * 1e6).toFixed(0)) + " µs";
      if (number < 0.9995) return trimmed(short(number * 1e3)) + " ms";
      return trimmed(short(number)) + " s";
    },
    bytes(number) {
      let unit = "B";
      for (const larger of ["KiB", "MiB", "GiB", "TiB"]) {
        if (number < 1024) break;
        number /= 1024;
        unit = larger;
      }
      return trimmed(short(number)) + " " + unit;
    },
  };

  // Bytes are counted in powers of two, and so are the lines behind them.
  const STEPS = { bytes: { incrs: Array.from({ length: 45 }, (_, power) => 2 ** power) } };

  const clock = (at) => new Date(at * 1000).toLocaleTimeString(undefined, { hour12: false });

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();

  function options(place) {
    const text = UNITS[place.dataset.unit];
    const lines = place.dataset.lines.split(",").map((line) => line.split(":"));
    const axis = {
      stroke: colour("quiet"), font: "11px system-ui, sans-serif", ticks: { show: false },
      grid: { stroke: colour("line"), width: 1 },
    };
    return {
      width: Math.max(place.clientWidth, 200), height: HEIGHT, pxAlign: 1,
      hooks: { setCursor: [showLatest] },
      cursor: { y: false, points: { size: 6 }, drag: { x: false, y: false } },
      legend: { live: true },
      scales: { x: { time: true }, y: { range: (_, low, high) => [0, high > 0 ? high * 1.15 : 1] } },
      axes: [
        { ...axis, size: 28, space: 90, values: (_, ticks) => ticks.map(clock) },
        { ...axis, ...STEPS[place.dataset.unit], size: 72, space: 36, values: (_, ticks) => ticks.map((tick) => (tick === null ? "" : text(tick))) },
      ],
      series: [
        { label: "Time", value: (_, at) => (at === null ? "–" : clock(at)) },
        ...lines.map(([label, name], index) => ({
          label, stroke: colour(name), width: 1.75, spanGaps: true,
          fill: index === 0 ? colour(name) + "1f" : undefined,
          points: { show: false },
          value: (_, number) => (number === null || number === undefined ? "–" : text(number)),
        })),
      ],
    };
  }

  // Below the lines stands what is pointed at, or else the latest.
  function showLatest(chart) {
    if (chart.cursor.idx === null || chart.cursor.idx === undefined) chart.setLegend({ idx: chart.data[0].length - 1 });
  }

  // `rows` are the times and one row of values for each line.
  wasmway.draw = (place, rows) => {
    if (!rows.length || rows[0].length < 2) {
      if (!charts.has(place) && !place.firstChild) {
        const empty = document.createElement("p");
        empty.className = "chart-empty";
        empty.textContent = "Nothing to draw yet: calls show here as they come.";
        place.append(empty);
      }
      return;
    }
    let chart = charts.get(place);
    if (!chart) {
      place.replaceChildren();
      chart = new uPlot(options(place), rows, place);
      charts.set(place, chart);
      showLatest(chart);
      return;
    }
    chart.setData(rows);
    showLatest(chart);
    if (Math.abs(chart.width - place.clientWidth) > 1) chart.setSize({ width: place.clientWidth, height: HEIGHT });
  };

  function forget(isGone) {
    for (const [place, chart] of charts) {
      if (isGone(place)) {
        chart.destroy();
        charts.delete(place);
      }
    }
  }
  // Drawn anew in the other colours with the next second.
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => forget(() => true));
  document.addEventListener("htmx:afterSettle", () => forget((place) => !place.isConnected));
})();

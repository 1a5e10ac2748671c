// What the server is, how busy it is, and how long answers have taken lately.
import { html, useEffect, useRef, useState } from "./vendor/preact-htm.js";
import { getKey, server } from "./api.js";
import { Curve } from "./curve.js";
import { bytes, duration, milliseconds } from "./format.js";
import { Paper } from "./setup.js";

const EVERY = 3000; // milliseconds between two readings
const WINDOW = 300; // seconds over which percentiles are taken, once there are ENOUGH of them
const ENOUGH = 60;
const KEPT = 400; // readings: twenty minutes

// [name, {label: text}, number] of each line of Prometheus' text.
function* parse(text) {
  for (const line of text.split("\n")) {
    const found = /^(\w+)(?:\{(.*)\})? ([^ ]+)/.exec(line);
    if (found) yield [found[1], Object.fromEntries([...(found[2] ?? "").matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, key, value]) => [key, value])), Number(found[3])];
  }
}

// {numbers: by name and label, buckets: by strategy} of one reading.
export function readMetrics(text) {
  const numbers = {};
  const buckets = {};
  const batches = {};
  for (const [name, labels, value] of parse(text)) {
    if (name === "tta_request_duration_seconds_bucket") {
      const of = (buckets[labels.strategy] ??= {});
      of[labels.le] = (of[labels.le] ?? 0) + value;
    } else if (!name.endsWith("_bucket")) numbers[`${name}${labels.queue ? `.${labels.queue}` : labels.state ? `.${labels.state}` : ""}`] = value;
    if (name === "tta_batch_size_sum" || name === "tta_batch_size_count") batches[name] = (batches[name] ?? 0) + value; // of all reducers
  }
  return { numbers: { ...numbers, ...batches }, buckets };
}

// The quantile of the observations between two readings of one histogram, interpolated as Prometheus does; null: there are none.
export function quantile(share, now, before = {}) {
  const steps = Object.entries(now).map(([le, count]) => [le === "+Inf" ? Infinity : Number(le), count - (before[le] ?? 0)]).sort((a, b) => a[0] - b[0]);
  const total = steps.at(-1)?.[1] ?? 0;
  if (!total) return null;
  let [low, below] = [0, 0];
  for (const [le, count] of steps) {
    if (count >= share * total) return le === Infinity ? low : low + ((le - low) * (share * total - below)) / Math.max(count - below, 1e-9);
    [low, below] = [le, count];
  }
  return low;
}

export function Service({ active }) {
  const { info, state, strategies, grafana } = server.use();
  const [readings, setReadings] = useState([]); // [{at, numbers, buckets}]
  const [missing, setMissing] = useState("");
  const latest = useRef([]);

  useEffect(() => {
    if (!active || state !== "up") return;
    const read = async () => {
      const reply = await fetch("metrics", { headers: getKey() ? { authorization: `Bearer ${getKey()}` } : {}, cache: "no-store" }).catch(() => null);
      if (!reply?.ok) return setMissing(reply?.status === 401 ? "Its numbers take the token of /metrics." : reply ? "This server does not show its numbers here." : "");
      setMissing("");
      latest.current = [...latest.current, { at: Date.now() / 1000, ...readMetrics(await reply.text()) }].slice(-KEPT);
      setReadings(latest.current);
    };
    read();
    const timer = setInterval(read, EVERY);
    return () => clearInterval(timer);
  }, [active, state]);

  const now = readings.at(-1);
  const start = now && (readings.find((one) => one.at > now.at - WINDOW) ?? now);
  const since = start && now.at - start.at >= ENOUGH ? start : undefined; // before: all since the server began
  const names = now ? Object.keys(now.buckets).sort() : [];
  const rows = names.map((name) => [name, now.buckets[name]["+Inf"] - (since?.buckets[name]?.["+Inf"] ?? 0), quantile(0.5, now.buckets[name], since?.buckets[name]), quantile(0.95, now.buckets[name], since?.buckets[name])]);
  const at = (name) => now?.numbers[name];
  const lately = (name) => (at(name) ?? 0) - (since?.numbers[name] ?? 0);
  const batch = lately("tta_batch_size_count") ? lately("tta_batch_size_sum") / lately("tta_batch_size_count") : null;
  const facts = info && [
    ["Model", info.model], ["Image side", `${info.image_size} px`], ["Dimension", info.dimension], ["Precision", info.precision], ["Device", info.device], ["Version", info.version],
    ...(now ? [["Sessions", (at("tta_sessions.active") ?? 0) + (at("tta_sessions.idle") ?? 0)], ["Waiting calls", at("tta_queue_depth.calls")], ["Waiting frames", at("tta_queue_depth.streams")],
      ["Rows in a batch", batch === null ? "–" : batch.toFixed(1)], ["Waiting rows", at("tta_waiting_rows.tower")], ["Requests in flight", at("tta_inflight_requests")], ["Memory of the process", bytes(at("process_resident_memory_bytes") ?? 0)]] : []),
  ];
  return html`<div class="head"><h2>Service</h2><p class="hint">${{ up: "serving", warming: "warming up", away: "no answer", starting: "connecting" }[state]}</p></div>
    ${facts && html`<dl class="strip">${facts.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`}
    ${missing && html`<p class="hint">${missing}</p>`}
    ${now && html`<h3>Milliseconds from arrival to answer</h3><p class="hint">${since ? `of the last ${duration(now.at - since.at)}` : "since the server began"}</p>
      <div class="scroll" tabindex="0" role="region" aria-label="Latencies"><table><thead><tr><th>Strategy</th><th class="number">Answers</th><th class="number">p50</th><th class="number">p95</th><th>Paper</th></tr></thead>
      <tbody>${rows.map(([name, count, half, most]) => html`<tr key=${name}><th scope="row">${name}</th><td class="number">${count}</td>
        <td class="number">${half === null ? "–" : milliseconds(half)}</td><td class="number">${most === null ? "–" : milliseconds(most)}</td>
        <td class="paper"><${Paper} text=${strategies.find((one) => one.name === name)?.paper ?? ""} /></td></tr>`)}</tbody></table></div>
      ${readings.length > 2 && html`<h3>Requests in flight and rows that wait</h3>
        <${Curve} live=${false} times=${readings.map((one) => one.at)} format=${(value) => value.toFixed(value < 10 ? 1 : 0)} name="Requests in flight and rows that wait, over time"
          lines=${[{ label: "requests", colour: "--accent", values: readings.map((one) => one.numbers.tta_inflight_requests ?? null) }, { label: "rows", colour: "--soft", dash: [4, 4], values: readings.map((one) => one.numbers["tta_waiting_rows.tower"] ?? null) }]} />`}`}
    <p class="links"><a href="docs">REST interface</a>${grafana && html`<a href=${grafana} target="_blank" rel="noreferrer">Grafana</a>`}${!missing && html`<a href="metrics">Metrics</a>`}<a href="v1/info">Facts and limits</a></p>`;
}

// One strategy's answer: its labels, how sure it is, the views that it has used, and what they took.
import { html, useRef, useState } from "./vendor/preact-htm.js";
import { asCamera, asCurl, asPython } from "./copy.js";
import { percent, milliseconds, number } from "./format.js";
import { OVERLAYS, describe as describeMap } from "./overlay.js";

const STAGES = ["decode", "look", "text", "queue", "encode", "turn", "adapt"];
const NONE = "\u0000none"; // no label begins so
export const wordFor = (value) => (value === NONE ? { none_of_these: true } : { label: value });
export const saidBy = (word) => word.label ?? "none of these";

export function Bars({ answer }) {
  const plain = Object.fromEntries(answer.zero_shot.map(({ index, score }) => [index, score]));
  return html`<ol class="bars">
    ${answer.top.map(({ index, label, score }) => html`<li key=${index}>
      <span class="name" title=${label}>${label}</span><span class="number">${percent(score)}</span>
      <span class="bar" aria-hidden="true"><i class="before" style=${{ width: percent(plain[index] ?? 0) }}></i><i style=${{ width: percent(score) }}></i></span>
      <span class="sr">zero-shot ${percent(plain[index] ?? 0)}</span>
    </li>`)}
  </ol>`;
}

export function AnswerColumn({ result, names, labels, reducer, file, lessons, overlay, onOverlay, onView, onWord, busy }) {
  const { choice, answer, problem } = result;
  if (problem) return html`<article class="column"><h3>${choice.name}</h3><p class="problem" role="alert">${problem.field && html`<b>${problem.field}</b> `}${problem.message}</p></article>`;
  if (!answer) return html`<article class="column" aria-busy="true"><h3>${choice.name}</h3><p class="hint">…</p></article>`;
  const [best] = answer.top;
  const kept = answer.explanation?.views.filter((view) => view.kept).length;
  return html`<article class="column" aria-label=${choice.name}>
    <h3>${choice.name}<${CopyMenu} labels=${labels} choice=${choice} file=${file} reducer=${reducer} /></h3>
    <p class="best"><b>${best.label}</b> <span class="number">${percent(best.score)}</span></p>
    <${Bars} answer=${answer} />
    ${notes(answer).map((note) => html`<p class="note">${note}</p>`)}
    <dl class="facts">
      <dt>Confidence</dt><dd>${percent(answer.confidence.confidence)}</dd>
      <dt>Entropy</dt><dd>${number(answer.entropy)} <small>nats</small></dd>
      <dt>Views</dt><dd>${answer.views}${kept !== undefined && answer.views > 1 ? html` <small>${kept} kept</small>` : ""}</dd>
      <dt>Time</dt><dd>${milliseconds(answer.timings.total)} <small>ms</small></dd>
      ${STAGES.map((stage) => html`<dt class="stage">${stage}</dt><dd class="stage">${milliseconds(answer.timings[stage])}</dd>`)}
    </dl>
    ${answer.explanation && html`<${Views} views=${answer.explanation.views} names=${names} onView=${onView} />`}
    ${answer.explanation && html`<${Overlays} map=${answer.explanation.token_map} shown=${overlay} onShow=${onOverlay} />`}
    <${NearestLessons} answer=${answer} lessons=${lessons} />
    ${answer.example_id && html`<${Word} names=${names} best=${best.label} busy=${busy} onWord=${(word) => onWord(answer, word)} />`}
  </article>`;
}

function notes({ degraded, guarded, escalated, unseen = [], session }) {
  const said = [];
  if (degraded) said.push(degraded.zero_shot ? "Degraded to zero-shot." : `Degraded: ${degraded.views_done} of ${degraded.views_asked} views.`);
  if (guarded) said.push("The guard answered without the memory.");
  if (escalated) said.push("The second strategy answered.");
  if (session?.memory_reset) said.push("The memory began anew.");
  if (unseen.length) said.push(`The model was never taught: ${unseen.join(", ")}.`);
  return said;
}

// A cell for each view, darker with its weight; the arrow keys walk through them.
function Views({ views, names, onView }) {
  const [at, setAt] = useState(-1);
  if (views.length < 2) return null;
  const most = Math.max(...views.map((view) => view.weight), 1e-9);
  const look = (index) => {
    setAt(index);
    onView(index < 0 ? null : views[index]);
  };
  const onKeyDown = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: 16, ArrowUp: -16 }[event.key];
    if (event.key === "Escape") look(-1);
    if (!step) return;
    event.preventDefault();
    look(Math.min(views.length - 1, Math.max(0, at + step)));
  };
  const view = views[at];
  return html`<div class="views">
    <div class="cells" tabindex="0" role="slider" aria-label="Views" aria-valuemin="1" aria-valuemax=${views.length} aria-valuenow=${Math.max(at, 0) + 1}
      aria-valuetext=${view ? describe(view, at, names) : "none chosen"} onKeyDown=${onKeyDown} onMouseLeave=${() => look(-1)} onBlur=${() => look(-1)}>
      ${views.map((one, index) => html`<i class="${one.kept ? "kept" : ""} ${index === at ? "at" : ""}" style=${{ "--weight": one.weight / most }} onMouseEnter=${() => look(index)} onClick=${() => look(index)}></i>`)}
    </div>
    <p class="hint">${view ? describe(view, at, names) : "Point at a view to see its crop."}</p>
  </div>`;
}

// What the photo shows of the image tower.
function Overlays({ map, shown, onShow }) {
  if (!map) return html`<p class="hint">This server's image tower does not show where it looked.</p>`;
  return html`<div class="overlays"><div class="row" role="group" aria-label="Show on the photo">
      ${Object.entries(OVERLAYS).map(([kind, title]) => html`<button type="button" aria-pressed=${shown === kind} onClick=${() => onShow(shown === kind ? "" : kind)}>${title}</button>`)}
    </div>${shown && html`<p class="hint">${describeMap(shown, map)}</p>`}</div>`;
}

const describe = (view, index, names) =>
  `${index ? `view ${index}` : "plain view"}: ${names[view.label_index]}, ${view.kept ? `weight ${percent(view.weight)}` : "left out"}, ${number(view.entropy)} nats${view.flipped ? ", flipped" : ""}`;

function NearestLessons({ answer, lessons }) {
  const said = answer.explanation?.strategy ?? {};
  const known = lessons.filter((lesson) => lesson.label_set_id === answer.label_set_id);
  const near = [1, 2, 3].filter((i) => `lesson_${i}` in said).map((i) => ({ lesson: known[said[`lesson_${i}`]], weight: said[`weight_${i}`] }));
  if (!near.length) return null;
  return html`<div class="near"><h4>Nearest lessons</h4><ul>
    ${near.map(({ lesson, weight }) => html`<li>
      ${lesson?.url ? html`<img src=${lesson.url} alt="" />` : html`<span class="noimage" />`}
      <span class="name">${lesson ? lesson.label || "none of these" : "an earlier lesson"}</span>
      <span class="number">${weight >= 0 ? "+" : "−"}${number(Math.abs(weight))} <small>nats</small></span>
    </li>`)}
  </ul></div>`;
}

// "Right", or "wrong, it is …".
export function Word({ names, best, busy, onWord }) {
  return html`<div class="word">
    <button type="button" disabled=${busy} onClick=${() => onWord({ label: best })}>Right</button>
    <select aria-label="Wrong, it is" disabled=${busy} value="" onChange=${({ target }) => {
      const { value } = target;
      target.value = "";
      if (value) onWord(wordFor(value));
    }}>
      <option value="">Wrong, it is …</option>
      ${names.filter((name) => name !== best).map((name) => html`<option value=${name}>${name}</option>`)}
      <option value=${NONE}>none of these</option>
    </select>
  </div>`;
}

function CopyMenu({ labels, choice, file, reducer }) {
  const [copied, setCopied] = useState("");
  const menu = useRef();
  const copy = (what, text) => async () => {
    await navigator.clipboard.writeText(text).catch(() => window.prompt("Copy this:", text));
    setCopied(what);
    menu.current.open = false;
    setTimeout(() => setCopied(""), 2000);
  };
  return html`<details class="menu" ref=${menu} onKeyDown=${(event) => event.key === "Escape" && (menu.current.open = false)}>
    <summary>${copied ? "copied" : "copy as"}</summary>
    <div>
      <button type="button" onClick=${copy("curl", asCurl(labels, choice, file, reducer))}>curl</button>
      <button type="button" onClick=${copy("Python", asPython(labels, choice, file, reducer))}>Python</button>
      <button type="button" onClick=${copy("tta-camera", asCamera(labels, choice, reducer))}>tta-camera</button>
    </div>
    <span class="sr" role="status">${copied && `copied as ${copied}`}</span>
  </details>`;
}

// A camera's stream, answered while it runs, by up to two strategies on the same frames.
import { html, useEffect, useRef, useState } from "./vendor/preact-htm.js";
import { askForKey, server, sessionPath, unlearn } from "./api.js";
import { Bars, Word, saidBy } from "./answer.js";
import { Curve } from "./curve.js";
import { milliseconds, percent } from "./format.js";
import { LabelsField, StrategiesField, labelSetOf, liveChoice, session, setup } from "./setup.js";
import { fromFile, fromPhotos, fromWebcam } from "./sources.js";
import { CameraStream } from "./stream.js";

const KEPT = 400; // points of the curve
const SHOWN = 100; // milliseconds between two looks at what has come
const COLOURS = ["--accent", "--second"];

// What has come of one stream; the page looks at it ten times a second.
const nothing = () => ({ state: "", columns: {}, times: [], scores: [], marks: [], dropped: 0 });

export function Live({ active }) {
  const { state: connection } = server.use();
  const { chosen } = liveChoice.use();
  const [source, setSource] = useState(null);
  const [labels, setLabels] = useState(null);
  const [watched, setWatched] = useState("");
  const [said, setSaid] = useState(null);
  const [problem, setProblem] = useState("");
  const [, look] = useState(0);
  const stage = useRef();
  const video = useRef();
  const photos = useRef();
  const stream = useRef(null);
  const come = useRef(nothing());

  const stop = () => {
    stream.current?.close();
    source?.stop();
    stream.current = null;
    setSource(null);
  };
  const start = async (open) => {
    stop();
    setProblem("");
    setSaid(null);
    try {
      const set = labelSetOf(setup.value);
      if (!set.names.length) throw new Error("Type the labels to choose from.");
      if (!liveChoice.value.chosen.length) throw new Error("Tick a strategy.");
      const opened = await open();
      come.current = nothing();
      setLabels(set);
      setWatched("");
      setSource(opened);
      stream.current = new CameraStream({
        labels: set, session: session.value.id, grab: opened.grab, choices: () => liveChoice.value.chosen,
        onAnswer: (one) => receive(come.current, one),
        onLesson: (result) => {
          if (result.status?.code) setProblem(result.status.message);
          else setSaid((now) => now && { ...now, example: result.example_id });
        },
        onState: (state, why) => {
          come.current.state = state;
          if (why) setProblem(`${why.field ? `${why.field}: ` : ""}${why.detail}`);
          if (why?.status === 401) askForKey(why.detail);
        },
      });
    } catch (error) {
      setProblem(error.message);
    }
  };
  const onWord = (id, word) => {
    setProblem("");
    setSaid({ text: saidBy(word) });
    if (word.label) setWatched(word.label);
    come.current.marks.push(Date.now() / 1000);
    stream.current.teach(id, word);
  };
  const undo = () => unlearn(session.value.id, [said.example]).then(() => setSaid(null), (error) => setProblem(error.message));

  useEffect(() => {
    if (!source) return;
    stage.current.replaceChildren(source.element);
    const timer = setInterval(() => look((count) => count + 1), SHOWN);
    return () => clearInterval(timer);
  }, [source]);
  useEffect(() => {
    if (!active && source) stop(); // no camera stays on behind another tab
  }, [active]);

  const { state, columns, times, scores, marks, dropped } = come.current;
  const shown = chosen.filter(({ name }) => columns[name]);
  const label = watched || shown.map(({ name }) => columns[name].answer?.top[0].label).find(Boolean);
  const index = labels?.names.indexOf(label);
  const lines = shown.flatMap(({ name }, i) => [{ label: name, colour: COLOURS[i], values: scores.map((one) => one[name]?.[index] ?? null) }]);
  if (lines.length) lines.push({ label: "zero-shot", colour: "--soft", dash: [4, 4], values: scores.map((one) => one.plain?.[index] ?? null) });

  return html`<div class="split">
    <div class="panel">
      <div class="field">
        <div class="picture ${source ? "" : "blank"}" ref=${stage}>${source ? null : html`<p>A camera's frames are answered while it runs</p>`}</div>
        <div class="row">
          ${source ? html`<button type="button" class="primary" onClick=${stop}>Stop</button>`
            : html`<button type="button" class="primary" disabled=${connection !== "up"} onClick=${() => start(fromWebcam)}>Webcam</button>
              <button type="button" disabled=${connection !== "up"} onClick=${() => video.current.click()}>Video file</button>
              <button type="button" disabled=${connection !== "up"} title="A virtual camera that drifts over photos of yours" onClick=${() => photos.current.click()}>Photos</button>`}
          <input ref=${video} type="file" accept="video/*" hidden aria-label="Video" onChange=${({ target }) => pick(target, ([file]) => start(() => fromFile(file)))} />
          <input ref=${photos} type="file" accept="image/*" multiple hidden aria-label="Photos" onChange=${({ target }) => pick(target, (files) => start(() => fromPhotos(files)))} />
        </div>
        ${problem && html`<p class="problem" role="alert">${problem}</p>`}
      </div>
      <fieldset disabled=${Boolean(source)}><${LabelsField} id="live-labels" /></fieldset>
      <${StrategiesField} of=${liveChoice} most=${2} id="live" />
    </div>
    <div class="results">
      ${source && html`<dl class="strip">
        <div><dt>State</dt><dd class="word-of-state">${{ running: "live", connecting: "connecting", away: "no answer, trying again", refused: "refused" }[state]}</dd></div>
        <div><dt>Camera frames</dt><dd>${source.seen}</dd></div><div><dt>Sent</dt><dd>${stream.current?.sent ?? 0}</dd></div>
        <div><dt>Not looked at</dt><dd>${Math.max(0, source.seen - (stream.current?.sent ?? 0)) + dropped}</dd></div>
      </dl>`}
      ${said && html`<p class="said" role="status">Taught: <b>${said.text}</b>. ${said.example && html`<button type="button" class="link" onClick=${undo}>Undo</button>`}</p>`}
      ${shown.length ? html`<div class="columns">${shown.map(({ name }) => html`<${LiveColumn} key=${name} name=${name} one=${columns[name]} names=${labels.names} running=${Boolean(source)} onWord=${onWord} />`)}</div>
        <div class="learnt"><label>What was learnt: probability of <select value=${label} onChange=${({ target }) => setWatched(target.value)}>
          ${labels.names.map((name) => html`<option key=${name} value=${name}>${name}</option>`)}</select></label>
          <${Curve} times=${times} lines=${lines} marks=${marks} top=${1} format=${(value) => `${Math.round(100 * value)}%`} name="Probability of ${label} over time, by strategy and without adaptation" /></div>`
        : html`<div class="empty"><h2>Point a camera at something</h2><p>Tick two strategies to see both on the same frames, and change them while it runs. Your word about a frame is learnt at once.</p></div>`}
    </div>
  </div>`;
}

function LiveColumn({ name, one, names, running, onWord }) {
  const [held, setHeld] = useState(null); // the frame that a person is about to judge
  const { id, answer, age, rate, problem } = held ?? one;
  if (!answer) return html`<article class="column"><h3>${name}</h3><p class="problem">${problem}</p></article>`;
  const [best] = answer.top;
  const bars = { top: answer.top.slice(0, 6), zero_shot: answer.zero_shot };
  return html`<article class="column" aria-label=${name}>
    <h3>${name}</h3>
    <p class="best"><b>${best.label}</b> <span class="number">${percent(best.score)}</span></p>
    <${Bars} answer=${bars} />
    <dl class="facts">
      <dt>Stable label</dt><dd class="stable">${answer.confidence.stable_label || "–"}</dd>
      <dt>Confidence</dt><dd>${percent(answer.confidence.confidence)}</dd>
      <dt>Age</dt><dd>${Math.round(age)} <small>ms</small></dd>
      <dt>Frames</dt><dd>${rate.toFixed(1)} <small>a second</small></dd>
      <dt>Adaptation</dt><dd>${milliseconds(answer.timings.adapt)} <small>ms</small></dd>
    </dl>
    ${running && html`<div onPointerDown=${() => setHeld(one)} onFocusIn=${() => setHeld(one)} onFocusOut=${() => setHeld(null)}>
      <${Word} names=${names} best=${best.label} onWord=${(word) => {
        setHeld(null);
        onWord(id, word);
      }} /></div>`}
  </article>`;
}

function receive(come, { name, id, age, dropped, answer, problem }) {
  const now = Date.now() / 1000;
  const before = come.columns[name];
  const gap = before ? now - before.at : 0;
  const mean = before?.gap ? 0.9 * before.gap + 0.1 * gap : gap;
  come.columns[name] = { id, age, answer, problem, at: now, gap: mean, rate: mean ? 1 / mean : 0 };
  come.dropped += dropped;
  if (!answer) return;
  const bySet = (top) => top.reduce((row, { index, score }) => ((row[index ?? 0] = score), row), []);
  come.times.push(now);
  come.scores.push({ [name]: bySet(answer.top), plain: bySet(answer.zero_shot) });
  if (come.times.length > KEPT) {
    come.times = come.times.slice(-KEPT);
    come.scores = come.scores.slice(-KEPT);
  }
}

function pick(input, use) {
  const files = [...input.files];
  input.value = "";
  if (files.length) use(files);
}

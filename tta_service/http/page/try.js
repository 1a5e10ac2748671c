// One photo, answered by several strategies side by side.
import { html, useEffect, useRef, useState } from "./vendor/preact-htm.js";
import { call, listAll, server, sessionPath, teach, unlearn } from "./api.js";
import { AnswerColumn, saidBy } from "./answer.js";
import { openCamera, pictureIn, readPicture, toJpeg } from "./picture.js";
import { Overlay } from "./overlay.js";
import { LabelsField, ReducerField, StrategiesField, labelSetOf, newSessionId, session, setup } from "./setup.js";

const pictures = new Map(); // URLs of the pictures that this page has taught, by example
const FIT = 600; // milliseconds: what a lesson changes slowly is mostly done then, and the photo is answered again

export function Try({ active }) {
  const given = setup.use();
  const { id } = session.use();
  const { state } = server.use();
  const [picture, setPicture] = useState(null);
  const [results, setResults] = useState([]);
  const [asked, setAsked] = useState(null); // {labels, reducer} of the results
  const [lessons, setLessons] = useState([]);
  const [said, setSaid] = useState(null); // {text, example} of the last lesson
  const [view, setView] = useState(null);
  const [overlay, setOverlay] = useState({ name: "", kind: "" }); // whose map the photo shows, and which
  const [problem, setProblem] = useState("");
  const [busy, setBusy] = useState(false);
  const newest = useRef(0);

  const ask = async (shown = picture) => {
    if (!shown) return setProblem("Choose a photo first.");
    const { chosen, reducer } = setup.value;
    let labels;
    try {
      labels = labelSetOf(setup.value);
      if (!labels.names.length) throw new Error("Type the labels to choose from.");
      if (!chosen.length) throw new Error("Tick a strategy.");
    } catch (error) {
      return setProblem(error.message);
    }
    const run = ++newest.current;
    setProblem("");
    setView(null);
    setAsked({ labels, reducer });
    setBusy(true);
    setResults(chosen.map((choice) => ({ choice })));
    const show = (choice, found) => run === newest.current && setResults((now) => now.map((one) => (one.choice === choice ? { choice, ...found } : one)));
    await Promise.all(chosen.map(async (choice) => {
      const form = new FormData();
      form.append("image", shown.blob, shown.name);
      form.append("labels", JSON.stringify({ label_set: labels }));
      form.append("options", JSON.stringify({ strategy: choice, reduction: { reducer: { name: reducer } }, explain: true, top_k: Math.min(labels.names.length, 8) }));
      form.append("session_id", session.value.id);
      await call("POST", "v1/classify", form).then((answer) => show(choice, { answer }), (error) => show(choice, { problem: error }));
    }));
    if (run === newest.current) setBusy(false);
  };

  const take = async (file, name) => {
    if (!file) return;
    try {
      const read = await readPicture(file, name);
      setPicture(read);
      setSaid(null);
      await ask(read);
    } catch (error) {
      setProblem(error.message);
    }
  };

  const change = async (work) => {
    setBusy(true);
    try {
      await work();
      await new Promise((done) => setTimeout(done, FIT));
      setLessons((await listAll(sessionPath(id, "/lessons"), "lessons")).map((lesson) => ({ ...lesson, url: pictures.get(lesson.example_id) })));
      await ask();
    } catch (error) {
      setProblem(error.message);
    }
    setBusy(false);
  };
  const onWord = (answer, word) => change(async () => {
    const [{ example_id }] = await teach(id, [{ example_id: answer.example_id, ...word }]);
    pictures.set(example_id, picture.url);
    setSaid({ text: saidBy(word), example: example_id });
  });
  const onUndo = () => change(async () => {
    await unlearn(id, [said.example]);
    setSaid(null);
  });
  const forget = () => {
    call("DELETE", sessionPath(id)).catch(() => {}); // a session that was never used does not exist
    session.set({ id: newSessionId() });
    setLessons([]);
    setSaid(null);
    setResults([]);
  };

  useEffect(() => {
    if (!active) return;
    const paste = (event) => pictureIn(event.clipboardData) && take(pictureIn(event.clipboardData), "pasted.png");
    const keep = (event) => event.preventDefault(); // a photo that misses its place does not replace the page
    const drop = (event) => {
      event.preventDefault();
      take(pictureIn(event.dataTransfer));
    };
    const handlers = { paste, dragover: keep, drop };
    for (const [name, handler] of Object.entries(handlers)) document.addEventListener(name, handler);
    return () => Object.entries(handlers).forEach(([name, handler]) => document.removeEventListener(name, handler));
  }, [active]);

  const mapped = results.find(({ choice }) => choice.name === overlay.name)?.answer?.explanation;
  return html`<div class="split">
    <form class="panel" onSubmit=${(event) => {
      event.preventDefault();
      ask();
    }}>
      <${PictureField} picture=${picture} view=${view} overlay=${overlay.kind && mapped?.token_map && { kind: overlay.kind, map: mapped.token_map, box: mapped.views[0] }} onTake=${take} onProblem=${setProblem} />
      <${LabelsField} id="try-labels" />
      <${StrategiesField} />
      <${ReducerField} />
      <button class="primary" disabled=${busy || state !== "up"}>Answer</button>
      ${problem && html`<p class="problem" role="alert">${problem}</p>`}
      <p class="hint">Session <code>${id}</code>${lessons.length ? `, ${lessons.length} lesson${lessons.length > 1 ? "s" : ""}` : ""}.${" "}
        <button type="button" class="link" onClick=${forget}>Begin anew</button></p>
    </form>
    <div class="results" aria-live="polite">
      ${said && html`<p class="said" role="status">Taught: <b>${said.text}</b>. <button type="button" class="link" disabled=${busy} onClick=${onUndo}>Undo</button></p>`}
      ${results.length ? html`<div class="columns">
          ${results.map((result) => html`<${AnswerColumn} key=${result.choice.name} result=${result} names=${asked.labels.names} labels=${asked.labels} reducer=${asked.reducer} file=${picture.name} lessons=${lessons}
            overlay=${overlay.name === result.choice.name ? overlay.kind : ""} onOverlay=${(kind) => setOverlay({ name: result.choice.name, kind })} onView=${setView} onWord=${onWord} busy=${busy} />`)}
        </div>
        <p class="legend"><i class="before"></i> zero-shot <i></i> adapted</p>` : html`<div class="empty"><h2>Drop a photo</h2>
          <p>Each strategy answers in a column of its own. Say what is wrong, and those that can be taught learn it at once.</p></div>`}
    </div>
  </div>`;
}

function PictureField({ picture, view, overlay, onTake, onProblem }) {
  const file = useRef();
  const video = useRef();
  const [camera, setCamera] = useState(null);
  useEffect(() => {
    if (!camera) return;
    video.current.srcObject = camera;
    return () => camera.getTracks().forEach((track) => track.stop());
  }, [camera]);
  const shoot = async () => {
    const { videoWidth, videoHeight } = video.current;
    const blob = await toJpeg(video.current, videoWidth, videoHeight, 1280);
    setCamera(null);
    onTake(blob, "camera.jpg");
  };
  const box = view && { left: `${100 * view.left}%`, top: `${100 * view.top}%`, width: `${100 * view.width}%`, height: `${100 * view.height}%` };
  return html`<div class="field">
    <div class="picture ${picture || camera ? "" : "blank"}">
      ${camera ? html`<video ref=${video} autoplay muted playsinline aria-label="Camera"></video>`
        : picture ? html`<div class="frame"><img src=${picture.url} alt=${`The photo ${picture.name}`} />${overlay && !box && html`<${Overlay} ...${overlay} />`}${box && html`<i class="crop ${view.kept ? "kept" : ""}" style=${box}></i>`}</div>`
        : html`<p>Drop or paste a photo here</p>`}
    </div>
    <div class="row">
      <button type="button" onClick=${() => file.current.click()}>Choose a photo</button>
      ${camera ? html`<button type="button" class="primary" onClick=${shoot}>Take it</button><button type="button" onClick=${() => setCamera(null)}>Cancel</button>`
        : html`<button type="button" onClick=${() => openCamera().then(setCamera, (error) => onProblem(error.message))}>Use the camera</button>`}
      <input ref=${file} type="file" accept="image/*" hidden aria-label="Photo" onChange=${({ target }) => {
        onTake(target.files[0]);
        target.value = "";
      }} />
    </div>
  </div>`;
}

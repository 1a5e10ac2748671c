// What the sessions of this owner hold, and what one may do with them.
import { html, useEffect, useRef, useState } from "./vendor/preact-htm.js";
import { call, listAll, server, sessionPath } from "./api.js";
import { bytes, duration } from "./format.js";

const seconds = (text) => duration(parseFloat(text));

export function Sessions({ active }) {
  const [found, setFound] = useState(null);
  const [problem, setProblem] = useState("");
  const [said, setSaid] = useState("");
  const { state, info } = server.use();
  const file = useRef();

  const load = () => listAll("v1/sessions", "sessions").then((list) => (setFound(list), setProblem("")), (error) => setProblem(error.message));
  useEffect(() => {
    if (!active || state !== "up" || !info) return;
    load();
    const timer = setInterval(load, 3000);
    return () => clearInterval(timer);
  }, [active, state, info]);

  const run = (what, work) => async () => {
    try {
      await work();
      setSaid(what);
      await load();
    } catch (error) {
      setProblem(error.message);
    }
  };
  const snapshot = async (id) => {
    const { snapshot } = await call("GET", sessionPath(id, "/snapshot"));
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([JSON.stringify(snapshot)], { type: "application/json" }));
    link.download = `${id}.session.json`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };
  const restore = async (chosen) => {
    if (!chosen) return;
    const given = await chosen.text().then(JSON.parse).catch(() => null);
    if (!given?.session_id) throw new Error(`${chosen.name} is no snapshot of a session.`);
    await call("PUT", sessionPath(given.session_id, "/snapshot"), given);
    setSaid(`${given.session_id} is restored.`);
    await load();
  };

  return html`<div class="head"><h2>Sessions</h2>
      <button type="button" onClick=${() => file.current.click()}>Restore a snapshot</button>
      <input ref=${file} type="file" accept=".json,application/json" hidden aria-label="Snapshot" onChange=${({ target }) => {
        restore(target.files[0]).catch((error) => setProblem(error.message));
        target.value = "";
      }} />
      <p role="status" class="hint">${said}</p></div>
    ${problem && html`<p class="problem" role="alert">${problem}</p>`}
    ${found && !found.length && html`<p class="empty">No session is open. One begins with the first call or stream that names it.</p>`}
    ${found?.length > 0 && html`<div class="scroll" tabindex="0" role="region" aria-label="Sessions"><table>
      <thead><tr><th>Session</th><th>Strategies</th>${["Frames", "Memory", "Lessons", "Questions", "Idle", "Age"].map((name) => html`<th class="number">${name}</th>`)}<th><span class="sr">Actions</span></th></tr></thead>
      <tbody>${found.map((one) => html`<tr key=${one.session_id}>
        <th scope="row">${one.session_id}${one.lesson_group && html`<small> in ${one.lesson_group}</small>`}</th>
        <td>${one.strategies.join(", ")}</td>
        <td class="number">${Number(one.frames).toLocaleString("en")}</td><td class="number">${bytes(Number(one.memory_bytes))}</td>
        <td class="number">${one.lessons}${one.lessons_set_apart ? html` <small>${one.lessons_set_apart} apart</small>` : ""}</td><td class="number">${one.questions}</td>
        <td class="number">${seconds(one.idle)}</td><td class="number">${seconds(one.age)}</td>
        <td class="actions">
          <button type="button" aria-label="Snapshot of ${one.session_id}" onClick=${run(`The snapshot of ${one.session_id} is downloaded.`, () => snapshot(one.session_id))}>Snapshot</button>
          <${Sure} name="Reset" of=${one.session_id} onSure=${run(`${one.session_id} has forgotten what it learnt.`, () => call("POST", sessionPath(one.session_id, "/reset")))} />
          <${Sure} name="Close" of=${one.session_id} onSure=${run(`${one.session_id} is closed.`, () => call("DELETE", sessionPath(one.session_id)))} />
        </td></tr>`)}</tbody></table></div>`}`;
}

// A button that asks once more.
function Sure({ name, of, onSure }) {
  const [asked, setAsked] = useState(false);
  return html`<button type="button" class=${asked ? "sure" : ""} aria-label="${name} ${of}${asked ? ", sure?" : ""}" onBlur=${() => setAsked(false)} onClick=${() => (asked ? onSure() : 0, setAsked(!asked))}>${asked ? "Sure?" : name}</button>`;
}

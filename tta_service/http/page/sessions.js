// What the sessions of this owner hold, and what one may do with them.
import { html, useEffect, useRef, useState } from "./vendor/preact-htm.js";
import { call, listAll, server, sessionPath } from "./api.js";
import { bytes, duration } from "./format.js";

const seconds = (text) => duration(parseFloat(text));

export function Sessions({ active }) {
  const [found, setFound] = useState(null);
  const [problem, setProblem] = useState("");
  const [said, setSaid] = useState("");
  const [all, setAll] = useState(false); // sessions of all owners, for admins
  const [mine, setMine] = useState(null); // the caller's own owner
  const { state, info } = server.use();
  const file = useRef();

  const load = () => Promise.all([listAll("v1/sessions", "sessions"), all ? listAll("v1/sessions?all_owners=true", "sessions") : null]).then(([own, every]) => {
    setMine(own[0]?.owner ?? null);
    setFound(every ?? own);
    setProblem("");
  }, (error) => (setFound(null), setProblem(error.message)));
  useEffect(() => {
    if (!active || state !== "up" || !info) return;
    load();
    const timer = setInterval(load, 3000);
    return () => clearInterval(timer);
  }, [active, state, info, all]);

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
    const read = await chosen.text().then(JSON.parse).catch(() => null);
    const given = read?.snapshot ?? read;
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
      <label class="row"><input type="checkbox" checked=${all} onChange=${({ target }) => setAll(target.checked)} /> of all owners <small>for admins</small></label>
      <p role="status" class="hint">${said}</p></div>
    ${problem && html`<p class="problem" role="alert">${problem}</p>`}
    ${found && !found.length && html`<p class="empty">No session is open. One begins with the first call or stream that names it.</p>`}
    ${found?.length > 0 && html`<div class="scroll" tabindex="0" role="region" aria-label="Sessions"><table>
      <thead><tr><th>Session</th><th>Strategies</th>${all && html`<th>Owner</th>`}${["Frames", "Memory", "Flips", "Drift", "Deferred", "Lessons", "Questions", "Idle", "Age"].map((name) => html`<th class="number">${name}</th>`)}<th><span class="sr">Actions</span></th></tr></thead>
      <tbody>${found.map((one) => html`<tr key="${one.owner} ${one.session_id}">
        <th scope="row">${one.session_id}${one.lesson_group && html`<small> in ${one.lesson_group}</small>`}</th>
        <td>${one.strategies.join(", ")}</td>${all && html`<td>${one.owner || "–"}</td>`}
        <td class="number">${Number(one.frames).toLocaleString("en")}</td><td class="number">${bytes(Number(one.memory_bytes))}</td>
        <td class="number">${Number(one.flips).toLocaleString("en")}</td><td class="number">${one.drift === undefined ? "–" : html`${one.drift.toFixed(1)} <small>σ</small>`}</td><td class="number">${Number(one.deferred).toLocaleString("en")}</td>
        <td class="number">${one.lessons}${one.lessons_set_apart ? html` <small>${one.lessons_set_apart} apart</small>` : ""}</td><td class="number">${one.questions}</td>
        <td class="number">${seconds(one.idle)}</td><td class="number">${seconds(one.age)}</td>
        <td class="actions">${one.owner === mine && html`
          <button type="button" aria-label="Snapshot of ${one.session_id}" onClick=${run(`The snapshot of ${one.session_id} is downloaded.`, () => snapshot(one.session_id))}>Snapshot</button>
          <${Sure} name="Reset" of=${one.session_id} onSure=${run(`${one.session_id} has forgotten what it learnt.`, () => call("POST", sessionPath(one.session_id, "/reset")))} />
          <${Sure} name="Close" of=${one.session_id} onSure=${run(`${one.session_id} is closed.`, () => call("DELETE", sessionPath(one.session_id)))} />`}
        </td></tr>`)}</tbody></table></div>
      <p class="hint">Flips: answers whose label adaptation changed. Drift: by how many standard deviations recent pictures fit the labels less than the session's first 256. Deferred: answers left to a person.</p>`}`;
}

// A button that asks once more.
function Sure({ name, of, onSure }) {
  const [asked, setAsked] = useState(false);
  return html`<button type="button" class=${asked ? "sure" : ""} aria-label="${name} ${of}${asked ? ", sure?" : ""}" onBlur=${() => setAsked(false)} onClick=${() => (asked ? onSure() : 0, setAsked(!asked))}>${asked ? "Sure?" : name}</button>`;
}

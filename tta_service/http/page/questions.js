// Pictures that wait for a person's word: one label for many, and back again.
import { html, useEffect, useRef, useState } from "./vendor/preact-htm.js";
import { call, listAll, server, sessionPath, teach, unlearn } from "./api.js";
import { saidBy } from "./answer.js";
import { percent } from "./format.js";

export function Questions({ active }) {
  const [of, setOf] = useState(""); // "session NAME" or "group NAME"
  const [places, setPlaces] = useState([]);
  const [asked, setAsked] = useState([]);
  const [names, setNames] = useState([]);
  const [chosen, setChosen] = useState(new Set());
  const [done, setDone] = useState(null); // {text, lessons: [[session, example]], asked} of the last word
  const [problem, setProblem] = useState("");
  const { state, info } = server.use();
  const anchor = useRef(-1);

  const guard = (work) => work().then(() => setProblem(""), (error) => setProblem(error.message));
  const load = async (place = of) => {
    const sessions = await listAll("v1/sessions", "sessions");
    const groups = [...new Set(sessions.map((one) => one.lesson_group).filter(Boolean))].sort();
    const waiting = sessions.filter((one) => one.questions);
    const found = [...groups.map((name) => ["group", name]), ...waiting.map((one) => ["session", one.session_id, one.questions])];
    setPlaces(found);
    const here = found.some(([kind, name]) => `${kind} ${name}` === place) ? place : found.length ? found[0].slice(0, 2).join(" ") : "";
    setOf(here);
    const [kind, name] = [here.slice(0, here.indexOf(" ")), here.slice(here.indexOf(" ") + 1)];
    const list = here ? await listAll(`v1/${kind}s/${encodeURIComponent(name)}/questions?thumbnails=true`, "questions") : [];
    const known = {};
    for (const id of new Set(list.map((one) => one.label_set_id))) {
      const set = await call("GET", `v1/label-sets/${id}`).catch(() => null); // given with the call, it is not registered
      known[id] = set?.label_set.names ?? [...new Set(list.filter((one) => one.label_set_id === id).flatMap((one) => one.top.map((score) => score.label)))];
    }
    setNames([...new Set(Object.values(known).flat())]);
    setAsked(list);
    setChosen((now) => new Set([...now].filter((id) => list.some((one) => one.example_id === id))));
  };
  useEffect(() => {
    if (active && state === "up" && info) guard(load);
  }, [active, state, info]);

  const pick = (index, event) => {
    const next = new Set(chosen);
    const from = event.shiftKey && anchor.current >= 0 ? Math.min(anchor.current, index) : index;
    const to = event.shiftKey && anchor.current >= 0 ? Math.max(anchor.current, index) : index;
    const on = event.shiftKey || !chosen.has(asked[index].example_id);
    for (const one of asked.slice(from, to + 1)) on ? next.add(one.example_id) : next.delete(one.example_id);
    anchor.current = index;
    setChosen(next);
  };
  const say = (word) => guard(async () => {
    const answered = asked.filter((one) => chosen.has(one.example_id));
    const lessons = [];
    for (const session of new Set(answered.map((one) => one.session_id))) {
      const its = answered.filter((one) => one.session_id === session);
      const results = await teach(session, its.map((one) => ({ example_id: one.example_id, ...word })));
      lessons.push(...results.map((result) => [session, result.example_id]));
    }
    setDone({ text: `${lessons.length} taught: ${saidBy(word)}.`, lessons });
    setChosen(new Set());
    await load();
  });
  const undo = () => guard(async () => {
    for (const session of new Set(done.lessons.map(([name]) => name))) {
      await unlearn(session, done.lessons.filter(([name]) => name === session).map(([, example]) => example));
    }
    setDone(null);
    await load();
  });

  return html`<div class="head"><h2>Questions</h2>
      ${places.length > 0 && html`<label>of <select value=${of} onChange=${({ target }) => guard(() => load(target.value))}>
        ${places.map(([kind, name, count]) => html`<option key="${kind} ${name}" value="${kind} ${name}">${kind} ${name}${count ? ` (${count})` : ""}</option>`)}
      </select></label>`}
      <button type="button" onClick=${() => guard(load)}>Look again</button>
    </div>
    ${problem && html`<p class="problem" role="alert">${problem}</p>`}
    ${done && html`<p class="said" role="status">${done.text} <button type="button" class="link" onClick=${undo}>Undo</button></p>`}
    ${!asked.length && html`<p class="empty">Nothing waits for your word. A call or a frame with the option “ask” becomes a question.</p>`}
    ${asked.length > 0 && html`
      <div class="bar-of-words" role="toolbar" aria-label="What the chosen pictures show">
        <b class="number">${chosen.size} of ${asked.length}</b>
        <button type="button" class="link" onClick=${() => setChosen(new Set(chosen.size < asked.length ? asked.map((one) => one.example_id) : []))}>${chosen.size < asked.length ? "all" : "none"}</button>
        ${names.map((name) => html`<button type="button" key=${name} disabled=${!chosen.size} onClick=${() => say({ label: name })}>${name}</button>`)}
        <button type="button" disabled=${!chosen.size} onClick=${() => say({ none_of_these: true })}>none of these</button>
        <form class="row" onSubmit=${(event) => {
          event.preventDefault();
          say({ label: event.target.elements.other.value.trim() });
        }}><input name="other" aria-label="Another label" placeholder="another label" required /><button disabled=${!chosen.size}>Teach</button></form>
      </div>
      <ul class="grid">
        ${asked.map((one, index) => html`<li key=${one.example_id}>
          <button type="button" class="card" aria-pressed=${chosen.has(one.example_id)} onClick=${(event) => pick(index, event)}>
            ${one.thumbnail ? html`<img src="data:image/jpeg;base64,${one.thumbnail}" alt="" />` : html`<span class="noimage">no picture is kept</span>`}
            <span class="name">${one.top[0].label}</span><span class="number">${percent(one.top[0].score)}</span>
            <small>${one.frame_id === undefined ? new Date(one.seen).toLocaleTimeString() : `frame ${one.frame_id}`}</small>
          </button></li>`)}
      </ul>
      <p class="hint">Click to choose, shift-click for all between.</p>`}`;
}

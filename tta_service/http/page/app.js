// The page: its tabs, whether the server is there, and the API key.
import { html, render, useEffect, useState } from "./vendor/preact-htm.js";
import { server, showKey, watchServer } from "./api.js";
import { Live } from "./live.js";
import { Questions } from "./questions.js";
import { Service } from "./service.js";
import { Sessions } from "./sessions.js";
import { Try } from "./try.js";

const TABS = { try: ["Try", Try], live: ["Live", Live], questions: ["Questions", Questions], sessions: ["Sessions", Sessions], service: ["Service", Service] };
const tabOf = () => (location.hash.slice(1) in TABS ? location.hash.slice(1) : "try");

function App() {
  const [tab, setTab] = useState(tabOf());
  const { state, refused, info } = server.use();
  useEffect(() => {
    const follow = () => setTab(tabOf());
    addEventListener("hashchange", follow);
    return () => removeEventListener("hashchange", follow);
  }, []);
  useEffect(() => {
    document.title = `${TABS[tab][0]} · tta-service`;
  }, [tab]);
  return html`
    <header>
      <h1>tta<span>service</span></h1>
      <nav aria-label="Parts of this page">
        ${Object.entries(TABS).map(([name, [title]]) => html`<a href="#${name}" aria-current=${name === tab ? "page" : undefined}>${title}</a>`)}
      </nav>
      <p class="server ${state}" role="status"><i aria-hidden="true"></i>${{ starting: "connecting", up: info?.model ?? "connected", warming: "warming up", away: "no answer" }[state]}</p>
      <${Theme} />
    </header>
    ${state === "away" && html`<p class="banner" role="alert">The server does not answer. This page tries again every two seconds.</p>`}
    ${refused && html`<${KeyForm} why=${refused} />`}
    <main>
      ${Object.entries(TABS).map(([name, [title, Tab]]) => html`<section key=${name} hidden=${name !== tab} aria-label=${title}><${Tab} active=${name === tab} /></section>`)}
    </main>`;
}

function KeyForm({ why }) {
  const [text, setText] = useState("");
  const submit = (event) => {
    event.preventDefault();
    showKey(text).catch(() => {}); // `refused` says why
  };
  return html`<form class="banner key" onSubmit=${submit}>
    <label for="key" role="alert">${why}</label>
    <input id="key" type="password" autocomplete="off" placeholder="ID.SECRET" value=${text} onInput=${({ target }) => setText(target.value)} required />
    <button class="primary">Use this key</button>
    <small>It is kept in this page's memory until you leave it.</small>
  </form>`;
}

function Theme() {
  const [dark, setDark] = useState(matchMedia("(prefers-color-scheme: dark)").matches);
  useEffect(() => {
    document.documentElement.dataset.theme = dark ? "dark" : "light";
  }, [dark]);
  return html`<button type="button" class="theme" aria-label=${dark ? "Use the light theme" : "Use the dark theme"} onClick=${() => setDark(!dark)}>${dark ? "☀" : "☾"}</button>`;
}

render(html`<${App} />`, document.getElementById("app"));
watchServer();

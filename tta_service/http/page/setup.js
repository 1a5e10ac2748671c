// What Try and Live ask for: the labels, and up to four strategies with their parameters.
import { html } from "./vendor/preact-htm.js";
import { server } from "./api.js";
import { makeStore } from "./store.js";

export const MOST = 4;
export const setup = makeStore({
  names: "cat, dog, bird, car, flower, coffee",
  templates: "",
  sentences: "",
  reducer: "none",
  chosen: [
    { name: "zero_shot", parameters: {} },
    { name: "taught", parameters: {} },
  ],
});
export const liveChoice = makeStore({ chosen: [{ name: "taught", parameters: {} }] }); // Live's strategies
// A page has one session, so that its lessons hold for all that it shows.
export const session = makeStore({ id: newSessionId() });

export function newSessionId() {
  return `console-${[...crypto.getRandomValues(new Uint8Array(5))].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

const split = (text, by) => text.split(by).map((part) => part.trim()).filter(Boolean);

export const namesOf = ({ names }) => split(names, /[,\n]/);

// A LabelSet. Throws Error for a sentence about no name.
export function labelSetOf(given) {
  const names = namesOf(given);
  const labels = { names };
  const templates = split(given.templates, "\n");
  if (templates.length) labels.templates = templates;
  const lines = split(given.sentences, "\n").map((line) => [line.slice(0, line.indexOf(":")).trim(), line.slice(line.indexOf(":") + 1).trim()]);
  const stray = lines.find(([name]) => !names.includes(name));
  if (stray) throw new Error(`Sentences: a line is “label: sentence”, and “${stray[0] || stray[1]}” is no label.`);
  if (lines.length) labels.sentences = names.map((one) => ({ texts: lines.filter(([name]) => name === one).map(([, text]) => text) }));
  return labels;
}

const set = (name) => (event) => setup.set({ [name]: event.target.value });

export function LabelsField({ id }) {
  const given = setup.use();
  const count = namesOf(given).length;
  return html`<div class="field">
    <label for=${id}>Labels <small>${count}, between commas or lines</small></label>
    <textarea id=${id} rows="3" value=${given.names} onInput=${set("names")} spellcheck=${false}></textarea>
    <details>
      <summary>Templates and sentences</summary>
      <label for="${id}-templates">Templates <small>one a line, with {} for the label; “openai” and “simple” are sets of them</small></label>
      <textarea id="${id}-templates" rows="2" placeholder="a photo of a {}." value=${given.templates} onInput=${set("templates")}></textarea>
      <label for="${id}-sentences">Sentences <small>one a line: “label: what it looks like”</small></label>
      <textarea id="${id}-sentences" rows="2" placeholder="cat: an animal with whiskers" value=${given.sentences} onInput=${set("sentences")}></textarea>
    </details>
  </div>`;
}

export function StrategiesField({ of = setup, most = MOST, id = "try" }) {
  const { strategies } = server.use();
  const { chosen } = of.use();
  const toggle = (name) =>
    of.set({ chosen: chosen.some((one) => one.name === name) ? chosen.filter((one) => one.name !== name) : [...chosen, { name, parameters: {} }] });
  const change = (name, parameters) => of.set({ chosen: chosen.map((one) => (one.name === name ? { name, parameters } : one)) });
  return html`<fieldset class="field">
    <legend>Strategies <small>up to ${most}</small></legend>
    <div class="chips">
      ${strategies.map(({ name, summary, teachable }) => {
        const on = chosen.some((one) => one.name === name);
        return html`<label class="chip" title=${summary} key=${name}>
          <input type="checkbox" checked=${on} disabled=${!on && chosen.length >= most} onChange=${() => toggle(name)} />
          ${name}${teachable && html`<i title="learns from lessons" aria-label="learns from lessons">•</i>`}
        </label>`;
      })}
    </div>
    <p class="hint">• learns when you say what a picture shows</p>
    ${chosen.map((one) => {
      const about = strategies.find(({ name }) => name === one.name);
      return about?.parameters.length
        ? html`<${Parameters} key=${one.name} id=${id} about=${about} given=${one.parameters} onChange=${(next) => change(one.name, next)} />`
        : null;
    })}
  </fieldset>`;
}

export function ReducerField() {
  const { reducers } = server.use();
  const { reducer } = setup.use();
  const about = reducers.find(({ name }) => name === reducer);
  return html`<div class="field">
    <label for="try-reducer">Token reduction</label>
    <select id="try-reducer" value=${reducer} onChange=${set("reducer")}>
      ${reducers.map(({ name }) => html`<option key=${name} value=${name}>${name}</option>`)}
    </select>
    ${about && html`<p class="hint">${about.summary} <${Paper} text=${about.paper} /></p>`}
  </div>`;
}

function Parameters({ id, about, given, onChange }) {
  const changed = Object.keys(given).length;
  const put = (name, value) => {
    const { [name]: _, ...rest } = given;
    onChange(value === undefined ? rest : { ...rest, [name]: value });
  };
  return html`<details class="parameters">
    <summary>${about.name}${changed ? html` <b>${changed} changed</b>` : html` <small>parameters</small>`}</summary>
    <p class="hint">${about.summary} <${Paper} text=${about.paper} /></p>
    <div class="form">
      ${about.parameters.map((one) => html`<${Parameter} key=${one.name} id=${`${id}-${about.name}-${one.name}`} one=${one} value=${given[one.name]} put=${(value) => put(one.name, value)} />`)}
    </div>
  </details>`;
}

function Parameter({ id, one, value, put }) {
  const usual = one.default_value;
  const numeric = one.type === "int" || one.type === "float";
  const input = numeric
    ? html`<input id=${id} type="number" step=${one.type === "int" ? 1 : "any"} min=${one.minimum} max=${one.maximum} placeholder=${usual} value=${value ?? ""}
        onInput=${({ target }) => put(target.value === "" ? undefined : Number(target.value))} />`
    : one.type === "bool"
      ? html`<input id=${id} type="checkbox" checked=${value ?? usual} onChange=${({ target }) => put(target.checked === usual ? undefined : target.checked)} />`
      : html`<select id=${id} value=${value ?? usual} onChange=${({ target }) => put(target.value === usual ? undefined : target.value)}>
          ${one.choices.map((choice) => html`<option value=${choice}>${choice}</option>`)}
        </select>`;
  return html`<label for=${id} title=${one.description}>${one.name.replaceAll("_", " ")}</label>${input}`;
}

// A citation with its links.
export function Paper({ text }) {
  return text.split(/(https?:\/\/[^\s,)]+[^\s,.)])/).map((part, i) => (i % 2 ? html`<a href=${part} target="_blank" rel="noreferrer">${part.replace("https://", "")}</a>` : part));
}

// Calls of the REST interface. The API key is kept in this page's memory alone.
import { makeStore } from "./store.js";

const WATCH = 2000; // milliseconds between two looks whether the server is there
let key = "";

// `state`: "starting", "up", "warming" or "away"; `refused`: why a key is asked for.
export const server = makeStore({ state: "starting", refused: "", info: null, strategies: [], reducers: [], usual: "", grafana: "" });

export class Problem extends Error {
  constructor(problem) {
    super(problem.detail || problem.title);
    Object.assign(this, { status: problem.status, field: problem.field ?? "" });
  }
}

export const getKey = () => key;

// Shows this key from now on. Throws Problem when the server refuses it.
export async function showKey(text) {
  key = text.trim();
  await load();
}

export const askForKey = (why) => server.set({ refused: why });

// The reply to one call as a value. `body` is JSON, or a FormData. Throws Problem.
export async function call(verb, path, body = undefined, signal = undefined) {
  const headers = key ? { authorization: `Bearer ${key}` } : {};
  const form = body instanceof FormData;
  if (body !== undefined && !form) headers["content-type"] = "application/json";
  const content = body === undefined || form ? body : JSON.stringify(body);
  let response;
  try {
    response = await fetch(path, { method: verb, headers, body: content, signal, cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    server.set({ state: "away" });
    throw new Problem({ detail: "The server does not answer.", status: 0 });
  }
  if (response.ok) return response.json();
  const problem = new Problem(await response.json().catch(() => ({ title: response.statusText, status: response.status })));
  if (problem.status === 401) askForKey(key ? problem.message : "This server answers only with an API key.");
  throw problem;
}

// All items of a list that comes in pages.
export async function listAll(path, name, most = 2000) {
  const items = [];
  let token = "";
  do {
    const page = await call("GET", `${path}${path.includes("?") ? "&" : "?"}page_token=${encodeURIComponent(token)}`);
    items.push(...(page[name] ?? []));
    token = page.next_page_token;
  } while (token && items.length < most);
  return items;
}

export const sessionPath = (id, rest = "") => `v1/sessions/${encodeURIComponent(id)}${rest}`;

export const teach = async (session, lessons) => {
  const { results } = await call("POST", sessionPath(session, "/lessons"), { lessons });
  const refused = results.find((result) => result.status?.code);
  if (refused) throw new Problem({ detail: refused.status.message, status: 400 });
  return results;
};

export const unlearn = (session, examples) =>
  call("DELETE", sessionPath(session, `/lessons?example_ids=${examples.map(encodeURIComponent).join(",")}`));

async function load() {
  const paths = ["v1/info", "v1/strategies", "v1/reducers", "console.json"];
  const [info, { strategies, default_name: usual }, { reducers }, { grafana }] = await Promise.all(paths.map((path) => call("GET", path)));
  server.set({ info, strategies, reducers, usual, grafana, refused: "" });
}

// Looks again and again whether the server is there and ready, and reads its facts whenever it has come back.
export async function watchServer() {
  for (;;) {
    const ready = await fetch("readyz", { cache: "no-store" }).then((reply) => reply.ok, () => null);
    const state = ready === null ? "away" : ready ? "up" : "warming";
    const known = server.value.info && server.value.state === "up";
    if (state === "up" && !known && !server.value.refused) await load().catch(() => {});
    server.set({ state });
    await new Promise((done) => setTimeout(done, WATCH));
  }
}

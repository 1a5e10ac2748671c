// The request that a column has made, as a command or a program.
import { getKey } from "./api.js";

const quote = (text) => `'${String(text).replaceAll("'", "'\\''")}'`;
const python = (value) =>
  Array.isArray(value) ? `[${value.map(python).join(", ")}]`
  : value && typeof value === "object" ? `{${Object.entries(value).map(([name, one]) => `${JSON.stringify(name)}: ${python(one)}`).join(", ")}}`
  : typeof value === "boolean" ? (value ? "True" : "False") : JSON.stringify(value);
const plain = (labels) => !labels.templates && !labels.sentences;
const host = () => `${location.hostname}:50051`; // where gRPC listens unless it is set otherwise

export function asCurl(labels, { name, parameters }, file, reducer = "none") {
  const words = [`curl ${quote(new URL("v1/classify", location.href))}`];
  if (getKey()) words.push('-H "Authorization: Bearer $TTA_KEY"');
  words.push(`-F image=@${quote(file)}`);
  words.push(`--form-string labels=${quote(plain(labels) ? labels.names.join(",") : JSON.stringify({ label_set: labels }))}`);
  words.push(Object.keys(parameters).length ? `--form-string options=${quote(JSON.stringify({ strategy: { name, parameters } }))}` : `-F strategy=${name}`);
  if (reducer !== "none") words.push(`-F reducer=${reducer}`);
  return words.join(" \\\n  ");
}

export function asPython(labels, { name, parameters }, file, reducer = "none") {
  const some = Object.keys(parameters).length > 0;
  const parts = [JSON.stringify(file), plain(labels) ? python(labels.names) : labelSet(labels), some ? `Choice(${python(name)}, ${python(parameters)})` : python(name)];
  if (reducer !== "none") parts.push(`options=Options(reducer=${python(reducer)})`);
  const imports = ["Client", ...(some ? ["Choice"] : []), ...(plain(labels) ? [] : ["LabelSet"]), ...(reducer === "none" ? [] : ["Options"])].sort();
  return `${getKey() ? "import os\n\n" : ""}from tta_client import ${imports.join(", ")}

with Client(${python(host())}${getKey() ? ', token=os.environ["TTA_KEY"]' : ""}${location.protocol === "https:" ? ", tls=True" : ""}) as client:
    answer = client.classify(${parts.join(", ")})
    print(answer.label, answer.score)
`;
}

const labelSet = ({ names, templates = [], sentences = [] }) => `LabelSet(${[
  python(names),
  ...(templates.length ? [`templates=${python(templates)}`] : []),
  ...(sentences.length ? [`sentences=${python(sentences.map(({ texts }) => texts))}`] : []),
].join(", ")})`;

export function asCamera(labels, { name, parameters }, reducer = "none") {
  const words = [`tta-camera 0 --server ${host()}`, `--labels ${quote(labels.names.join(","))}`, `--strategy ${name}`];
  for (const template of labels.templates ?? []) words.push(`--template ${quote(template)}`);
  for (const [key, value] of Object.entries(parameters)) words.push(`--param ${key}=${value}`);
  if (reducer !== "none") words.push(`--reducer ${reducer}`);
  if (location.protocol === "https:") words.push("--tls");
  if (getKey()) words.push("--token @key.txt");
  return words.join(" \\\n  ");
}

// What the image tower made of the photo: where it looked, or which patches it took for one.
import { html, useEffect, useRef } from "./vendor/preact-htm.js";

const DETAIL = 12; // pixels of a patch where borders are drawn
export const OVERLAYS = { attention: "Attention", tokens: "Tokens" };

// `map` is an answer's token map, `box` the plain view in the photo, in shares of its sides.
export function Overlay({ kind, map, box }) {
  const canvas = useRef();
  useEffect(() => (kind === "attention" ? drawAttention : drawTokens)(canvas.current, map), [kind, map]);
  const place = { left: `${100 * box.left}%`, top: `${100 * box.top}%`, width: `${100 * box.width}%`, height: `${100 * box.height}%` };
  return html`<canvas class="overlay ${kind}" ref=${canvas} style=${place} role="img" aria-label=${describe(kind, map)}></canvas>`;
}

export function describe(kind, { side, attention, tokens }) {
  if (kind === "attention") {
    const most = attention.indexOf(Math.max(...attention));
    return `Brighter where the model looked: most at row ${Math.floor(most / side) + 1}, column ${(most % side) + 1} of ${side}.`;
  }
  const left = new Set(tokens.filter((one) => one >= 0)).size;
  const gone = tokens.filter((one) => one < 0).length;
  return `${tokens.length} patches became ${left} tokens${gone ? `; ${gone} were left out` : left < tokens.length ? ", alike ones merged" : ""}.`;
}

// The photo is darker where less attention falls; the browser smooths between the patches.
function drawAttention(canvas, { side, attention }) {
  canvas.width = canvas.height = side;
  const context = canvas.getContext("2d");
  const picture = context.createImageData(side, side);
  const most = Math.max(...attention, 1e-9);
  attention.forEach((share, at) => (picture.data[4 * at + 3] = 200 * (1 - Math.cbrt(share / most))));
  context.putImageData(picture, 0, 0);
}

// Lines between patches of different tokens; what was left out is dark.
function drawTokens(canvas, { side, tokens }) {
  canvas.width = canvas.height = side * DETAIL;
  const context = canvas.getContext("2d");
  const at = (row, column) => (row < side && column < side ? tokens[row * side + column] : null);
  const line = (x, y, width, height) => {
    context.fillStyle = "rgb(255 255 255 / .8)";
    context.fillRect(x, y, width, height);
  };
  tokens.forEach((token, place) => {
    const [row, column] = [Math.floor(place / side), place % side];
    context.fillStyle = "rgb(0 0 0 / .75)";
    if (token < 0) context.fillRect(column * DETAIL, row * DETAIL, DETAIL, DETAIL);
    if (column + 1 < side && at(row, column + 1) !== token) line((column + 1) * DETAIL - 1, row * DETAIL, 1, DETAIL);
    if (row + 1 < side && at(row + 1, column) !== token) line(column * DETAIL, (row + 1) * DETAIL - 1, DETAIL, 1);
  });
}

// A small plot of the last minutes, without axes: the largest value is said beside it.

import { drawn } from "./dom.js";

const WIDTH = 120;
const HEIGHT = 28;

export function plot(label) {
  const line = drawn("polyline", { class: "plot-line" });
  return { line, svg: drawn("svg", { class: "plot", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": label }, line) };
}

export function trace(line, values, most) {
  const top = Math.max(most, ...values, 1e-9);
  const step = WIDTH / Math.max(values.length - 1, 1);
  line.setAttribute("points", values.map((value, i) => `${(i * step).toFixed(1)},${(HEIGHT - 1 - (value / top) * (HEIGHT - 2)).toFixed(1)}`).join(" "));
}

// Output of all containers. So many lines are kept, and only those in sight are elements: 10,000 a second are as quick as 10.

import { plain, spans } from "./ansi.js";
import { byId, clock, make, say, visible } from "./dom.js";
import { row } from "./model.js";

const MOST = 20000;
const TRIM = 4000;
const HEIGHT = 18;
const BEYOND = 10;

const view = byId("log-window");
const space = byId("log-space");
const place = byId("log-lines");
const search = byId("log-search");
const service = byId("log-service");
const stream = byId("log-stream");
const follow = byId("log-follow");
const time = byId("log-time");

let lines = [];
let shown = [];
let dropped = 0;
let wanted = false;
let project = "";

export function clear() {
  lines = [];
  shown = [];
  dropped = 0;
  draw();
}

export function add(message, projectOf) {
  dropped += message.dropped;
  for (const [at, id, error, text] of message.lines) {
    const container = row(id);
    const line = { at, error, text, project: projectOf(id), service: container?.service ?? "", name: container?.name ?? id.slice(0, 12) };
    lines.push(line);
    if (matches(line)) shown.push(line);
  }
  if (lines.length > MOST) trim();
  draw();
}

function trim() {
  const gone = new Set(lines.splice(0, lines.length - MOST + TRIM));
  const before = shown.length;
  shown = shown.filter((line) => !gone.has(line));
  if (!follow.checked) view.scrollTop -= (before - shown.length) * HEIGHT;
}

function matches(line) {
  if (project && line.project !== project) return false;
  if (service.value && line.service !== service.value) return false;
  if (stream.value && (stream.value === "err") !== line.error) return false;
  const text = search.value.toLowerCase();
  return !text || plain(line.text).toLowerCase().includes(text) || line.name.toLowerCase().includes(text);
}

export function filter() {
  shown = lines.filter(matches);
  draw();
}

export function choose(name) {
  project = name;
  filter();
}

export function offer(names, picked = service.value) {
  const options = ["", ...names];
  if (options.join("\n") !== [...service.options].map((option) => option.value).join("\n")) {
    service.replaceChildren(...options.map((name) => make("option", { value: name }, name ? visible(name) : "all")));
  }
  const value = options.includes(picked) ? picked : "";
  if (service.value !== value) {
    service.value = value;
    filter();
  }
}

export function draw() {
  if (wanted) return;
  wanted = true;
  requestAnimationFrame(() => {
    wanted = false;
    if (byId("logs").hidden) return;
    paint();
  });
}

function paint() {
  space.style.height = `${shown.length * HEIGHT}px`;
  if (follow.checked) view.scrollTop = shown.length * HEIGHT;
  const first = Math.max(0, Math.floor(view.scrollTop / HEIGHT) - BEYOND);
  const last = Math.min(shown.length, first + Math.ceil(view.clientHeight / HEIGHT) + 2 * BEYOND);
  place.style.transform = `translateY(${first * HEIGHT}px)`;
  place.replaceChildren(...shown.slice(first, last).map(element));
  say(byId("log-count"), `${shown.length.toLocaleString("en")} of ${lines.length.toLocaleString("en")} lines`);
  const note = byId("log-dropped");
  note.hidden = !dropped;
  if (dropped) say(note, `${dropped.toLocaleString("en")} lines came faster than they could be shown, and were left out here; they are in \`pycompose logs\`.`);
}

function element(line) {
  line.element ??= make("div", { class: line.error ? "line error" : "line" },
    make("time", {}, clock(line.at)), make("b", { class: `who who-${hash(line.name)}` }, visible(line.name)),
    make("span", { class: "text" }, ...spans(line.text)));
  const found = line.element;
  return found;
}

function hash(text) {
  let sum = 0;
  for (const letter of text) sum = (sum * 31 + letter.codePointAt(0)) >>> 0;
  return sum % 6;
}

function download() {
  const text = shown.map((line) => `${new Date(line.at).toISOString()} ${line.name} ${line.error ? "stderr" : "stdout"} ${line.text}\n`);
  const address = URL.createObjectURL(new Blob(text, { type: "text/plain" }));
  make("a", { href: address, download: "output.log" }).click();
  URL.revokeObjectURL(address);
}

// Goes to the first line of that time of the day or later, of the last day that is kept.
function jump() {
  if (!time.value || !shown.length) return;
  const [hours, minutes, seconds] = time.value.split(":").map(Number);
  const wanted = new Date(shown[shown.length - 1].at);
  wanted.setHours(hours, minutes, seconds || 0, 0);
  if (wanted > shown[shown.length - 1].at) wanted.setDate(wanted.getDate() - 1);
  let low = 0;
  let high = shown.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (shown[middle].at < wanted.getTime()) low = middle + 1;
    else high = middle;
  }
  follow.checked = false;
  view.scrollTop = low * HEIGHT;
  lastTop = view.scrollTop;
  draw();
}

view.addEventListener("scroll", () => {
  const end = view.scrollTop + view.clientHeight >= shown.length * HEIGHT - HEIGHT;
  if (!end && follow.checked && lastTop > view.scrollTop) follow.checked = false;
  lastTop = view.scrollTop;
  draw();
});
let lastTop = 0;
for (const input of [search, service, stream]) input.addEventListener("input", filter);
follow.addEventListener("change", draw);
time.addEventListener("change", jump);
byId("log-filter").addEventListener("submit", (event) => event.preventDefault());
byId("log-download").addEventListener("click", download);
new ResizeObserver(draw).observe(view);

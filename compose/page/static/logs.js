// Output of all containers. So many lines are kept, and only those in sight are elements: 10,000 a second are as quick as 10.
//
// `live` are the latest lines of all projects. Who looks further back has a window of the chosen project: what was read
// from the logs, and the lines after it, up to now while it is `attached`.

import { plain, spans } from "./ansi.js";
import { byId, clock, make, say, visible } from "./dom.js";
import * as link from "./link.js";
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
const back = byId("log-earlier");

let live = [];
let unfinished = new Map(); // container and stream → the line that isn't over: the next one of them takes its place
let past = null; // the window
let attached = true;
let cut = false; // whether lines of the time of its last one may be missing
let shown = [];
let dropped = 0;
let wanted = false;
let project = "";
let painted = 0; // how many lines the window is high for; more may have come since
let lastTop = 0;
let turn = 0;
let asked = null; // what is being read from the logs

function lines() {
  return past ?? live;
}

export function clear() {
  live = [];
  unfinished.clear();
  dropped = 0;
  leave();
}

// Shows what is live again.
function leave() {
  past = null;
  attached = true;
  asked = null;
  delete back.dataset.busy;
  back.disabled = false;
  filter();
}

function lineOf([at, id, error, text], projectOf) {
  const container = row(id);
  return { at, id, error, text, project: projectOf(id), service: container?.service ?? "", name: container?.name ?? id.slice(0, 12) };
}

export function add(message, projectOf) {
  dropped += message.dropped;
  if (message.dropped) forsake();
  for (const told of message.lines) {
    if (!grow(told, false)) put(lineOf(told, projectOf));
  }
  for (const told of message.unfinished) {
    if (grow(told, true)) continue;
    const line = { ...lineOf(told, projectOf), unfinished: true };
    unfinished.set(streamOf(told), line);
    put(line);
  }
  if (live.length > MOST) trim();
  if (past && attached && past.length > MOST + TRIM) {
    if (follow.checked) leave();
    else [attached, cut] = [false, true];
  }
  draw();
}

function put(line) {
  live.push(line);
  if (past && !(attached && ours(line))) return;
  past?.push(line);
  if (matches(line)) shown.push(line);
}

function streamOf([, id, error]) {
  return `${id} ${error}`;
}

// Gives a line that isn't over, if there is one, the time and the text that it has now, and perhaps its end.
function grow(told, goesOn) {
  const line = unfinished.size && unfinished.get(streamOf(told));
  if (!line) return false;
  const before = matches(line);
  [line.at, , , line.text] = told;
  line.unfinished = goesOn;
  if (!goesOn) unfinished.delete(streamOf(told));
  line.element = undefined;
  if (matches(line) !== before) filter();
  return true;
}

// The ends of lines that aren't over may be among those that were dropped.
function forsake() {
  const gone = new Set(unfinished.values());
  unfinished.clear();
  if (!gone.size) return;
  live = live.filter((line) => !gone.has(line));
  past = past?.filter((line) => !gone.has(line)) ?? null;
  filter();
}

function trim() {
  const gone = new Set(live.splice(0, live.length - MOST + TRIM));
  if (past) return;
  const before = shown.length;
  shown = shown.filter((line) => !gone.has(line));
  if (!follow.checked) view.scrollTop -= (before - shown.length) * HEIGHT;
}

function ours(line) {
  return !project || line.project === project;
}

function matches(line) {
  if (!ours(line)) return false;
  if (service.value && line.service !== service.value) return false;
  if (stream.value && (stream.value === "err") !== line.error) return false;
  const text = search.value.toLowerCase();
  return !text || plain(line.text).toLowerCase().includes(text) || line.name.toLowerCase().includes(text);
}

export function filter() {
  shown = lines().filter(matches);
  draw();
}

export function choose(name) {
  if (project === name) return;
  project = name;
  leave();
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
  heighten();
  if (follow.checked) {
    view.scrollTop = shown.length * HEIGHT;
    lastTop = view.scrollTop; // so that nobody takes it for a user's when fewer lines have moved it up
  }
  const first = Math.max(0, Math.floor(view.scrollTop / HEIGHT) - BEYOND);
  const last = Math.min(shown.length, first + Math.ceil(view.clientHeight / HEIGHT) + 2 * BEYOND);
  place.style.transform = `translateY(${first * HEIGHT}px)`;
  place.replaceChildren(...shown.slice(first, last).map(element));
  const since = lines().length ? `, from ${moment(lines()[0].at)}` : "";
  say(byId("log-count"), `${shown.length.toLocaleString("en")} of ${lines().length.toLocaleString("en")} lines${since}`);
  const note = byId("log-dropped");
  note.hidden = !dropped;
  if (dropped) say(note, `${dropped.toLocaleString("en")} lines came faster than they could be shown, and were left out here; Download has them.`);
}

function heighten() {
  painted = shown.length;
  space.style.height = `${painted * HEIGHT}px`;
}

function moment(at) {
  const date = new Date(at / 1000);
  const day = date.toDateString() === new Date().toDateString() ? "" : `${local(date).slice(0, 10)} `;
  return day + clock(at / 1000).slice(0, 8);
}

function local(date) {
  return new Date(date.getTime() - date.getTimezoneOffset() * 60000).toISOString().slice(0, 19);
}

function element(line) {
  line.element ??= make("div", { class: `line${line.error ? " error" : ""}${line.unfinished ? " unfinished" : ""}` },
    make("time", {}, clock(line.at / 1000)), make("b", { class: `who who-${hash(line.name)}` }, visible(line.name)),
    make("span", { class: "text" }, ...spans(line.text)));
  const found = line.element;
  return found;
}

function hash(text) {
  let sum = 0;
  for (const letter of text) sum = (sum * 31 + letter.codePointAt(0)) >>> 0;
  return sum % 6;
}

// All that is in the logs, filtered as it is here.
function download() {
  const query = new URLSearchParams({ project, service: service.value, stream: stream.value, search: search.value });
  make("a", { href: `/output?${query}`, download: "" }).click();
}

// ---------------------------------------------------------------------- what the logs have

// From here on nothing is missing between the lines of the project: each container began with its last lines.
function horizon() {
  const first = new Map();
  for (const line of live) if (ours(line) && !first.has(line.id)) first.set(line.id, line.at);
  return first.size ? Math.max(...first.values()) : Date.now() * 1000;
}

function read(what, take) {
  if (asked || !project) return;
  turn += 1;
  asked = { turn, take };
  back.dataset.busy = "";
  follow.checked = false;
  link.say({ past: { turn, project, ...what } });
}

export function told(message) {
  if (message.turn !== asked?.turn) return;
  const { take } = asked;
  asked = null;
  delete back.dataset.busy;
  back.disabled = false;
  const found = message.lines.map((line) => lineOf(line, () => project));
  take(found, message.more);
  draw();
}

// The window after what was asked for has come: the line that is on top stays there, or the one after a time comes there,
// or, of those who ask for what is `above` it, to the foot.
function replace(next, at, above = false) {
  const top = above ? undefined : shown[Math.floor(view.scrollTop / HEIGHT)];
  past = next;
  shown = past.filter(matches);
  let index = top ? shown.findIndex((line) => line === top || (line.at === top.at && line.id === top.id && line.text === top.text)) : -1;
  if (index < 0) index = shown.findIndex((line) => line.at > at);
  if (index < 0) index = shown.length;
  if (above) index = Math.max(0, index - Math.floor(view.clientHeight / HEIGHT) + 1);
  heighten();
  lastTop = index * HEIGHT + (top ? view.scrollTop % HEIGHT : 0);
  view.scrollTop = lastTop;
}

// The first, or the last, of too many lines; those of one time stay together, as the server has them.
function part(list, first) {
  if (list.length <= MOST) return list;
  const end = list.at(first ? MOST : -MOST - 1).at;
  const kept = list.filter((line) => (first ? line.at < end : line.at > end));
  return kept.length ? kept : list;
}

function earlier(above) {
  const until = past?.length ? past[0].at - 1 : horizon();
  read({ until }, (found, more) => {
    const all = [...found, ...lines().filter((line) => ours(line) && line.at > until)];
    const next = part(all, true);
    if (next.length < all.length) {
      attached = false;
      cut = false;
    }
    replace(next, until, above);
    back.disabled = !more;
  });
}

function later() {
  const since = past[past.length - 1].at + (cut ? 0 : 1);
  read({ since }, (found, more) => arrive([...past.filter((line) => line.at < since), ...found], more, since));
}

function arrive(next, more, at) {
  attached = !more;
  if (attached) {
    const from = horizon();
    next = [...next.filter((line) => line.at <= from), ...live.filter((line) => ours(line) && line.at > from)];
  }
  cut = false;
  replace(part(next, false), at);
}

// Goes to the first line of that time or later.
function jump() {
  if (!time.value || !project) return;
  const at = new Date(time.value).getTime() * 1000;
  follow.checked = false;
  if (at >= (past?.length ? past[0].at : horizon()) && (attached || at <= past[past.length - 1].at)) {
    const index = shown.findIndex((line) => line.at >= at);
    lastTop = (index < 0 ? shown.length : index) * HEIGHT;
    view.scrollTop = lastTop;
    draw();
    return;
  }
  asked = null;
  read({ since: at }, (found, more) => {
    shown = [];
    arrive(found, more, at - 1);
  });
}

view.addEventListener("scroll", () => {
  const end = view.scrollTop + view.clientHeight >= painted * HEIGHT - HEIGHT;
  const up = lastTop > view.scrollTop;
  lastTop = view.scrollTop;
  if (!end && follow.checked && up) follow.checked = false;
  if (up && view.scrollTop < HEIGHT && !back.disabled) earlier(false);
  if (end && !up && past?.length && !attached) later();
  draw();
});
for (const input of [search, service, stream]) input.addEventListener("input", filter);
follow.addEventListener("change", () => {
  if (follow.checked) leave();
  else draw();
});
time.addEventListener("change", jump);
time.addEventListener("focus", () => {
  if (!time.value) time.value = local(new Date());
});
back.addEventListener("click", () => earlier(true));
byId("log-filter").addEventListener("submit", (event) => event.preventDefault());
byId("log-download").addEventListener("click", download);
new ResizeObserver(draw).observe(view);

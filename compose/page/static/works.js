// What is being done to the project, by the page or by commands elsewhere: `up`, builds step by step, live reload, tests.

import { plain } from "./ansi.js";
import { byId, clock, make, say, visible } from "./dom.js";
import { names } from "./model.js";

const MOST = 50;
const works = new Map(); // id → what is known of it, its steps by their names, and its elements
let project = "";

export function clear() {
  for (const work of works.values()) work.item.remove();
  works.clear();
}

export function choose(name) {
  project = name;
  for (const work of works.values()) work.item.hidden = !ours(work);
  byId("no-works").hidden = [...works.values()].some(ours);
}

function ours(work) {
  return work.project === project || !names().includes(work.project); // a build may come before its project, tests stay after
}

export function add(message) {
  for (const told of message.works) {
    const work = works.get(told.id) ?? build(told.id);
    const { steps, ...about } = told;
    Object.assign(work, about);
    for (const [key, step] of Object.entries(steps)) row(work, key, step);
    fill(work);
  }
  for (const [id, work] of works) {
    if (works.size <= MOST) break;
    work.item.remove();
    works.delete(id);
  }
  choose(project);
}

function build(id) {
  const title = make("b");
  const state = make("span", { class: "work-state" });
  const error = make("p", { class: "work-error" });
  const list = make("ol", { class: "steps" });
  const output = make("pre", { class: "work-output" });
  const item = make("li", { class: "work" }, make("details", { open: "" }, make("summary", {}, title, " ", state), error, list, output));
  const work = { title: "", item, parts: { title, state, error, list, output }, rows: new Map() };
  works.set(id, work);
  byId("works").prepend(item);
  return work;
}

function row(work, key, step) {
  let known = work.rows.get(key);
  if (!known) {
    known = { what: make("span", { class: "what" }), said: make("span", { class: "step-state" }), item: null };
    known.item = make("li", {}, known.what, " ", known.said);
    work.rows.set(key, known);
    work.parts.list.append(known.item);
  }
  say(known.what, visible(step.what));
  known.item.className = step.state;
  const took = step.began && step.ended ? ` ${((step.ended - step.began) / 1000).toFixed(1)} s` : "";
  const state = step.cached ? "cached" : step.text ? visible(step.text) : { working: "…", done: "done", failed: "failed" }[step.state];
  say(known.said, step.cached ? state : state + took);
}

function fill(work) {
  const { title, state, error, output } = work.parts;
  say(title, visible(work.title));
  const took = work.ended ? `, ${((work.ended - work.began) / 1000).toFixed(1)} s` : "";
  say(state, `${work.state} (${clock(work.began).slice(0, 8)}${took})`);
  work.item.className = `work ${work.state}`;
  work.item.hidden = !ours(work);
  say(error, visible(work.error));
  error.hidden = !work.error;
  const text = work.lines.map(plain).join("\n");
  output.hidden = !text;
  say(output, text);
}

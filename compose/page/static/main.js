// The page: what the server tells, and the views of it.

import { perform } from "./asking.js";
import * as cards from "./cards.js";
import { byId, make, say, visible } from "./dom.js";
import * as graph from "./graph.js";
import * as happenings from "./happenings.js";
import * as link from "./link.js";
import * as logs from "./logs.js";
import * as model from "./model.js";
import * as plan from "./plan.js";
import * as resources from "./resources.js";
import * as works from "./works.js";

const choice = byId("project");
let chosen = "";
let wanted = false;

// ---------------------------------------------------------------------- what the server tells

link.on("snapshot", (message) => {
  model.snapshot(message);
  logs.clear();
  works.clear();
  show();
  resources.look();
});
link.on("change", (message) => {
  model.change(message);
  show();
});
link.on("pending", (message) => {
  model.awaits(message);
  show();
});
link.on("happened", happenings.add);
link.on("storage", resources.told);
link.on("work", works.add);
link.on("printed", (message) => {
  logs.add(message, projectOf);
  link.say({ took: 1 });
});
link.on("usage", (message) => {
  model.usage(message);
  cards.measure();
});

function linked(yes) {
  const said = byId("link");
  said.classList.toggle("lost", !yes);
  say(said, yes ? "live" : "not connected: trying again…");
}

function projectOf(id) {
  for (const [name, project] of model.projects) if (project.rows.has(id)) return name;
  return "";
}

// ---------------------------------------------------------------------- the views

function show() {
  if (wanted) return;
  wanted = true;
  requestAnimationFrame(() => {
    wanted = false;
    paint();
  });
}

function paint() {
  const names = [...model.projects.keys()].sort();
  if (!names.includes(chosen)) pick(names.find((name) => name !== model.STANDALONE) ?? names[0] ?? "");
  if ([...choice.options].map((option) => option.value).join("\n") !== names.join("\n")) {
    choice.replaceChildren(...names.map((name) => make("option", { value: name }, name === model.STANDALONE ? "containers without a project" : visible(name))));
  }
  choice.value = chosen;
  document.title = chosen ? `${chosen} – pycompose` : "pycompose";
  const project = model.projects.get(chosen);
  const services = project ? model.services(project) : [];
  byId("nothing").hidden = services.length > 0;
  graph.show(byId("graph"), project?.graph, services, (name) => cards.choose(chosen, name));
  cards.show(byId("cards"), chosen, services, act, (name) => {
    select("logs");
    logs.offer(services.map((service) => service.name), name);
  });
  logs.offer(services.map((service) => service.name));
  works.choose(chosen);
  pending();
}

function act(action, project, service, count) {
  if (action === "scale") plan.open(project, service, count);
  else perform(`${action} ${visible(service)}`, { action, project, services: [service] });
}

function pick(name) {
  chosen = name;
  for (const view of [logs, resources, works]) view.choose(name);
}

// What of the compose file isn't in effect yet.
function pending() {
  const text = byId("pending");
  const found = model.pending.get(chosen);
  const some = Boolean(found?.error || found?.steps.length);
  text.hidden = !some;
  text.classList.toggle("bad", Boolean(found?.error));
  if (found?.error) say(text, `${visible(found.file)} cannot be used: ${visible(found.error)}`);
  else if (some) say(text, `${visible(found.file)} has changed: ${found.steps.map((step) => `${visible(step.what)} ${step.why ? `(${visible(step.why)})` : ""}`).join(", ")}`);
  byId("project-bar").hidden = chosen === model.STANDALONE || !chosen || (model.about.readOnly && !some);
  byId("up").hidden = model.about.readOnly;
}

byId("up").addEventListener("click", () => plan.open(chosen));

const tabs = [...document.querySelectorAll("[role=tab]")];

function select(name) {
  for (const tab of tabs) {
    const here = tab.getAttribute("aria-controls") === name;
    tab.setAttribute("aria-selected", String(here));
    tab.tabIndex = here ? 0 : -1;
    byId(tab.getAttribute("aria-controls")).hidden = !here;
  }
  logs.draw();
  resources.look();
}

for (const [at, tab] of tabs.entries()) {
  tab.addEventListener("click", () => select(tab.getAttribute("aria-controls")));
  tab.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = tabs[(at + step + tabs.length) % tabs.length];
    next.focus();
    next.click();
  });
}
choice.addEventListener("change", () => {
  pick(choice.value);
  show();
});
setInterval(show, 1000); // ages
link.connect(linked);

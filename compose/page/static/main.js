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
link.on("known", (message) => {
  model.knows(message);
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
  link.say({ took: message.lines.length });
});
link.on("past", logs.told);
link.on("usage", (message) => {
  model.usage(message);
  cards.measure();
});

const LINKS = {
  live: "live", lost: "not connected: trying again…", refused: "not let in: open the address that `pycompose page` has printed last",
};

function linked(how) {
  const said = byId("link");
  said.classList.toggle("lost", how !== "live");
  say(said, LINKS[how]);
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
  const names = model.names();
  const own = names.filter((name) => name !== model.STANDALONE);
  if (!names.includes(chosen)) pick(own.find((name) => model.projects.has(name)) ?? own[0] ?? names[0] ?? "");
  const said = names.map(title);
  if ([...choice.options].map((option) => option.textContent).join("\n") !== said.join("\n")) {
    choice.replaceChildren(...names.map((name, at) => make("option", { value: name }, said[at])));
  }
  choice.value = chosen;
  document.title = chosen ? `${chosen} – pycompose` : "pycompose";
  const project = model.projects.get(chosen);
  const services = model.services(chosen);
  byId("nothing").hidden = services.length > 0;
  graph.show(byId("graph"), project ? project.graph : model.known.get(chosen)?.graph, services, (name) => cards.choose(chosen, name));
  cards.show(byId("cards"), chosen, services, act, (name) => {
    select("logs");
    logs.offer(services.map((service) => service.name), name);
  });
  logs.offer(services.map((service) => service.name));
  works.choose(chosen);
  pending();
}

function title(name) {
  if (name === model.STANDALONE) return "containers without a project";
  return visible(name) + (model.projects.has(name) ? "" : " (down)");
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
  const some = found !== undefined;
  text.hidden = !some;
  text.classList.toggle("bad", Boolean(found?.error));
  if (some) say(text, told(found));
  byId("project-bar").hidden = chosen === model.STANDALONE || !chosen || (model.about.readOnly && !some);
  byId("up").hidden = model.about.readOnly;
}

function told({ files, steps, builds, error }) {
  const names = files.map(visible).join(", ");
  const said = builds.map(({ file, services }) => `${visible(file)} has changed: ${services.map(visible).join(", ")} to be built (Build images first)`);
  if (error) said.unshift(`${names} cannot be used: ${visible(error)}`);
  else if (steps.length) said.unshift(`${names} ${files.length > 1 ? "have" : "has"} changed: ${steps.map((step) => `${visible(step.what)} ${step.why ? `(${visible(step.why)})` : ""}`).join(", ")}`);
  return said.join("; ");
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

// One card for each service. A card lives as long as its service, and only what differs is touched.

import { age, make, say, size, visible } from "./dom.js";
import { STANDALONE, about, uses } from "./model.js";
import { plot, trace } from "./plot.js";

const cards = new Map(); // "project/service" → the pieces of its card
const ACTIONS = {
  start: (states) => states.some((state) => state === "exited" || state === "created"),
  stop: (states) => states.some((state) => state === "running" || state === "restarting"),
  restart: (states) => states.includes("running") || states.includes("restarting"),
  kill: (states) => states.includes("running") || states.includes("restarting"),
  pause: (states) => states.includes("running"),
  unpause: (states) => states.includes("paused"),
  scale: () => true,
};

export function show(list, project, services, act, logs) {
  const kept = new Set();
  services.forEach((service, at) => {
    const key = `${project}/${service.name}`;
    kept.add(key);
    if (!cards.has(key)) cards.set(key, build(project, service.name, act, logs));
    const card = cards.get(key);
    fill(card, project, service);
    if (list.children[at] !== card.item) list.insertBefore(card.item, list.children[at] ?? null);
  });
  for (const [key, card] of cards) {
    if (!kept.has(key)) {
      card.item.remove();
      cards.delete(key);
    }
  }
}

export function choose(project, name) {
  const card = cards.get(`${project}/${name}`);
  card?.item.scrollIntoView({ block: "nearest" });
  card?.title.focus();
}

export function measure() {
  for (const card of cards.values()) traces(card);
}

function build(project, name, act, logs) {
  const title = make("h2", { tabindex: -1 }, visible(name));
  const state = make("p", { class: "state" });
  const waits = make("p", { class: "waits", hidden: "" });
  const probe = make("p", { class: "probe", hidden: "" });
  const facts = make("dl", { class: "facts" });
  const replicas = make("ul", { class: "replicas", hidden: "" });
  const cpu = plot("processor");
  const memory = plot("memory");
  const network = plot("network");
  const numbers = { cpu: make("span"), memory: make("span"), network: make("span") };
  const use = make("div", { class: "use", hidden: "" },
    make("div", {}, cpu.svg, numbers.cpu), make("div", {}, memory.svg, numbers.memory), make("div", {}, network.svg, numbers.network));
  const buttons = new Map(Object.keys(ACTIONS).map((action) => [action,
    make("button", { type: "button", "aria-label": `${action} ${name}`, click: () => act(action, project, name, card.replicas) }, action === "scale" ? "scale…" : action)]));
  const shell = make("a", { class: "button", target: "_blank", rel: "noopener", "aria-label": `shell in ${name}` }, "shell");
  const bar = make("div", { class: "actions" },
    make("button", { type: "button", "aria-label": `logs of ${name}`, click: () => logs(name) }, "logs"), shell, ...buttons.values());
  const item = make("li", { class: "card" }, make("div", { class: "head" }, title, state), waits, probe, facts, replicas, use, bar);
  const card = { item, title, state, waits, probe, facts, list: replicas, use, cpu, memory, network, numbers, buttons, shell, said: "", ids: [], replicas: 1 };
  return card;
}

function fill(card, project, service) {
  const containers = service.containers;
  card.ids = containers.map((c) => c.id);
  card.item.className = `card ${service.tone}`;
  say(card.state, service.words);
  line(card.waits, service.waits.map(visible).join("; "));
  const probe = containers.map((c) => c.probe).find((p) => p && (p.code !== 0 || p.output));
  line(card.probe, probe ? `probe ${probe.code === 0 ? "passed" : `failed (${probe.code})`}: ${visible(probe.output.trim())}` : "");
  const said = JSON.stringify([service.image, ...containers.map((c) => [c.image, c.ports, c.networks, c.volumes, c.restarts, c.name, c.words, c.started])]);
  if (said !== card.said) {
    card.said = said;
    facts(card, project, containers, service.image);
  }
  const states = containers.filter((c) => !c.oneoff).map((c) => c.state);
  card.replicas = states.length;
  const runs = containers.find((c) => c.state === "running");
  card.shell.hidden = about.readOnly || !runs;
  if (runs) card.shell.href = door(project, runs);
  for (const [action, button] of card.buttons) {
    button.hidden = about.readOnly || project === STANDALONE || !ACTIONS[action](states);
  }
  times(card, containers);
  traces(card);
}

// Where there is a shell in a container.
function door(project, container) {
  return `/terminal.html?${new URLSearchParams({ project, container: container.id, name: container.name })}`;
}

function line(element, text) {
  say(element, text);
  element.hidden = !text;
}

function facts(card, project, containers, image) {
  const ports = new Map(containers.flatMap((c) => c.ports).map((port) => [port.text, port]));
  const restarts = containers.reduce((sum, c) => sum + c.restarts, 0);
  card.age = make("dd");
  const images = containers.length ? [...new Set(containers.map((c) => c.image))] : [image || "built by the project"];
  const rows = [["Image", make("dd", {}, visible(images.join(", ")))]];
  if (containers.length) rows.push(["Age", card.age]);
  if (ports.size) {
    const links = [...ports.values()].flatMap((port, i) => [i ? " " : "", port.link
      ? make("a", { href: port.link, target: "_blank", rel: "noreferrer noopener" }, port.text) : port.text]);
    rows.push(["Ports", make("dd", {}, ...links)]);
  }
  for (const [name, key] of [["Networks", "networks"], ["Volumes", "volumes"]]) {
    const found = [...new Set(containers.flatMap((c) => c[key]))];
    if (found.length) rows.push([name, make("dd", {}, visible(found.join(", ")))]);
  }
  if (restarts) rows.push(["Restarts", make("dd", {}, String(restarts))]);
  card.facts.replaceChildren(...rows.flatMap(([name, value]) => [make("dt", {}, name), value]));
  card.list.hidden = containers.length < 2;
  card.list.replaceChildren(...(containers.length < 2 ? [] : containers).map((c) =>
    make("li", { class: c.tone }, `${visible(c.name)}: ${c.words} `, c.state === "running" && !about.readOnly
      ? make("a", { href: door(project, c), target: "_blank", rel: "noopener", "aria-label": `shell in ${c.name}` }, "shell") : null)));
}

function times(card, containers) {
  const started = containers.filter((c) => c.state === "running" && c.started).map((c) => c.started);
  const ended = containers.filter((c) => c.state === "exited" && c.finished).map((c) => c.finished);
  if (started.length) say(card.age, `up ${age(Math.min(...started))}`);
  else if (ended.length) say(card.age, `ended ${age(Math.max(...ended))} ago`);
  else if (containers.length) say(card.age, `made ${age(Math.min(...containers.map((c) => c.created)))} ago`);
}

// The sums over the service's containers, sample by sample from the end.
function traces(card) {
  const found = card.ids.map((id) => uses.get(id)).filter((samples) => samples?.length);
  card.use.hidden = !found.length;
  if (!found.length) return;
  const length = Math.max(...found.map((samples) => samples.length));
  const sums = Array.from({ length }, () => [0, 0, 0]);
  for (const samples of found) {
    samples.forEach(([at, cpu, memory, , received, sent], i) => {
      const before = samples[i - 1];
      const rate = before ? Math.max(0, received + sent - before[4] - before[5]) / Math.max((at - before[0]) / 1000, 0.001) : 0;
      const sum = sums[length - samples.length + i];
      sum[0] += cpu;
      sum[1] += memory;
      sum[2] += rate;
    });
  }
  const [cpu, memory, network] = sums[length - 1];
  trace(card.cpu.line, sums.map((s) => s[0]), 10);
  trace(card.memory.line, sums.map((s) => s[1]), 1 << 20);
  trace(card.network.line, sums.map((s) => s[2]), 1024);
  say(card.numbers.cpu, `cpu ${cpu.toFixed(1)} %`);
  say(card.numbers.memory, `mem ${size(memory)}`);
  say(card.numbers.network, `net ${size(network)}/s`);
}

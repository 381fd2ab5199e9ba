// Volumes and networks. The server tells of them while they are in sight.

import { perform } from "./asking.js";
import { age, byId, make, say, size, visible } from "./dom.js";
import * as link from "./link.js";
import { STANDALONE, about } from "./model.js";

const dialog = byId("volume");
const tag = byId("volume-tag");
let project = "";
let known = { volumes: [], networks: [] };
let todo = null;

export function choose(name) {
  project = name;
  draw();
}

// Says whether they are in sight; they are measured anew for it.
export function look() {
  link.say({ storage: !byId("resources").hidden });
}

export function told(message) {
  known = message;
  say(byId("resources-note"), visible(message.error));
  draw();
}

// Those of the project that is chosen, and those of nobody.
function ours(row) {
  return !row.project || row.project === project || project === STANDALONE;
}

function draw() {
  byId("volume-rows").replaceChildren(...known.volumes.filter(ours).map((row) => make("tr", {},
    make("th", { scope: "row" }, visible(row.name)), make("td", {}, size(row.size)), make("td", {}, users(row)),
    make("td", {}, snapshots(row)))));
  byId("network-rows").replaceChildren(...known.networks.filter(ours).map((row) => make("tr", {},
    make("th", { scope: "row" }, visible(row.name)), make("td", {}, visible(row.driver) + (row.internal ? ", internal" : "")), make("td", {}, users(row)))));
}

function users(row) {
  return [...row.users].sort().map((name) => visible(name) + (row.idle.includes(name) ? " (not running)" : "")).join(", ") || "nobody";
}

function snapshots(row) {
  const list = make("ul", { class: "snapshots" }, ...row.snapshots.map((shot) => make("li", {},
    make("b", {}, visible(shot.tag)), ` ${size(shot.size)}, ${age(shot.at)} ago `,
    about.readOnly ? null : make("button", { type: "button", "aria-label": `restore ${row.name} to ${shot.tag}`, click: () => restore(row, shot.tag) }, "restore"))));
  if (about.readOnly) return list;
  const button = make("button", { type: "button", "aria-label": `snapshot ${row.name}`, click: () => take(row) }, "snapshot…");
  const place = make("div", {}, list, button);
  return place;
}

function take(row) {
  const now = new Date();
  const two = (part) => String(part).padStart(2, "0");
  show(`Snapshot of ${visible(row.name)}`, "Containers that use it are frozen while it is copied.", true);
  tag.value = `${now.getFullYear()}${two(now.getMonth() + 1)}${two(now.getDate())}-${two(now.getHours())}${two(now.getMinutes())}${two(now.getSeconds())}`;
  tag.select();
  todo = () => perform(`snapshot ${visible(row.name)}`, { action: "snapshot", project: row.project, volume: row.name, tag: tag.value }).then(look);
}

function restore(row, name) {
  show(`Restore ${visible(row.name)} to ${visible(name)}`,
    `What it holds now is lost. ${row.users.length ? `Of ${users(row)}, those that run are stopped for it, and started again.` : ""}`, false);
  todo = () => perform(`restore ${visible(row.name)}`, { action: "restore", project: row.project, volume: row.name, tag: name }).then(look);
}

// What is hidden can't have the focus, which the dialog gives to its first field, else to Cancel.
function show(title, text, named) {
  byId("volume-name").hidden = !named;
  say(byId("volume-title"), title);
  say(byId("volume-text"), text);
  dialog.showModal();
}

byId("volume-form").addEventListener("submit", (event) => {
  event.preventDefault();
  dialog.close();
  todo?.();
});
byId("volume-cancel").addEventListener("click", () => dialog.close());

// `up` and `scale`: what would be done, and why, is shown before it is done; what was shown is done, or nothing.

import { ask, perform } from "./asking.js";
import { byId, make, say, visible } from "./dom.js";
import { known, pending } from "./model.js";

const dialog = byId("plan");
const number = byId("plan-number");
const build = byId("plan-build");
const orphans = byId("plan-orphans");
const doIt = byId("plan-do");
let asked = null; // what the plan is of
let steps = null; // the plan, once it is there
let turn = 0;
let boxes = new Map(); // profile → its checkbox

export function open(project, service, count) {
  asked = { project, service };
  byId("plan-scale").hidden = service === undefined;
  byId("plan-options").hidden = service !== undefined;
  say(byId("plan-title"), service === undefined ? `Up: ${visible(project)}` : `Scale ${visible(service)}`);
  number.value = String(count ?? 1);
  build.checked = Boolean(pending.get(project)?.builds.length);
  orphans.checked = false;
  const { profiles = [], active = [] } = known.get(project) ?? {};
  boxes = new Map(profiles.map((name) => [name, make("input", { type: "checkbox", change: look })]));
  for (const [name, box] of boxes) box.checked = active.includes(name);
  byId("plan-profiles").hidden = service !== undefined || !boxes.size;
  byId("plan-profile-list").replaceChildren(...[...boxes].map(([name, box]) => make("label", { class: "check" }, box, ` ${visible(name)}`)));
  dialog.showModal();
  (service === undefined ? doIt : number).focus();
  look();
}

function request() {
  if (asked.service !== undefined) return { project: asked.project, scale: { [asked.service]: number.valueAsNumber } };
  return { project: asked.project, build: build.checked, removeOrphans: orphans.checked, profiles: [...boxes].filter(([, box]) => box.checked).map(([name]) => name) };
}

async function look() {
  const mine = (turn += 1);
  const state = byId("plan-state");
  const list = byId("plan-steps");
  steps = null;
  doIt.disabled = true;
  state.classList.remove("bad");
  if (asked.service !== undefined && !number.checkValidity()) return;
  say(state, "planning…");
  try {
    const answer = await ask("/plan", request());
    if (mine !== turn) return;
    steps = answer.steps;
    const todo = steps.filter((step) => !step.warning).length;
    say(state, todo ? `${todo} ${todo === 1 ? "thing" : "things"} to do, by ${answer.files.map(visible).join(", ")}` : `Nothing to do: all is as ${answer.files.map(visible).join(", ")} says.`);
    list.replaceChildren(...steps.map(line));
    doIt.disabled = !todo;
    // It lost the focus by being disabled; who has gone on to another field stays there.
    if (todo && !dialog.contains(document.activeElement)) doIt.focus();
  } catch (error) {
    if (mine !== turn) return;
    list.replaceChildren();
    state.classList.add("bad");
    say(state, error.message);
  }
}

export function line(step) {
  const why = step.why ? `, ${visible(step.why)}` : "";
  return make("li", { class: step.warning ? "waiting" : null }, make("b", {}, visible(step.what)), ` ${visible(step.does.join(", "))}`,
    make("span", { class: "why" }, why));
}

doIt.addEventListener("click", () => {
  if (!steps) return;
  const title = asked.service === undefined ? `up ${visible(asked.project)}` : `scale ${visible(asked.service)}`;
  const whole = { action: "apply", ...request(), steps };
  dialog.close();
  perform(title, whole);
});
byId("plan-cancel").addEventListener("click", () => dialog.close());
dialog.addEventListener("close", () => {
  turn += 1;
});
let soon = 0;
number.addEventListener("input", () => {
  clearTimeout(soon);
  doIt.disabled = true;
  soon = setTimeout(look, 250);
});
for (const box of [build, orphans]) box.addEventListener("change", look);
byId("plan-form").addEventListener("submit", (event) => {
  event.preventDefault();
  if (!doIt.disabled) doIt.click();
});

// Requests that change something, or ask what would change.

import { byId, say, visible } from "./dom.js";

export async function ask(path, asked) {
  let answer;
  try {
    answer = await fetch(path, {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(asked),
    });
  } catch {
    throw new Error("the server doesn't answer");
  }
  if (answer.ok) return answer.status === 204 ? null : answer.json();
  throw new Error(visible((await answer.json()).message));
}

const KEPT_MS = 10000;
let kept = 0;

// What went well is said for a while, what didn't until somebody takes it away.
byId("said").addEventListener("click", () => say(byId("said"), ""));

// Does something, and says at the foot of the page what has become of it.
export async function perform(title, asked) {
  const said = byId("said");
  clearTimeout(kept);
  said.classList.remove("bad");
  say(said, `${title}…`);
  try {
    await ask("/act", asked);
    say(said, `${title}: done`);
    clearTimeout(kept);
    kept = setTimeout(() => say(said, ""), KEPT_MS);
    return true;
  } catch (error) {
    said.classList.add("bad");
    say(said, error.message.startsWith("the server") ? `${title}: ${error.message}` : error.message);
    return false;
  }
}

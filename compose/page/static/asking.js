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

// Does something, and says at the foot of the page what has become of it.
export async function perform(title, asked) {
  const said = byId("said");
  said.classList.remove("bad");
  say(said, `${title}…`);
  try {
    await ask("/act", asked);
    say(said, `${title}: done`);
    return true;
  } catch (error) {
    said.classList.add("bad");
    say(said, error.message.startsWith("the server") ? `${title}: ${error.message}` : error.message);
    return false;
  }
}

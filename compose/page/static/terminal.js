// A shell in a container: one request that prints as long as the shell lives, and one for each bit that is typed.

import { FitAddon } from "./vendor/addon-fit.js";
import { Terminal } from "./vendor/xterm.js";
import { byId, say, visible } from "./dom.js";

const wanted = new URLSearchParams(location.search);
const terminal = new Terminal({ cursorBlink: true, fontSize: 13, scrollback: 5000, screenReaderMode: true, theme: { background: "#0d1117", foreground: "#e6edf3" } });
const fit = new FitAddon();
const encoder = new TextEncoder();
let id = "";
let waiting = "";
let busy = false;

terminal.loadAddon(fit);
terminal.open(byId("terminal"));
fit.fit();
terminal.focus();
document.title = `${visible(wanted.get("name") ?? "shell")} – pycompose`;

async function post(what, body) {
  return fetch(what, { method: "POST", body });
}

// One after the other, so that what is typed arrives in its order.
async function send() {
  if (busy || !id) return;
  busy = true;
  while (waiting && id) {
    const text = waiting;
    waiting = "";
    const answer = await post(`/shell/${id}/input`, encoder.encode(text)).catch(() => null);
    if (answer?.status === 503) {
      waiting = text + waiting;
      await new Promise((later) => setTimeout(later, 200));
    }
  }
  busy = false;
}

async function run() {
  const size = { rows: terminal.rows, columns: terminal.cols };
  const answer = await post("/shell", JSON.stringify({ project: wanted.get("project"), container: wanted.get("container"), ...size }));
  if (!answer.ok) throw new Error((await answer.json()).message);
  id = answer.headers.get("X-Shell");
  say(byId("state"), "connected: closing this tab ends the shell");
  resize();
  send();
  const reader = answer.body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    await new Promise((shown) => terminal.write(value, shown));
  }
}

function resize() {
  fit.fit();
  if (id) post(`/shell/${id}/size`, JSON.stringify({ rows: terminal.rows, columns: terminal.cols })).catch(() => {});
}

terminal.onData((text) => {
  waiting += text;
  send();
});
new ResizeObserver(resize).observe(byId("terminal"));
run().then(() => say(byId("state"), "the shell has ended"), (error) => say(byId("state"), visible(error.message)))
  .finally(() => {
    id = "";
  });

// A shell in a container, on a WebSocket (compose/page/shells.py).

import { FitAddon } from "./vendor/addon-fit.js";
import { Terminal } from "./vendor/xterm.js";
import { byId, say, visible } from "./dom.js";
import { address } from "./link.js";

const PIECE = 8192;

const wanted = new URLSearchParams(location.search);
const terminal = new Terminal({ cursorBlink: true, fontSize: 13, scrollback: 5000, screenReaderMode: true, theme: { background: "#0d1117", foreground: "#e6edf3" } });
const fit = new FitAddon();

terminal.loadAddon(fit);
terminal.open(byId("terminal"));
fit.fit();
terminal.focus();
document.title = `${visible(wanted.get("name") ?? "shell")} – pycompose`;

const query = new URLSearchParams({ project: wanted.get("project"), container: wanted.get("container"), rows: terminal.rows, columns: terminal.cols });
const socket = new WebSocket(address(`/shell?${query}`));
socket.binaryType = "arraybuffer";
let opened = false;

function tell(what) {
  if (socket.readyState === WebSocket.OPEN) socket.send(`${JSON.stringify(what)}\n`);
}

socket.addEventListener("open", () => {
  opened = true;
  say(byId("state"), "connected: closing this tab ends the shell");
  resize();
});
// The server sends on when what it has sent is shown.
socket.addEventListener("message", (event) => terminal.write(new Uint8Array(event.data), () => tell({ shown: event.data.byteLength })));
socket.addEventListener("close", () => say(byId("state"), opened ? "the shell has ended" : "the server doesn't let a shell be opened"));

function resize() {
  fit.fit();
  tell({ size: [terminal.rows, terminal.cols] });
}

terminal.onData((text) => {
  const letters = [...text]; // no letter is cut in two
  for (let at = 0; at < letters.length; at += PIECE) tell({ typed: letters.slice(at, at + PIECE).join("") });
});
new ResizeObserver(resize).observe(byId("terminal"));

// The one way to the server: a WebSocket, on which it tells what there is, and what changes (compose/page/stream.py).

const AGAIN_MS = 500;
const REFUSED_MS = 5000; // another tab may get the token
const takers = new Map(); // kind of message → who takes it
let socket = null;

export function on(kind, take) {
  takers.set(kind, take);
}

// Says something to the server; what is said while there is none is lost: whoever needs it says it again when there is.
export function say(what) {
  if (socket?.readyState === WebSocket.OPEN) socket.send(`${JSON.stringify(what)}\n`);
}

export function address(path) {
  return `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${path}`;
}

export function connect(linked) {
  socket = new WebSocket(address("/stream"));
  let opened = false;
  socket.addEventListener("open", () => {
    opened = true;
    linked("live");
  });
  socket.addEventListener("close", async () => {
    const refused = !opened && await isRefused();
    linked(refused ? "refused" : "lost");
    setTimeout(() => connect(linked), refused ? REFUSED_MS : AGAIN_MS);
  });
  socket.addEventListener("message", (event) => {
    const [kind, value] = JSON.parse(event.data);
    takers.get(kind)?.(value);
  });
}

// A browser doesn't say why a WebSocket couldn't be opened: whether there is a server that has another token.
async function isRefused() {
  try {
    return (await fetch("/", { method: "HEAD" })).status === 403;
  } catch {
    return false;
  }
}

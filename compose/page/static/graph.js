// The dependency graph: the server says where the boxes stand, the states are painted here.

import { drawn, say } from "./dom.js";

let shown = null; // the graph that is drawn, and its groups by service
let groups = new Map();

export function show(place, graph, services, choose) {
  if (!graph || !graph.arrows.length) {
    place.replaceChildren();
    place.hidden = true;
    shown = null;
    return;
  }
  place.hidden = false;
  if (graph !== shown) {
    draw(place, graph, choose);
    shown = graph;
  }
  const known = new Map(services.map((service) => [service.name, service]));
  for (const [name, { group, note, title }] of groups) {
    const service = known.get(name);
    const said = service ? service.words : "not created";
    group.setAttribute("class", `node ${service ? service.tone : "absent"}`);
    group.setAttribute("aria-label", `${name}: ${said}`);
    say(note, short(said, graph.box[0], 6.6));
    say(title, `${name}: ${said}`);
  }
}

function short(text, width, each) {
  const most = Math.floor((width - 14) / each);
  return text.length > most ? `${text.slice(0, most)}…` : text;
}

function draw(place, graph, choose) {
  const [width, height] = graph.box;
  const head = drawn("marker", { id: "head", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto" },
    drawn("path", { class: "head", d: "M0 0 8 4 0 8z" }));
  const svg = drawn("svg", { width: graph.width, height: graph.height, viewBox: `0 0 ${graph.width} ${graph.height}` }, drawn("defs", {}, head));
  for (const arrow of graph.arrows) svg.append(drawn("path", { class: "arrow", d: arrow.path, "marker-end": "url(#head)" }));
  groups = new Map();
  for (const [name, [x, y]] of Object.entries(graph.boxes)) {
    const title = drawn("title");
    const note = drawn("text", { class: "note", x: x + width / 2, y: y + 38, "text-anchor": "middle" });
    const group = drawn("g", {
      tabindex: 0, role: "button",
      click: () => choose(name),
      keydown: (event) => {
        if (event.key === "Enter" || event.key === " ") {
          event.preventDefault();
          choose(name);
        }
      },
    }, title, drawn("rect", { class: "box", x, y, width, height, rx: 7 }),
    drawn("text", { class: "name", x: x + width / 2, y: y + 21, "text-anchor": "middle" }, short(name, width, 8.4)), note);
    groups.set(name, { group, note, title });
    svg.append(group);
  }
  for (const { end: [[x, y], [toX, toY]], condition } of graph.arrows) {
    if (condition !== "started") svg.append(drawn("text", { class: "label", x: (x + toX) / 2, y: (y + toY) / 2 - 4, "text-anchor": "middle" }, condition));
  }
  place.replaceChildren(svg);
}

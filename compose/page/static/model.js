// What the page knows: projects of containers, brought up to date by the server's messages (compose/page/stream.py).

export const known = new Map(); // name → {services: {name: image}, profiles, active, graph}: what compose files say
export const projects = new Map(); // name → {rows: Map(id → row), graph}
export const uses = new Map(); // id → [[at, cpu, memory, limit, received, sent], …]
export const pending = new Map(); // name → {files, steps, builds, error}: what `up` would do about files that have changed
export const about = { readOnly: true, only: "" };
export const STANDALONE = "_containers";
const SAMPLES = 150;
const TONES = ["off", "good", "waiting", "bad"];

export function snapshot(message) {
  about.readOnly = message.readOnly;
  about.only = message.only;
  projects.clear();
  for (const [name, project] of Object.entries(message.projects)) {
    projects.set(name, { rows: new Map(Object.entries(project.rows)), graph: project.graph });
  }
}

export function change(message) {
  const project = projects.get(message.project) ?? { rows: new Map(), graph: null };
  for (const [id, row] of Object.entries(message.rows)) {
    if (row) project.rows.set(id, row);
    else {
      project.rows.delete(id);
      uses.delete(id);
    }
  }
  if (message.graph) project.graph = message.graph;
  if (project.rows.size) projects.set(message.project, project);
  else projects.delete(message.project);
}

export function awaits(message) {
  replace(pending, message);
}

export function knows(message) {
  replace(known, message);
}

function replace(map, message) {
  map.clear();
  for (const [name, found] of Object.entries(message)) map.set(name, found);
}

// All projects, those too that are down.
export function names() {
  return [...new Set([...projects.keys(), ...known.keys()])].sort();
}

export function usage(message) {
  for (const [id, use] of Object.entries(message.use)) {
    const known = uses.get(id) ?? [];
    known.push([message.at, ...use]);
    if (known.length > SAMPLES) known.shift();
    uses.set(id, known);
  }
}

export function row(id) {
  for (const project of projects.values()) {
    const found = project.rows.get(id);
    if (found) return found;
  }
  return undefined;
}

// The services of a project, each with its containers: replicas by number, one-offs behind them. Some have none.
export function services(name) {
  const found = new Map();
  for (const [key, image] of Object.entries(known.get(name)?.services ?? {})) found.set(key, { name: key, image, containers: [] });
  for (const container of projects.get(name)?.rows.values() ?? []) {
    const key = container.service;
    if (!found.has(key)) found.set(key, { name: key, containers: [] });
    found.get(key).containers.push(container);
  }
  for (const service of found.values()) {
    service.containers.sort((a, b) => a.oneoff - b.oneoff || a.number - b.number);
    const replicas = service.containers.filter((c) => !c.oneoff);
    const counted = replicas.length ? replicas : service.containers;
    service.tone = counted.reduce((worst, c) => (TONES.indexOf(c.tone) > TONES.indexOf(worst) ? c.tone : worst), "off");
    service.words = counted.length ? words(counted) : "not created";
  }
  for (const service of found.values()) service.waits = waits(service, found);
  return [...found.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

function words(containers) {
  if (containers.length === 1) return containers[0].words;
  const counts = new Map();
  for (const { words: said } of containers) counts.set(said, (counts.get(said) ?? 0) + 1);
  return [...counts].map(([said, count]) => `${count} ${said}`).join(", ");
}

// What has to come before a service that was created starts, and why it hasn't.
function waits(service, all) {
  const created = service.containers.find((c) => c.state === "created" && !c.oneoff);
  if (!created) return [];
  const found = [];
  for (const need of created.needs) {
    const other = all.get(need.service);
    const reached = other && other.containers.some((c) => met(c, need.condition));
    if (reached) continue;
    const probe = other?.containers.map((c) => c.probe).find((p) => p && p.code !== 0);
    const why = probe ? `, probe failed ${probe.failed} times: ${probe.output.trim() || `exit code ${probe.code}`}` : "";
    found.push(`waits for ${need.service}: ${need.condition} (now ${other ? other.words : "not created"}${why})`);
  }
  return found;
}

function met(container, condition) {
  if (condition === "healthy") return container.health === "healthy";
  if (condition === "completed") return container.state === "exited" && container.words.startsWith("exited (0)");
  return container.state === "running";
}

// dockerode upon an Engine API (DOCKER_HOST): what it does for containers, exec (with and without hijacking), images, events.
const assert = require("assert");
const Docker = require("dockerode");
const docker = new Docker({ socketPath: process.argv[2] });
const text = async (stream) => {
  const parts = [];
  for await (const part of stream) parts.push(part);
  return Buffer.concat(parts).toString();
};
const packed = (name, content) => {
  const head = Buffer.alloc(512);
  head.write(name, 0);
  head.write("0000644\0" + "0000000\0" + "0000000\0", 100);
  head.write(content.length.toString(8).padStart(11, "0") + "\0" + "00000000000\0" + "        " + "0", 124);
  head.write("ustar\0" + "00", 257);
  const sum = head.reduce((a, b) => a + b, 0);
  head.write(sum.toString(8).padStart(6, "0") + "\0 ", 148);
  const body = Buffer.alloc(Math.ceil(content.length / 512) * 512 + 1024);
  body.write(content);
  return Buffer.concat([head, body]);
};
(async () => {
  assert.equal((await docker.ping()).toString(), "OK");
  assert((await docker.version()).ApiVersion);
  const heard = [];
  const events = await docker.getEvents({ filters: { type: ["container", "network"] } });
  events.on("data", (data) => heard.push(...data.toString().trim().split("\n").map((line) => JSON.parse(line))));

  const network = await docker.createNetwork({ Name: "oden", Labels: { a: "b" } });
  const container = await docker.createContainer({
    Image: "busybox", name: "ode", Cmd: ["sh", "-c", "echo out; exec sleep 1000"], StopSignal: "SIGKILL",
    HostConfig: { NetworkMode: "oden", PortBindings: { "80/tcp": [{ HostPort: "" }] } }, ExposedPorts: { "80/tcp": {} },
  });
  await container.putArchive(packed("early", "x"), { path: "/" });
  await container.start();
  assert.equal((await container.inspect()).State.Status, "running");
  assert.deepEqual((await docker.listContainers({ filters: { name: ["ode"] } })).map((one) => one.Names[0]), ["/ode"]);

  for (const hijack of [true, false]) {
    const exec = await container.exec({ Cmd: ["sh", "-c", "cat; exit 3"], AttachStdin: hijack, AttachStdout: true, AttachStderr: true });
    const stream = await exec.start({ hijack, stdin: hijack });
    if (hijack) stream.end("typed");
    const said = await text(stream);
    assert(said.includes(hijack ? "typed" : ""), said);
    assert.equal((await exec.inspect()).ExitCode, 3);
  }
  assert((await text(await container.getArchive({ path: "/early" }))).includes("x"));
  assert((await container.logs({ stdout: true })).toString().includes("out"));
  assert((await container.stats({ stream: false })).memory_stats.usage > 0);

  const building = await docker.buildImage(require("stream").Readable.from([packed("Dockerfile", "FROM busybox\nRUN echo made\n")]), { t: "ode:1" });
  const lines = await new Promise((done, failed) => docker.modem.followProgress(building, (error, all) => (error ? failed(error) : done(all))));
  assert(lines.some((line) => line.aux && line.aux.ID));
  assert(lines.some((line) => line.stream === "made\n"));
  await docker.getImage("ode:1").remove();

  await container.stop({ t: 0 });
  assert.equal((await container.wait()).StatusCode, 137);
  await container.remove();
  await network.remove();
  await assert.rejects(container.inspect(), { statusCode: 404 });
  const seen = () => new Set(heard.map((event) => `${event.Type} ${event.Action}`));
  const wanted = ["network create", "container create", "network connect", "container start", "container die", "network disconnect", "container destroy", "network destroy"];
  for (let left = 200; left && !wanted.every((one) => seen().has(one)); left--) await new Promise((done) => setTimeout(done, 50));
  assert.deepEqual(wanted.filter((one) => !seen().has(one)), []);
  events.destroy();
  console.log("all of it");
})().catch((error) => {
  console.error(error);
  process.exit(1);
});

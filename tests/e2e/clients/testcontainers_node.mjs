// testcontainers for node upon an Engine API (DOCKER_HOST), without its reaper: containers, networks, health, a build, Compose.
import assert from "node:assert";
import fs from "node:fs";
import path from "node:path";
import { createRequire } from "node:module";
const require = createRequire(path.join(process.cwd(), "x.js"));
const { GenericContainer, Network, Wait } = require("testcontainers");
const scratch = process.argv[2];
const said = async (address) => (await fetch(address)).text();

const web = await new GenericContainer("busybox")
  .withCommand(["sh", "-c", "echo Serving; mkdir /w; echo page >/w/index.html; exec httpd -f -p 8000 -h /w"])
  .withEnvironment({ A: "1" }).withExposedPorts(8000).withWaitStrategy(Wait.forLogMessage("Serving"))
  .withCopyContentToContainer([{ content: "early", target: "/tmp/early" }]).start();
assert.equal(await said(`http://${web.getHost()}:${web.getMappedPort(8000)}/`), "page\n");
assert.deepEqual(((r) => [r.exitCode, r.stdout])(await web.exec(["sh", "-c", "cat /tmp/early; exit 3"])), [3, "early"]);
await web.restart({ timeout: 0 });
await web.stop({ timeout: 0 });

const healthy = await new GenericContainer("busybox").withCommand(["sleep", "100"])
  .withHealthCheck({ test: ["CMD", "true"], interval: 500, timeout: 1000, retries: 3 }).withWaitStrategy(Wait.forHealthCheck()).start();
await healthy.stop({ timeout: 0 });

const network = await new Network().start();
const db = await new GenericContainer("busybox").withCommand(["sleep", "100"]).withNetwork(network).withNetworkAliases("db").start();
const asking = await new GenericContainer("busybox").withCommand(["sleep", "100"]).withNetwork(network).start();
assert.equal((await asking.exec(["ping", "-c1", "db"])).exitCode, 0);
await asking.stop({ timeout: 0 });
await db.stop({ timeout: 0 });
await network.stop();

fs.writeFileSync(path.join(scratch, "Dockerfile"), "FROM busybox\nRUN echo made >/made\n");
const image = await GenericContainer.fromDockerfile(scratch).build("tcn:1", { deleteOnExit: false });
const built = await image.withCommand(["sleep", "100"]).start();
assert.equal((await built.exec(["cat", "/made"])).stdout, "made\n");
await built.stop({ timeout: 0 });
console.log("all of it");

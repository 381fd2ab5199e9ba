// npm's docker-compose, told which program to run: every call that it has for one service. Prints what failed, and how many.
const client = require("docker-compose");
const options = { cwd: process.argv[2], executable: { executablePath: process.argv[3] } };
const calls = {
  upAll: () => client.upAll(options),
  ps: () => client.ps(options),
  exec: () => client.exec("web", "echo hi", options),
  logs: () => client.logs("web", options),
  port: () => client.port("web", 80, options),
  config: () => client.config(options),
  configServices: () => client.configServices(options),
  images: () => client.images(options),
  version: () => client.version(options),
  run: () => client.run("web", "true", { ...options, commandOptions: ["--rm"] }),
  restartAll: () => client.restartAll(options),
  stats: () => client.stats("web", options),
  buildAll: () => client.buildAll(options),
  pauseOne: () => client.pauseOne("web", options),
  unpauseOne: () => client.unpauseOne("web", options),
  stop: () => client.stop({ ...options, commandOptions: ["-t", "0"] }),
  rm: () => client.rm(options),
  down: () => client.down(options),
};
(async () => {
  let good = 0;
  for (const [name, call] of Object.entries(calls)) {
    try {
      await call();
      good += 1;
    } catch (error) {
      console.log(`${name}: ${JSON.stringify(error)}`);
    }
  }
  console.log(`${good} of ${Object.keys(calls).length}`);
})();

"""A random walk of commands with kill -9 at random moments: every kill is made good by the next `up -d`.

The short form runs always. PYCOMPOSE_KILLS=200 walks for longer; the seed is printed, and PYCOMPOSE_KILL_SEED
repeats it: the same commands, victims and (as fractions of what a command takes) moments.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.scenario import Host, Hosts, eventually

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.support.terminal import Running

KILLS = int(os.environ.get("PYCOMPOSE_KILLS") or 8)
SEED = int(os.environ.get("PYCOMPOSE_KILL_SEED") or random.SystemRandom().randrange(10**6))
CHANCE = 0.7
COMPOSE = """
x-service: &service
  image: busybox
  environment: {{GENERATION: "{generation}"}}
  command: [sh, -c, "trap exit TERM; sleep 1000 & wait"]
  stop_grace_period: 2s
services:
  db:
    <<: *service
    networks: [back]
    volumes: ["data:/data"]
    healthcheck: {{test: [CMD, "true"], interval: 100ms}}
  migrate:
    <<: *service
    command: [sh, -c, "echo done >> /data/done"]
    networks: [back]
    volumes: ["data:/data"]
    depends_on: {{db: {{condition: service_healthy}}}}
  web:
    <<: *service
    command: [sh, -c, "mkdir -p /www && echo $$GENERATION > /www/index.html && exec httpd -f -p 80 -h /www"]
    init: true
    ports: ["8080:80"]
    networks: [default, back]
    depends_on: {{migrate: {{condition: service_completed_successfully}}}}
  cache:
    <<: *service
    volumes: ["/scratch"]
    post_start: [{{command: [touch, /scratch/started]}}]
    pre_stop: [{{command: [touch, /scratch/stopped]}}]
  worker:
    <<: *service
    scale: 2
    mem_limit: 32m
    networks: [default, back]
    volumes: ["/scratch"]
    depends_on: [cache]
  pulse:
    <<: *service
    command: [sleep, "1"]
    init: true
    restart: always
networks: {{back: {{}}}}
volumes: {{data: {{}}}}
"""
RUNNING = {"db": 1, "web": 1, "cache": 1, "worker": 2, "pulse": 1}
# How the command line of each victim is recognised. The keeper's children look like it until they execute.
VICTIMS = {
    "cli": (),
    "supervisor": ("pycompose.supervisor",),
    "keeper": ("pycompose.engine.keeper",),
    "both": ("pycompose.engine.keeper", "pycompose.supervisor"),
    "forkserver": ("pycompose.forkserver",),
}
# What the walk chooses from, and how often; "up changed" writes another compose file first.
COMMANDS: dict[str, int] = {
    "up -d": 4,
    "up changed": 4,
    "up -d --force-recreate": 3,
    "up -d --force-recreate -V worker cache": 1,
    "down": 4,
    "stop": 2,
    "stop web db": 1,
    "start": 2,
    "restart": 2,
    "restart -t 1 db": 1,
    "scale worker=4 --no-deps": 2,
    "scale worker=1 --no-deps": 1,
    "kill cache": 1,
    "rm -fsv worker": 2,
    "run --rm -T worker sleep 0.2": 3,
    "run -d --no-deps cache sleep 0.3": 1,
    "exec -T web sleep 0.1": 2,
    "pause worker": 1,
    "unpause": 1,
    "logs --tail 5": 1,
    "ps -a": 1,
    "cp in.txt db:/data/in.txt": 2,
    "cp db:/data out": 1,
}


@dataclass(kw_only=True)
class Walk:
    """One project that is walked through; `took` has what each command took last when nobody was killed."""

    host: Host
    folder: Path
    dice: random.Random
    generation: int = 0
    took: dict[str, float] = field(default_factory=dict)
    kills: Counter[str] = field(default_factory=Counter)

    def write(self) -> None:
        """Write the compose file, with another environment than before."""
        self.generation += 1
        text = COMPOSE.format(generation=self.generation)
        (self.folder / "compose.yaml").write_text(text, encoding="utf-8")

    def step(self, *, kill: bool) -> None:
        """Run a random command, and perhaps kill somebody meanwhile."""
        shown = self.dice.choices(list(COMMANDS), list(COMMANDS.values()))[0]
        victim, moment = self.dice.choice(list(VICTIMS)), self.dice.random()
        if shown == "up changed":
            self.write()
        words = ["up", "-d"] if shown == "up changed" else shown.split()
        start = time.monotonic()
        running = self.host.spawn(*words, cwd=self.folder)
        if kill:
            delay_s = moment * self.took.get(shown, 0.4)
            print(f"--- kill {sum(self.kills.values()) + 1}: {victim}, {delay_s:.3f} s into {shown}")
            self.kills[victim] += self.kill(running, victim, delay_s)
        code = running.wait(60)
        print(f"[{shown}: exit code {code}, {time.monotonic() - start:.2f} s]\n{running.transcript()}")
        assert "Traceback" not in running.output + running.errors
        running.close()
        if not kill:
            self.took[shown] = time.monotonic() - start

    def kill(self, running: Running, victim: str, delay_s: float) -> bool:
        """Kill the victim after a while; False when there was none."""
        running.sleep(delay_s)
        pids = [running.process.pid] if victim == "cli" and running.process.poll() is None else []
        for text in VICTIMS[victim]:
            pids += self.host.processes(text)[:1]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return bool(pids)

    def converge(self) -> None:
        """Let one command make everything good, and look whether it has."""
        for entry in self.containers():
            if entry["State"] == "paused":  # which `up` doesn't start
                self.run("container", "unpause", entry["Name"])
        self.run("up", "-d")
        eventually(self.is_whole)
        web = self.run("exec", "-T", "web", "sh", "-c", "nslookup db >/dev/null && cat /www/index.html")
        assert web == f"{self.generation}\n"
        eventually(lambda: self.published() == str(self.generation))

    def is_whole(self) -> bool:
        """Assert that exactly what the file says is there, made from this file, and no half-made thing beside it."""
        found = self.containers(oneoff=True)
        replicas = [entry for entry in found if "-run-" not in entry["Name"]]
        active = Counter(
            entry["Service"] for entry in replicas if entry["State"] in ("running", "restarting")
        )
        assert active == RUNNING, found
        assert [
            (entry["State"], entry["ExitCode"]) for entry in replicas if entry["Service"] == "migrate"
        ] == [("exited", 0)]
        shown = self.host.run("inspect", *(entry["Name"] for entry in replicas), cwd=self.folder).ok().json()
        wanted = f"GENERATION={self.generation}"
        assert [entry["Name"] for entry in shown if wanted not in entry["Config"]["Env"]] == []
        on_disk = {path.name for path in self.host.inside(lambda: list(self.host.paths.containers.iterdir()))}
        assert on_disk == {entry["ID"] for entry in found}
        return True

    def containers(self, *, oneoff: bool = False) -> list[dict[str, Any]]:
        """Return what `ps` knows, of one-off containers too."""
        words = ["container", "ls", "-a"] if oneoff else ["ps", "-a"]
        entries = self.host.run(*words, "--no-trunc", "--format", "json", cwd=self.folder).ok()
        found = entries.json() if entries.stdout.strip() else []
        return found if isinstance(found, list) else [found]

    def published(self) -> str:
        """Return what the published port answers."""

        def ask() -> str:
            connection = http.client.HTTPConnection("127.0.0.1", 8080, timeout=5)
            try:
                connection.request("GET", "/index.html")
                return connection.getresponse().read().decode().strip()
            finally:
                connection.close()

        return self.host.inside(ask)

    def run(self, *words: str) -> str:
        """Run a command that has to succeed; return what it printed."""
        return self.host.run(*words, cwd=self.folder, timeout_s=90).ok().stdout

    def clean_up(self, options: Sequence[str] = ()) -> None:
        """Take everything down; nothing may be left."""
        self.run("down", "--remove-orphans", *options)  # what `run -d` has made is one, as in Compose
        assert self.host.watch.wait() == []


@pytest.mark.timeout(90 + 15 * KILLS)
@pytest.mark.parametrize("reaps", (True, False), ids=("", "process 1 never reaps"))
def test_random_walk(hosts: Hosts, busybox_tar: Path, *, reaps: bool) -> None:
    """After each kill one `up -d` makes the project whole, with the right configuration; `down` leaves nothing."""
    print(f"PYCOMPOSE_KILL_SEED={SEED}")
    busy = hosts(reaps=reaps)
    busy.run("image", "import", busybox_tar, "busybox").ok()
    folder = busy.project({"compose.yaml": "", "in.txt": "in\n"})
    walk = Walk(host=busy, folder=folder, dice=random.Random(SEED))  # noqa: S311
    walk.write()
    walk.converge()
    while sum(walk.kills.values()) < KILLS:
        if kill := walk.dice.random() < CHANCE:
            walk.step(kill=kill)
            if walk.dice.random() < 0.2:  # clean up at once, then carry on
                walk.clean_up()
            walk.converge()
        else:
            walk.step(kill=kill)
    print(f"kills: {dict(walk.kills)}")
    done = walk.run("exec", "-T", "db", "cat", "/data/done").splitlines()
    assert set(done) == {"done"}  # the volume has lived through everything
    walk.clean_up(["-v"])
    # Those of containers that were killed while they were replaced: nobody's, and not the project's.
    busy.run("volume", "prune", "--force").ok()
    assert busy.run("volume", "ls", "-q").ok().stdout.split() == []

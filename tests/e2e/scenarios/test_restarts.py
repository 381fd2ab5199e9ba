"""How services end, and who is started again."""

from __future__ import annotations

import re
import time

import pytest

from tests.support.scene import Scene

# Counts its runs, and ends with $CODE as soon as ./shared/go is there (it takes the file away).
RUNS = """
services:
  app:
    image: busybox
    command:
      - sh
      - -c
      - |
        trap 'exit 0' TERM
        echo run >>/shared/runs
        until test -e /shared/go; do sleep 0.05; done
        rm /shared/go
        exit %s
    volumes: ['./shared:/shared']
    %s
"""
FAILS = """
services:
  app:
    image: busybox
    command: [sh, -c, "echo run >>/shared/runs; exit %s"]
    volumes: ['./shared:/shared']
    %s
"""


@pytest.mark.parametrize("policy", ("always", "unless-stopped"))
def test_always(scene: Scene, policy: str) -> None:
    """`always` and `unless-stopped` must start the same container again, but not after `stop`."""
    scene.file("shared/runs", "")
    scene.up(RUNS % (0, f"restart: {policy}"))
    before = scene.one("app")
    scene.expect_text("shared/runs", "run\n")
    scene.file("shared/go", "")
    scene.expect_text("shared/runs", "run\nrun\n")
    scene.eventually(lambda: scene.one("app").state == "running")
    after = scene.one("app")
    assert (after.id, after.restarts) == (before.id, 1)
    scene.compose("stop")
    scene.expect_exit("app", 0)
    assert scene.read("shared/runs") == "run\nrun\n"


@pytest.mark.parametrize(
    ("code", "policy", "runs"),
    (
        (7, "restart: 'no'", 1),
        (7, "labels: {no: policy}", 1),
        (0, "restart: on-failure", 1),
        (7, "restart: on-failure:2", 3),
        (7, "deploy: {restart_policy: {condition: on-failure, max_attempts: 1}}", 2),
        (7, "deploy: {restart_policy: {condition: none}}", 1),
    ),
    ids=("no", "default", "on-failure-success", "on-failure-2", "deploy", "deploy-none"),
)
def test_counted(scene: Scene, code: int, policy: str, runs: int) -> None:
    """A restart policy must start a service as often as it says, and leave the last exit code."""
    scene.file("shared/runs", "")
    scene.up(FAILS % (code, policy))
    scene.expect_text("shared/runs", "run\n" * runs)
    scene.expect_exit("app", code)
    assert scene.read("shared/runs") == "run\n" * runs


def test_restarting_is_a_state(scene: Scene) -> None:
    """A service that fails again and again must be seen as restarting, and `stop` must end that."""
    scene.file("shared/runs", "")
    scene.up(FAILS % (7, "restart: always"))
    scene.eventually(lambda: scene.one("app").state == "restarting")
    scene.eventually(lambda: scene.one("app").restarts >= 3)
    scene.compose("stop", "-t", "0")
    runs = scene.read("shared/runs")
    scene.expect({"app-1": "exited"})
    assert scene.one("app").exit_code in (7, 137)  # 137 when it was running just then
    assert scene.read("shared/runs") == runs


def test_kill_is_meant(scene: Scene) -> None:
    """`kill` must end a service that is always restarted for good, with 137."""
    scene.file("shared/runs", "")
    scene.up(RUNS % (0, "restart: always"))
    scene.expect_text("shared/runs", "run\n")
    scene.compose("kill")
    scene.expect_exit("app", 137)


def test_up_starts_a_stopped_one(scene: Scene) -> None:
    """`start` and `up` must bring back what was stopped, restart policy and all."""
    scene.file("shared/runs", "")
    scene.up(RUNS % (3, "restart: on-failure"))
    scene.expect_text("shared/runs", "run\n")
    scene.compose("stop")
    scene.compose("start")
    scene.expect_text("shared/runs", "run\nrun\n")
    scene.file("shared/go", "")
    scene.expect_text("shared/runs", "run\nrun\nrun\n")


def timed(scene: Scene, *arguments: str) -> float:
    """Return how many seconds a command takes."""
    start = time.monotonic()
    scene.compose(*arguments)
    return time.monotonic() - start


def test_stop_signal(scene: Scene) -> None:
    """`stop_signal` must be the signal that `stop` and `restart` send."""
    scene.up(
        """
services:
  app:
    image: busybox
    command: [sh, -c, "trap 'echo got int; exit 5' INT; trap '' TERM; echo up; sleep 1000 & wait"]
    stop_signal: SIGINT
"""
    )
    scene.eventually(lambda: "up" in scene.logs())
    scene.compose("stop")
    scene.expect_exit("app", 5)
    assert "got int" in scene.logs()


@pytest.mark.parametrize("how", ("file", "flag"))
def test_grace_period(scene: Scene, how: str) -> None:
    """A service that ignores the signal must be killed after `stop_grace_period`, or `-t`."""
    grace = "1s" if how == "file" else "100s"
    scene.up(
        f"""
services:
  app:
    image: busybox
    command: [sh, -c, "trap 'echo not yet' TERM; echo up; while true; do sleep 0.1; done"]
    stop_grace_period: {grace}
"""
    )
    scene.eventually(lambda: "up" in scene.logs())
    took = timed(scene, "stop") if how == "file" else timed(scene, "stop", "-t", "1")
    scene.expect_exit("app", 137)
    assert "not yet" in scene.logs()
    assert took >= 1


def test_no_handler(scene: Scene) -> None:
    """A process 1 without a handler can't react to SIGTERM, and must not be waited for."""
    scene.up("services: {app: {image: busybox, command: [sleep, '1000'], stop_grace_period: 6s}}")
    took = timed(scene, "stop")
    scene.expect_exit("app", 137)
    assert (took < 6) == scene.differs("no-handler", docker=False, pycompose=True)


@pytest.mark.parametrize("wait", ("false", "true"))
def test_ignored_signal(scene: Scene, wait: str) -> None:
    """A process 1 that ignores SIGTERM must be killed, after the grace period where the service wants it."""
    if wait == "true" and scene.engine.name == "socket":
        pytest.skip("x-stop-wait is a key of ours, which Docker Compose doesn't pass on")
    grace_s = 2 if wait == "true" else 8
    scene.up(
        f"""
services:
  app:
    image: busybox
    command: [sh, -c, "trap '' TERM; echo up; while true; do sleep 0.1; done"]
    stop_grace_period: {grace_s}s
    x-stop-wait: {wait}
"""
    )
    scene.eventually(lambda: "up" in scene.logs())
    took = timed(scene, "stop")
    scene.expect_exit("app", 137)
    if wait == "true":
        assert took >= grace_s
    else:
        assert (took < grace_s) == scene.differs("no-handler", docker=False, pycompose=True)


def test_stop_at_once(scene: Scene) -> None:
    """Services that don't depend on each other must be stopped at the same time."""
    # Each ends when all have been told to.
    told = "touch /shared/$$HOSTNAME; until test $$(ls /shared | wc -l) = 4; do sleep 0.05; done; exit"
    service = f"""
    image: busybox
    command: [sh, -c, "trap '{told}' TERM; echo up; while true; do sleep 0.1; done"]
    volumes: ['./shared:/shared']
"""
    scene.up("services:\n" + "".join(f"  s{number}:{service}" for number in range(4)))
    scene.eventually(lambda: scene.logs().count("up") == 4)
    scene.compose("stop", "-t", "30")
    for number in range(4):
        scene.expect_exit(f"s{number}", 0)


@pytest.mark.parametrize(
    ("script", "code"),
    (
        ("exit 42", 42),
        ("kill -TERM $$$$; sleep 9", 143),
        ("kill -KILL $$$$; sleep 9", 137),
        ("not-a-command", 127),
    ),
    ids=("exit", "term", "kill", "127"),
)
def test_exit_codes(stage: Scene, script: str, code: int) -> None:
    """The exit code must be the process's own, or 128 and the signal."""
    stage.up(f"services: {{app: {{image: busybox, init: true, command: [sh, -c, '{script}']}}}}")
    stage.expect_exit("app", code)


@pytest.mark.parametrize("command", ("not-there", "/etc/passwd"))
def test_command_that_cannot_start(scene: Scene, command: str) -> None:
    """A command that doesn't exist, or can't be executed, must end `up` with 1 and its name."""
    result = scene.up(f"services: {{app: {{image: busybox, command: [{command}]}}}}", code=1)
    assert command in result.stderr


HOOKS = """
services:
  app:
    image: busybox
    command: [sh, -c, "trap 'echo term >>/shared/order; exit' TERM; echo main >>/shared/order; sleep 1000 & wait"]
    user: "1000"
    volumes: ['./shared:/shared']
    %s
"""


def hooks(text: str) -> str:
    """Return the project with hooks."""
    return HOOKS % text


def test_post_start_and_pre_stop(scene: Scene) -> None:
    """Hooks must run in the container after the start and before the stop, with their own user and variables."""
    scene.file("shared/order", "").chmod(0o666)
    scene.up(
        hooks(
            """post_start:
      - {command: [sh, -c, 'echo post $$A $$(id -u) >>/shared/order'], environment: {A: one}, user: root}
      - {command: [sh, -c, 'pwd >>/shared/order'], working_dir: /srv}
    pre_stop:
      - {command: [sh, -c, 'echo pre $$(id -u) >>/shared/order']}"""
        )
    )
    scene.eventually(lambda: len(scene.read("shared/order").split("\n")) == 4)
    lines = scene.read("shared/order").splitlines()
    assert [line for line in lines if line != "main"] == ["post one 0", "/srv"]
    scene.compose("stop")
    assert scene.read("shared/order").splitlines()[3:] == ["pre 1000", "term"]


def test_post_start_that_fails(scene: Scene) -> None:
    """A hook that fails must end `up` with 1 and its exit code."""
    scene.file("shared/order", "").chmod(0o666)
    result = scene.up(hooks("post_start: [{command: [sh, -c, 'exit 9']}]"), code=1)
    assert re.search(r"\b9\b", result.stderr)


def test_oom(scene: Scene) -> None:
    """A service that takes more memory than its limit must be killed, and end with 137."""
    scene.up(
        """
services:
  app:
    image: busybox
    mem_limit: 12m
    memswap_limit: 12m
    command: [sh, -c, "exec tail -c 100m </dev/zero"]
"""
    )
    scene.expect_exit("app", 137)

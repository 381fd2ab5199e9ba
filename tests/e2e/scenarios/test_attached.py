"""`up` in the foreground, `logs -f`: output, signals and exit codes."""

from __future__ import annotations

import json
import re
import signal
import time

import pytest

from tests.support.scene import Scene

TALK = """
services:
  web:
    image: busybox
    command: [sh, -c, "echo hello; echo oops >&2; trap 'echo bye; exit 3' TERM; sleep 1000 & wait"]
  database:
    image: busybox
    command: [sh, -c, "echo ready; trap exit TERM; sleep 1000 & wait"]
"""
# `quick` ends with 0, `fails` after it with 7, `stays` when it is told to, with 9.
ENDS = """
services:
  quick: {image: busybox, command: ["true"]}
  fails: {image: busybox, command: [sh, -c, "sleep 1; exit 7"]}
  stays: {image: busybox, command: [sh, -c, "trap 'exit 9' TERM; sleep 1000 & wait"]}
"""
SHORT = """
services:
  one: {image: busybox, command: [sh, -c, "echo from one; exit 4"]}
  two: {image: busybox, command: [sh, -c, "sleep 0.3; echo from two"]}
"""


def test_output(scene: Scene) -> None:
    """Attached `up` must print all output with names, keep the streams apart, and end with 0 when all have ended."""
    scene.file("compose.yaml", TALK.replace("sleep 1000 & wait", "sleep 0.5"))
    result = scene.compose("up", "--no-color")
    assert re.search(r"^web-1 +\| hello$", result.stdout, re.MULTILINE)
    assert re.search(r"^database-1 +\| ready$", result.stdout, re.MULTILINE)
    assert re.search(r"^web-1 +\| oops$", result.stderr, re.MULTILINE)
    assert "oops" not in result.stdout
    assert re.search(r"web-1.* exited with code 0", result.stdout + result.stderr)
    scene.expect({"web-1": "exited", "database-1": "exited"})


def test_exit_codes_do_not_matter(scene: Scene) -> None:
    """Attached `up` must end with 0 when everything ends by itself, whatever the exit codes."""
    scene.file("compose.yaml", SHORT)
    scene.compose("up")
    scene.expect_exit("one", 4)


@pytest.mark.parametrize(
    ("flags", "pattern"),
    (
        (("--no-log-prefix",), r"^from one$"),
        (("--timestamps",), r"^one-1 +\| \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z? from one$"),
        (("--attach", "one"), r"^one-1 +\| from one$"),
        (("--no-attach", "two"), r"^one-1 +\| from one$"),
    ),
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_is_shown(stage: Scene, flags: tuple[str, ...], pattern: str) -> None:
    """Attached `up` must show what its flags ask for."""
    stage.file("compose.yaml", SHORT)
    out = stage.compose("up", "--no-color", *flags).stdout
    assert re.search(pattern, out, re.MULTILINE)
    assert ("from two" in out) == (flags[0] not in ("--attach", "--no-attach"))


def test_attach_false(scene: Scene) -> None:
    """`attach: false` must leave a service out of the output of `up`, but not of `logs`."""
    scene.file("compose.yaml", SHORT.replace("{image", "{attach: false, image", 1))
    out = scene.compose("up").stdout
    assert "from one" not in out
    assert "from two" in out
    assert "from one" in scene.logs("one")


@pytest.mark.parametrize(
    ("flags", "code"),
    (
        (("--abort-on-container-exit",), 0),
        (("--abort-on-container-failure",), 7),
        (("--exit-code-from", "fails"), 7),
        (("--exit-code-from", "stays"), 9),
        (("--exit-code-from", "quick"), 0),
        (("--abort-on-container-failure", "--exit-code-from", "stays"), 9),
    ),
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_abort(scene: Scene, flags: tuple[str, ...], code: int) -> None:
    """The first end (or failure) must stop everything, and the exit code must be the one that was asked for."""
    text = ENDS
    if flags == ("--exit-code-from", "fails"):  # it has to be the first one to end
        text = text.replace('["true"]', '[sleep, "9"], stop_grace_period: 0s')
    scene.file("compose.yaml", text)
    scene.compose("up", *flags, code=code)
    assert set(scene.states().values()) == {"exited"}


def test_exit_code_from_nobody(scene: Scene) -> None:
    """`--exit-code-from` of a service that doesn't exist must fail."""
    scene.file("compose.yaml", SHORT)
    assert "nobody" in scene.compose("up", "--exit-code-from", "nobody", code=1).stderr


@pytest.mark.parametrize("number", (signal.SIGINT, signal.SIGTERM), ids=("SIGINT", "SIGTERM"))
def test_interrupt(scene: Scene, number: signal.Signals) -> None:
    """Ctrl+C (or SIGTERM) must let services end by themselves, keep them, and end with 130."""
    scene.file("compose.yaml", TALK)
    up = scene.spawn("up")
    up.expect(r"hello")
    up.expect(r"ready")
    up.expect(r"oops")
    up.process.send_signal(number)
    assert up.wait() == 130
    assert ("bye" in up.output) == scene.differs("output-while-stopping", docker=False, pycompose=True)
    scene.expect({"web-1": "exited", "database-1": "exited"})
    scene.expect_exit("web", 3)


def test_interrupt_twice(scene: Scene) -> None:
    """A second Ctrl+C must kill what still runs."""
    scene.file(
        "compose.yaml",
        """
services:
  app:
    image: busybox
    command: [sh, -c, "trap 'touch /shared/told' TERM; echo up; while true; do sleep 0.1; done"]
    stop_grace_period: 4s
    volumes: ['./shared:/shared']
""",
    )
    up = scene.spawn("up")
    up.expect(r"\| up")
    up.interrupt()
    up.expect("Gracefully")
    scene.eventually((scene.folder / "shared/told").exists)
    start = time.monotonic()
    up.interrupt()
    assert up.wait() == 130
    took = time.monotonic() - start
    scene.expect_exit("app", 137)
    assert (took < 3) == scene.differs("second-interrupt", docker=False, pycompose=True)


def test_interrupt_on_a_terminal(scene: Scene) -> None:
    """Ctrl+C on a terminal must do the same."""
    scene.file("compose.yaml", TALK)
    up = scene.spawn("up", tty=True, env={"COMPOSE_MENU": "false"})
    up.expect("hello")
    up.expect("ready")
    up.interrupt()
    assert up.wait() == 130
    scene.expect({"web-1": "exited", "database-1": "exited"})
    scene.expect_exit("web", 3)


def test_stopped_from_outside(scene: Scene) -> None:
    """Attached `up` must go on when one service is stopped elsewhere, and end when all are."""
    scene.file("compose.yaml", TALK)
    up = scene.spawn("up")
    up.expect("hello")
    up.expect("ready")
    scene.compose("stop", "web")
    up.expect(r"exited with code 3")
    assert up.process.poll() is None
    scene.compose("stop")
    assert up.wait() == 0


def test_restart_is_followed(scene: Scene) -> None:
    """Attached `up` must show the output of a service that is restarted elsewhere."""
    scene.file("compose.yaml", TALK)
    up = scene.spawn("up")
    up.expect("hello")
    scene.compose("restart", "web")
    up.expect(r"(?s)hello.*hello")
    scene.compose("kill")
    assert up.wait() == 0


def test_logs_follow(scene: Scene) -> None:
    """`logs -f` must show what comes, restarts and new replicas included."""
    text = TALK.replace("echo hello;", "hostname;")
    scene.up(text)
    logs = scene.spawn("logs", "-f", "--no-color")
    first = scene.one("web").id[:12]
    logs.expect(f"web-1 .*{first}")
    scene.compose("restart", "web")
    logs.expect(scene.differs("first-lines", docker="exited with code 3", pycompose=f"(?s){first}.*{first}"))
    scene.compose("up", "-d", "--scale", "web=2")
    second = scene.one("web", 2).id[:12]
    logs.expect(scene.differs("first-lines", docker="web-1", pycompose=rf"web-2 +\| {second}"))
    logs.interrupt()
    assert logs.wait() == 130


def test_logs_after_recreate(scene: Scene) -> None:
    """`logs` must have the output of the present container."""
    scene.up(TALK.replace("echo hello;", "hostname;"))
    scene.compose("up", "-d", "--force-recreate", "web")
    here = scene.one("web").id[:12]
    scene.eventually(lambda: here in scene.logs("web"))


def test_long_lines_and_bytes(scene: Scene) -> None:
    """`logs` must print lines of any length as they are, and the last one without its end."""
    script = "head -c 300000 /dev/zero | tr '\\\\0' x; echo; printf end"
    scene.file("compose.yaml", f'services: {{a: {{image: busybox, command: [sh, -c, "{script}"]}}}}')
    scene.compose("up", "-d")
    scene.expect_exit("a", 0)
    out = scene.logs("a")
    assert out.startswith("x" * 300000 + "\n")
    assert ("end" in out) == scene.differs("unterminated-line", docker=False, pycompose=True)


def test_up_attaches_to_what_runs(scene: Scene) -> None:
    """`up` of a project that runs must attach to it without another start."""
    scene.up(TALK)
    with scene.restarts():
        up = scene.spawn("up")
        up.expect("(?i)attaching to|hello")
        scene.eventually(lambda: up.output or up.errors)
    scene.compose("stop")
    assert up.wait() == 0


def test_two_ups(scene: Scene) -> None:
    """Two `up`s at once must end well, with one set of containers."""
    scene.file("compose.yaml", TALK)
    both = [scene.spawn("up", "-d") for _ in range(2)]
    codes = [up.wait() for up in both]
    assert 0 in codes
    if scene.differs("two-ups", docker=False, pycompose=True):
        assert codes == [0, 0]
    scene.compose("up", "-d")
    scene.expect({"web-1": "running", "database-1": "running"})


def test_failure_keeps_the_rest(scene: Scene) -> None:
    """A service that can't start must fail attached `up` with 1."""
    scene.file("compose.yaml", TALK + "  broken: {image: busybox, command: [not-there]}\n")
    assert "not-there" in scene.compose("up", code=1).stderr


def test_missing_image(scene: Scene) -> None:
    """An image that isn't there and may not be pulled must fail with its name."""
    scene.file("compose.yaml", "services: {a: {image: 'not-here:1', pull_policy: never}}")
    assert "not-here" in scene.compose("up", "-d", code=1).stderr
    assert not scene.ids()


@pytest.mark.parametrize("progress", ("plain", "json", "quiet"))
def test_progress(scene: Scene, progress: str) -> None:
    """`--progress` must go to stderr: lines, JSON, or nothing."""
    scene.file("compose.yaml", "services: {a: {image: busybox, command: ['true']}}")
    result = scene.compose("--progress", progress, "up", "-d")
    assert result.stdout == ""
    if progress == "json":
        ids = [json.loads(line).get("id", "") for line in result.stderr.splitlines()]
        assert any(f"{scene.project}-a-1" in name for name in ids)
    else:
        assert (f"{scene.project}-a-1" in result.stderr) == (progress == "plain")

"""`up` in the foreground, `logs -f`: output, signals and exit codes."""

from __future__ import annotations

import json
import re
import signal
import time

import pytest
from pycompose.cli.attached import TOGETHER_S

from tests.support.scene import Scene

TALK = """
services:
  web:
    image: busybox
    command: [sh, -c, "trap 'echo bye; exit 3' TERM; echo hello; echo oops >&2; sleep 1000 & wait"]
  database:
    image: busybox
    command: [sh, -c, "trap exit TERM; echo ready; sleep 1000 & wait"]
"""
# `quick` ends with 0 once the others run, `fails` after it with 7, `stays` when it is told to, with 9.
ENDS = """
x-all: &all {image: busybox, volumes: ['./shared:/shared']}
services:
  quick:
    <<: *all
    command: [sh, -c, "until test -e /shared/fails && test -e /shared/stays; do sleep 0.05; done; touch /shared/quick"]
  fails:
    <<: *all
    command: [sh, -c, "touch /shared/fails; until test -e /shared/quick; do sleep 0.05; done; sleep 1; exit 7"]
  stays:
    <<: *all
    command: [sh, -c, "trap 'exit 9' TERM; touch /shared/stays; sleep 1000 & wait"]
"""
# Its first to end is `fails`.
FAILS = ENDS.replace("touch /shared/quick", "trap exit TERM; touch /shared/quick; sleep 1000 & wait")
SHORT = """
services:
  one: {image: busybox, command: [sh, -c, "echo from one; exit 4"]}
  two: {image: busybox, command: [sh, -c, "sleep 0.3; echo from two"]}
"""
HOOKS = """
services:
  db:
    image: busybox
    command: &wait [sh, -c, "trap 'echo bye; exit' TERM; sleep 1000 & wait"]
    post_start: [{command: [sh, -c, "echo from the db >&2"]}]
  web:
    image: busybox
    command: *wait
    depends_on: [db]
    post_start: [{command: [sh, -c, "echo begun; printf unended"]}]
    pre_stop: [{command: [sh, -c, "echo stopping"]}]
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


def test_hooks(scene: Scene) -> None:
    """Attached `up` must show what hooks print, those of dependencies and those before a stop, too."""
    scene.file("compose.yaml", HOOKS)
    up = scene.spawn("up", "--no-color", "web")
    for line in ("db-1 -> +\\| from the db", "web-1 -> +\\| begun", "web-1 -> +\\| unended"):
        up.expect(rf"(?m)^{line}\r?$")
    up.process.send_signal(signal.SIGINT)
    if scene.differs("output-while-stopping", docker=False, pycompose=True):
        up.expect(r"web-1 -> +\| stopping")
    assert up.wait() == 130
    assert "stopping" not in scene.logs("web")


def test_a_hook_that_fails(scene: Scene) -> None:
    """A hook that fails must fail `up` with its exit code; 5.x also has its output in the message."""
    scene.file("compose.yaml", HOOKS.replace("echo begun;", "echo why >&2; exit 4;"))
    said = scene.compose("up", "-d", code=1).stderr
    end = scene.differs("hook-text", docker="\n", pycompose=": why\n")
    assert f"web hook exited with status 4{end}" in said
    scene.expect({"web-1": "running", "db-1": "running"})


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
    scene.file("compose.yaml", FAILS if flags == ("--exit-code-from", "fails") else ENDS)
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


def test_interrupt_while_it_starts(scene: Scene) -> None:
    """Ctrl+C must stop what is being started, too."""
    scene.file("compose.yaml", "services: {a: {image: busybox, command: sleep inf, stop_grace_period: 0s}}")
    up = scene.spawn("up")
    up.expect("Starting|Attaching")  # Docker Compose 2.40 tells only of what it creates
    up.interrupt()
    assert up.wait() == 130
    assert scene.compose("ps", "-q").stdout == ""


def test_interrupt_twice(scene: Scene) -> None:
    """A second Ctrl+C must kill what still runs."""
    scene.file(
        "compose.yaml",
        """
services:
  app:
    image: busybox
    command: [sh, -c, "trap 'touch /shared/told' TERM; echo up; while true; do sleep 0.1; done"]
    stop_grace_period: 10s
    volumes: ['./shared:/shared']
""",
    )
    up = scene.spawn("up")
    up.expect(r"\| up")
    up.interrupt()
    up.expect("Gracefully")
    scene.eventually((scene.folder / "shared/told").exists)
    up.sleep(
        TOGETHER_S
    )  # what comes sooner is taken for the same key: the terminal's signal and that of a parent
    start = time.monotonic()
    up.interrupt()
    assert up.wait() == 130
    took = time.monotonic() - start
    scene.expect_exit("app", 137)
    assert (took < 8) == scene.differs("second-interrupt", docker=False, pycompose=True)


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


def test_logs_follow_to_the_end_of_what_is_named(scene: Scene) -> None:
    """`logs -f NAME` must end with the service, whatever else runs: `up -d; logs -f tests` is how CI waits."""
    text = TALK.replace("sleep 1000", "until test -e /shared/go; do sleep 0.1; done", 1).replace(
        "image: busybox", "image: busybox\n    volumes: ['./shared:/shared']", 1
    )
    scene.file("shared/other", "")
    scene.up(text)
    logs = scene.spawn("logs", "-f", "--no-color", "web")
    logs.expect("hello")
    scene.file("shared/go", "")
    assert logs.wait() == 0
    scene.expect({"web-1": "exited", "database-1": "running"})


def test_logs_follow_tells_of_ends(scene: Scene) -> None:
    """`logs -f` must say how each container has ended after its lines, and must not of one that had ended before."""
    until = "echo ready; until test -e /shared/{0}; do sleep 0.05; done; echo over; exit {1}"
    scene.file("shared/other", "")
    scene.up(
        f"""
services:
  one: {{image: busybox, command: [sh, -c, "{until.format("one", 3)}"], volumes: &shared ['./shared:/shared']}}
  two: {{image: busybox, command: [sh, -c, "{until.format("two", 4)}"], volumes: *shared}}
  old: {{image: busybox, command: ['true']}}
"""
    )
    scene.expect_exit("old", 0)
    both = scene.spawn("logs", "-f", "--no-color", "one", "two")
    alone = scene.spawn("logs", "-f", "--no-color", "two")
    for line in ("one-1 .* ready", "two-1 .* ready"):
        both.expect(line)
    alone.expect("ready")
    scene.file("shared/one", "")
    both.expect(r"one-1.* over\n(.*\n)*one-1 exited with code 3\n")
    scene.file("shared/two", "")
    assert (both.wait(), alone.wait()) == (0, 0)
    for logs in (both, alone):
        assert re.search(r"two-1.* over\n+two-1 exited with code 4\n\Z", logs.output)
    assert "one" not in alone.output


def test_logs_follow_tells_of_restarts(scene: Scene) -> None:
    """`logs -f` must say whether a container that has ended comes back, and that another one has taken its place."""
    script = "echo ready; until test -e /shared/go; do sleep 0.05; done; rm /shared/go; exit 5"
    scene.file("shared/other", "")
    scene.up(
        f"""
services:
  web:
    image: busybox
    command: [sh, -c, "{script}"]
    volumes: ['./shared:/shared']
    restart: "on-failure:1"
"""
    )
    logs = scene.spawn("logs", "-f", "--no-color")
    logs.expect("ready")
    scene.file("shared/go", "")
    logs.expect(r"web-1 exited with code 5 \(restarting\)\n")
    scene.compose("up", "-d", "--force-recreate", "-t", "0")
    logs.expect(r"web-1 has been recreated\n(.*\n)*web-1 exited with code 137\n")
    scene.compose("kill")
    assert logs.wait() == 0


def test_logs_follow_what_has_ended(scene: Scene) -> None:
    """`logs -f NAME` of a service that has ended must print its log."""
    scene.up(TALK)
    scene.eventually(lambda: "hello" in scene.logs("web"))
    scene.compose("stop", "web")
    logs = scene.spawn("logs", "-f", "--no-color", "web")
    logs.expect("bye")
    if scene.engine.name != "pycompose":
        logs.interrupt()
    assert logs.wait() == scene.differs("follow-what-has-ended", docker=130, pycompose=0)


def test_logs_follow_a_service_that_is_made_anew(scene: Scene) -> None:
    """`logs -f NAME` must go on when the service is recreated, and show the next container."""
    scene.up(TALK)
    logs = scene.spawn("logs", "-f", "--no-color", "web")
    logs.expect("hello")
    scene.compose("up", "-d", "--force-recreate", "web")
    logs.expect(scene.differs("first-lines", docker="exited with code 3", pycompose="(?s)bye.*hello"))
    assert logs.process.poll() is None
    logs.interrupt()
    assert logs.wait() == 130


def test_interrupt_beside_what_a_profile_has_started(scene: Scene) -> None:
    """Ctrl+C must end an attached `up`, though a service of a profile, and what `run` has made, run on."""
    other = (
        "  other: {image: busybox, command: [sh, -c, 'trap exit TERM; sleep 1000 & wait'], profiles: [p]}\n"
    )
    scene.file("compose.yaml", TALK + other)
    scene.compose("--profile", "p", "up", "-d", "other")
    scene.compose("run", "-d", "--name", scene.named("apart"), "web")
    up = scene.spawn("up")
    up.expect("hello")
    up.expect("ready")
    up.interrupt()
    assert up.wait() == 130
    scene.expect({"web-1": "exited", "database-1": "exited", "other-1": "running"})
    scene.compose("--profile", "p", "down", "-t", "1")


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
        # Warnings are always shown, such as of a state root on an overlay.
        steps = [line for line in result.stderr.splitlines() if "Warning" not in line]
        assert any(f"{scene.project}-a-1" in line for line in steps) == (progress == "plain")

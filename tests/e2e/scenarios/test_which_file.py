"""Which compose file a command reads, and what it says when there is none, a broken one, or one on standard input."""

from __future__ import annotations

import pytest

from tests.support.scene import Scene

WAIT = "[sh, -c, 'trap exit TERM; sleep 1000 & wait']"
ONE = f"services: {{web: {{image: busybox, command: {WAIT}}}}}"
MISSING = "no configuration file provided: not found"
# Every command for containers that exist.
COMMANDS = (
    "ps",
    "ps -q",
    "images",
    "top",
    "stats --no-stream",
    "volumes",
    "events --until 1",
    "exec -T web true",
    "port web 80",
    "cp web:/etc/passwd -",
    "attach web",
    "export -o out.tar web",
    "commit web image",
    "logs",
    "pause",
    "unpause",
    "stop",
    "start",
    "restart",
    "kill",
    "rm -f",
    "wait web",
    "down",
)


@pytest.mark.parametrize("command", COMMANDS)
def test_no_file(scene: Scene, command: str) -> None:
    """A command must say that there is no compose file, rather than show or miss something."""
    result = scene.compose(*command.split(), code=1)
    assert MISSING in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("command", COMMANDS)
def test_broken_file(scene: Scene, command: str) -> None:
    """A broken compose file must be noticed by every command that isn't given a project's name."""
    scene.file("compose.yaml", "services: {web: {image: busybox, imagee: x}}")
    assert "imagee" in scene.compose(*command.split(), code=1).stderr


def test_project_by_name(scene: Scene) -> None:
    """With `-p` nobody must need a compose file."""
    scene.up(ONE)
    (scene.folder / "compose.yaml").unlink()
    assert scene.compose("-p", scene.project, "ps", "-q").stdout
    scene.compose("-p", scene.project, "exec", "-T", "web", "true")


def test_file_on_standard_input(scene: Scene) -> None:
    """`-f -` must be read to its end by every command: no process may get it as its own input."""
    for arguments in (("up", "-d"), ("exec", "-T", "web", "wc", "-c"), ("ps", "-q"), ("top",), ("down",)):
        text = scene.compose("-f", "-", *arguments, stdin=ONE).stdout
        assert arguments[0] != "exec" or text == "0\n"


def test_wrong_file_on_standard_input(scene: Scene) -> None:
    """A `-f -` that is no compose file must be an error of commands that hardly look at it, too."""
    scene.up(ONE)
    for arguments in (("exec", "-T", "web", "true"), ("ps",), ("top",), ("port", "web", "80")):
        scene.compose("-f", "-", *arguments, stdin="not a compose file", code=1)


def test_file_on_standard_input_with_a_name(scene: Scene) -> None:
    """`-p NAME -f -` must not hand the compose file to the process either."""
    scene.up(ONE)
    wanted = scene.differs("stdin-file-with-name", docker=f"{len(ONE)}\n", pycompose="0\n")
    for env in ({}, {"COMPOSE_FILE": "-"}):
        flags = [] if env else ["-f", "-"]
        result = scene.compose(
            "-p", scene.project, *flags, "exec", "-T", "web", "wc", "-c", stdin=ONE, env=env
        )
        assert result.stdout == wanted


def test_profiled_service_goes_on(scene: Scene) -> None:
    """What `up NAME` has started must be seen, restarted, stopped and removed without naming its profile."""
    scene.file(
        "compose.yaml",
        f"""
services:
  main: {{image: busybox, command: {WAIT}, profiles: [dev]}}
  test: {{image: busybox, command: {WAIT}, depends_on: [main]}}
""",
    )
    code = scene.differs("needed-by-profile", docker=1, pycompose=0)
    scene.compose("up", "-d", "main", code=code)
    for command in (
        "logs main",
        "restart main",
        "pause main",
        "unpause main",
        "ps -a",
        "stop main",
        "start main",
    ):
        scene.compose(*command.split(), code=code)
    scene.compose("up", "-d", code=1)  # as ever
    scene.compose("down", code=code)
    assert scene.states() == {}


def test_a_name_alone_means_the_whole_project(scene: Scene) -> None:
    """`-p NAME` without `-f` must read no file: what was renamed, and what a profile has started, is meant, too."""
    wait = "{image: busybox, command: [sh, -c, 'trap exit TERM; sleep 1000 & wait'], profiles: [%s]}"
    scene.file("compose.yaml", f"services: {{a: {wait % ''}, b: {wait % 'p'}}}".replace("[]", "['']"))
    scene.compose("--profile", "p", "--profile", "", "up", "-d")
    scene.file("compose.yaml", "services: {c: {image: busybox}}")
    assert "no such service" in scene.compose("stop", "-t", "1", "a", code=1).stderr
    scene.compose("-p", scene.project, "stop", "-t", "1", "a")
    scene.expect({"a-1": "exited", "b-1": "running"})
    scene.compose("-p", scene.project, "down", "-t", "1")
    assert not scene.ids()

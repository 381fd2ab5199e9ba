"""What is wrong is said in one place, with its place; nothing is left behind and the exit code is 1."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

from tests.support.scenario import Host, Result

SETUP = Path(__file__).parents[2] / "setup"
# name -> (compose file or None, what stderr has to match)
MISSING_SOURCE = """
services:
  web:
    image: host
    volumes: [{type: bind, source: ./nowhere, target: /data, bind: {create_host_path: false}}]
"""
BAD: dict[str, tuple[str | None, str]] = {
    "no compose file": (None, r"error: .*no .*(compose|configuration) file.*\nhint: "),
    "bad YAML": ("services:\n  web: [image\n", r"error: compose\.yaml:\d+:\d+: .*"),
    "tab": ("services:\n\tweb:\n", r"error: compose\.yaml:2:1: .*\nhint: .*tab"),
    "unknown key": (
        "services:\n  web:\n    imagee: host\n",
        r'error: compose\.yaml:3:5: services\.web.*imagee.*\nhint: .*"?image',
    ),
    "wrong type": (
        "services:\n  web:\n    image: host\n    ports: 80\n",
        r"error: compose\.yaml:4:\d+: services\.web\.ports: ",
    ),
    "unknown image": (
        "services:\n  web:\n    image: nobody/has-this:9\n",
        r"error: .*nobody/has-this:9.*\nhint: ",
    ),
    "missing rootfs": ("services:\n  web:\n    image: rootfs:./nowhere\n", r"error: .*nowhere"),
    "cycle": (
        "services: {a: {image: host, depends_on: [b]}, b: {image: host, depends_on: [a]}}",
        r"error: .*compose\.yaml:\d+:\d+: .*a -> b -> a",
    ),
    "undefined dependency": (
        "services:\n  web:\n    image: host\n    depends_on: [wbe]\n",
        r"error: compose\.yaml:4:\d+: .*wbe",
    ),
    "missing bind source": (MISSING_SOURCE, r"error: .*nowhere"),
    "undefined volume": (
        "services:\n  web:\n    image: host\n    volumes: ['data:/data']\n",
        r"error: compose\.yaml:4:\d+: .*data",
    ),
    "missing variable": (
        "services:\n  web:\n    image: ${IMAGE:?which one}\n",
        r"error: compose\.yaml:3:\d+: .*IMAGE.*which one",
    ),
    "command not found": (
        "services:\n  web:\n    image: host\n    command: [no-such-program]\n",
        r"error: .*web.*no-such-program",
    ),
    "external network": (
        "services: {web: {image: host}}\nnetworks: {default: {external: true, name: elsewhere}}\n",
        r"error: .*elsewhere",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_explained(host: Host, case: str) -> None:
    """One error, its place, no traceback; `down` afterwards leaves an empty machine."""
    text, pattern = BAD[case]
    project = host.project({"compose.yaml": text} if text is not None else {"README": ""})

    result = host.run("up", "-d", cwd=project, env={"COLUMNS": "200"}).exited(1)

    assert re.search(pattern, result.stderr), result.stderr
    well_formed(result)
    if text is not None:
        host.run("-p", "demo", "down").ok()


# A user who is nobody here. The interpreter may lie in a folder that only root can read: that one capability stays.
NOBODY = (
    "setpriv", "--reuid=1000", "--regid=1000", "--clear-groups", "--inh-caps=+dac_override",
    "--ambient-caps=+dac_override",
)  # fmt: skip


@pytest.mark.parametrize(
    "arguments",
    (
        "up -d", "down", "ls", "ps", "logs", "images", "stats --no-stream", "volumes", "inspect web", "top",
        "port web 80", "events --until 0s", "container ls", "image ls", "volume ls", "network ls",
        "system df", "exec web true",
    ),
)  # fmt: skip
def test_root_is_asked_for(host: Host, arguments: str) -> None:
    """Where only root may, one clear line says so: no path of ours that can't be opened, no table that looks empty."""
    project = host.project({"compose.yaml": "services: {web: {image: host}}"})
    environment = {"PYCOMPOSE_ROOTLESS": "0"}
    result = host.command([*NOBODY, "pycompose", *arguments.split()], cwd=project, env=environment).exited(1)

    assert re.fullmatch(
        r"error: pycompose: needs root: user 1000 .*\nhint: run it with sudo, .*\n", result.stderr
    )
    well_formed(result)


@pytest.mark.parametrize("arguments", ("config -q", "version", "graph", "--help"))
def test_root_is_not_asked_for_without_need(host: Host, arguments: str) -> None:
    """What touches no container is for everybody."""
    project = host.project({"compose.yaml": "services: {web: {image: host}}"})
    host.command([*NOBODY, "pycompose", *arguments.split()], cwd=project).ok()


def test_the_demo_says_what_it_needs_root_for(host: Host, tmp_path: Path) -> None:
    """Where a package is missing, before it installs anything; here is no sudo to ask."""
    folder = host.project({"setup": SETUP.read_text(encoding="utf-8")})
    for name in ("sh", "id", "dirname"):
        (tmp_path / name).symlink_to(str(shutil.which(name)))
    demo = ["env", f"PATH={tmp_path}", str(tmp_path / "sh"), "setup", "demo"]
    result = host.command([*NOBODY, *demo], cwd=folder).exited(1)

    assert result.stderr == "setup: needs root, or sudo, to run apt-get update -q\n"
    assert os.listdir(folder) == ["setup"]


@pytest.mark.parametrize(
    ("arguments", "pattern"),
    (
        (("upp",), r"error: unknown command 'upp'; did you mean 'up'\?"),
        (("up", "--detatch"), r"error: .*--detatch"),
        (("up", "wbe"), r"error: .*no such service: wbe"),
        (("exec", "web", "true"), r"error: .*web.*not running"),
        (("-f", "nowhere.yaml", "up"), r"error: .*nowhere\.yaml"),
    ),
    ids=("command", "flag", "service", "not running", "file"),
)
def test_bad_arguments_are_explained(host: Host, arguments: tuple[str, ...], pattern: str) -> None:
    """The exit code of a usage error is 1, as Docker Compose has it."""
    project = host.project({"compose.yaml": "services: {web: {image: host}}"})

    result = host.run(*arguments, cwd=project).exited(1)

    assert re.search(pattern, result.stderr), result.stderr
    well_formed(result)


def well_formed(result: Result) -> None:
    """Errors go to stderr, look the same everywhere, and never show our insides."""
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert "internal error" not in result.stderr
    assert re.search(r"^error: [a-z0-9\"'./\[-]", result.stderr, re.MULTILINE), result.stderr


def test_a_failed_up_leaves_the_running_project_alone(busy: Host) -> None:
    """A typo in the file doesn't touch what runs."""
    text = "services: {web: {image: busybox, command: [sleep, '1000'], stop_signal: SIGKILL}}"
    project = busy.project({"compose.yaml": text})
    busy.run("up", "-d", cwd=project).ok()
    before = busy.run("ps", "-q", cwd=project).ok().stdout

    (project / "compose.yaml").write_text(text.replace("image", "imagee"))
    busy.run("up", "-d", cwd=project).exited(1)
    Path(project / "compose.yaml").write_text(text)

    assert busy.run("ps", "-q", cwd=project).ok().stdout == before
    busy.run("down", cwd=project).ok()


def test_a_working_directory_that_has_been_removed(host: Host) -> None:
    """It has no name by then; the message says what it was."""
    script = "mkdir gone && cd gone && rmdir ../gone && exec pycompose config"
    result = host.command(["/bin/sh", "-c", script], cwd=host.folder).exited(1)

    assert (
        "error: the working directory: it has been removed\nhint: change to one that is there: cd"
        in result.stderr
    )

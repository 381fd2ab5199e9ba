"""`pycompose systemd`: a unit that brings a project, or the containers of `container run`, back after a reboot."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click
from pycompose.cli.invocation import Invocation, project_of
from pycompose.engine.errors import PycomposeError

if TYPE_CHECKING:
    from pycompose.model import Project

UNITS = Path("/etc/systemd/system")
# For an ordinary user, whose service manager starts with his session, or with the machine (loginctl(1), enable-linger).
USER_UNITS = ".config/systemd/user"
CONTAINERS = "pycompose.service"
# What `docker` starts again with the machine: on-failure is about failures only.
POLICIES = frozenset({"always", "unless-stopped"})
KEPT_VARIABLES = (
    "PYCOMPOSE_ROOT",
    "PYCOMPOSE_RUN",
    "PYCOMPOSE_CGROUP",
    "PYCOMPOSE_ADDRESS_POOLS",
    "DOCKER_CONFIG",
)


def units(environment: Mapping[str, str]) -> Path:
    """Return where units are looked for: root's, or an ordinary user's own (systemd.unit(5))."""
    if os.geteuid() == 0:
        return UNITS
    home = environment.get("XDG_CONFIG_HOME")
    return Path(home, "systemd/user") if home else Path(environment.get("HOME", "/"), USER_UNITS)


def quoted(words: Iterable[str]) -> str:
    r"""Return words as one command line of a unit (systemd.service(5), "Command lines").

    `%` would be a specifier and `$` a variable; quotes and backslashes are escaped as in C.
    """
    out = []
    for word in words:
        text = word.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        text = text.replace("%", "%%").replace("$", "$$")
        plain = text and all(char.isalnum() or char in "-_./:=,@+" for char in text)
        out.append(text if plain else f'"{text}"')
    return " ".join(out)


def assignment(key: str, value: str) -> str:
    """Return the right side of an `Environment=` line (systemd.exec(5)); `$` means nothing there."""
    text = f"{key}={value}".replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("%", "%%")
    return f'"{text}"'


def restarted(project: Project) -> list[str]:
    """Return the services that come back with the machine, by name."""
    return sorted(name for name, service in project.services.items() if service.restart.kind in POLICIES)


def unit(
    project: Project, program: Iterable[str], services: Iterable[str], environment: Mapping[str, str]
) -> str:
    """Return the text of the unit. `program` runs pycompose, `services` are to be started, () all."""
    command = [*program, "--progress", "plain", "--project-directory", project.directory, "-p", project.name]
    for file in project.files:
        command += ["-f", file]
    for file in project.env_files:
        command += ["--env-file", file]
    for profile in project.profiles:
        command += ["--profile", profile]
    start = [*command, "up", "--detach", "--no-recreate", "--no-build", "--yes", *services]
    return _text(
        f"Compose project {project.name}",
        start,
        [*command, "stop"],
        environment,
        directory=project.directory,
        remark="; make it again when files or services of the project change",
    )


def containers_unit(program: Iterable[str], environment: Mapping[str, str]) -> str:
    """Return the text of the unit for the containers of `container run`."""
    command = [*program, "container"]
    start, stop = [*command, "boot"], [*command, "shutdown"]
    return _text("Containers outside any compose file", start, stop, environment)


def _text(
    description: str,
    start: Iterable[str],
    stop: Iterable[str],
    environment: Mapping[str, str],
    *,
    directory: str = "/",
    remark: str = "",
) -> str:
    variables = "".join(
        f"Environment={assignment(key, environment[key])}\n" for key in KEPT_VARIABLES if environment.get(key)
    )
    return f"""\
# Made by `pycompose systemd`{remark}.
[Unit]
Description={description.replace("%", "%%")}
Wants=network-online.target
After=network-online.target local-fs.target

[Service]
Type=oneshot
RemainAfterExit=yes
WorkingDirectory={directory.replace("%", "%%")}
{variables}ExecStart={quoted(start)}
ExecStop={quoted(stop)}
TimeoutStartSec=infinity
TimeoutStopSec=infinity
# Supervisor and containers are not ours to kill before `stop` has ended them.
KillMode=mixed
Delegate=yes

[Install]
WantedBy={"default" if os.geteuid() else "multi-user"}.target
"""


@click.command(help="Print a systemd unit that brings the project up after a reboot, or install it.")
@click.option(
    "--install",
    is_flag=True,
    help="Write it where systemd, for who isn't root his own, looks for units, and enable it.",
)
@click.option("-a", "--all", "everything", is_flag=True, help="All services, whatever their restart policy.")
@click.option("--containers", is_flag=True, help="For the containers of `container run`, not for a project.")
@click.pass_obj
def command(invocation: Invocation, /, *, install: bool, everything: bool, containers: bool) -> None:
    """Make the unit of the project."""
    if containers:
        text = containers_unit(program(), invocation.environment)
        _give(invocation, CONTAINERS, text, install=install)
        return
    project = project_of(invocation.load())
    services = restarted(project)
    if everything or len(services) == len(project.services):
        services = []
    elif not services:
        raise PycomposeError(
            f"project {project.name}: no service asks to be restarted",
            hint="give it `restart: always` or `restart: unless-stopped`, or use --all",
        )
    text = unit(project, program(), services, invocation.environment)
    _give(invocation, f"pycompose-{project.name}.service", text, install=install)


def _give(invocation: Invocation, name: str, text: str, *, install: bool) -> None:
    """Write a unit or print it. Raises PycomposeError."""
    if install and not invocation.dry_run:
        write(units(invocation.environment) / name, text)
    else:
        click.echo(text, nl=False)


def program() -> list[str]:
    """Return how to run this pycompose without PATH."""
    found = shutil.which(sys.argv[0])
    return [os.path.abspath(found)] if found else [sys.executable, "-m", "pycompose"]


def write(path: Path, text: str) -> None:
    """Write the unit and enable it. Raises PycomposeError."""
    systemctl = shutil.which("systemctl")
    if systemctl is None:
        raise PycomposeError("systemd: systemctl is not there", hint="print the unit without --install")
    own = ["--user"] if os.geteuid() else []
    try:
        if own:
            path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as exc:
        raise PycomposeError(f"{path}: cannot write: {exc.strerror}", hint="run it with sudo") from exc
    for arguments in (["daemon-reload"], ["enable", path.name]):
        done = subprocess.run([systemctl, *own, *arguments], capture_output=True, text=True, check=False)
        if done.returncode:
            reason = done.stderr.strip().replace("\n", "; ")
            raise PycomposeError(f"systemctl {arguments[0]}: {reason}", hint=f"the unit is in {path}")
    if own:
        click.echo(
            f"{path} (starts with your session, after `loginctl enable-linger` with the machine; "
            f"now: systemctl --user start {path.stem})"
        )
        return
    click.echo(f"{path} (starts with the machine; now: systemctl start {path.stem})")

"""What each command and process loads: every import on the way is paid for at every start.

CPU seconds above a bare interpreter, measured: pyroute2 0.2-0.3, networkx 0.2, watchfiles 0.06-0.09,
asyncio 0.06, http and urllib3 0.05.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pycompose.cli import bare

HEAVY = {"networkx", "pyroute2", "watchfiles", "urllib3", "dnslib", "numpy", "asyncio", "http", "ssl"}
# Commands that only look: they read state files and /proc.
LIGHT_COMMANDS = (
    ("--help",),
    ("up", "--help"),
    ("version",),
    ("ls",),
    ("ps",),
    ("logs",),
)
RUN = """
import sys
sys.argv = ["pycompose", *sys.argv[1:]]
from pycompose.cli.main import main
try:
    code = main()
except SystemExit as end:
    code = end.code
print("\\x00".join(["", *sys.modules]), file=sys.stderr)
sys.exit(code)
"""


@pytest.mark.parametrize("command", LIGHT_COMMANDS, ids=" ".join)
def test_light_commands_load_nothing_heavy(command: tuple[str, ...], tmp_path: Path) -> None:
    """`pycompose ps` answers before pyroute2 would be imported."""
    (tmp_path / "compose.yaml").write_text("services: {web: {image: host}}\n", encoding="utf-8")
    environment = {
        **os.environ,
        "PYCOMPOSE_ROOT": str(tmp_path / "root"),
        "PYCOMPOSE_RUN": str(tmp_path / "run"),
    }
    done = subprocess.run(
        [sys.executable, "-c", RUN, *command],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    text, *loaded = done.stderr.rstrip("\n").split("\0")

    assert loaded, text
    assert {name.partition(".")[0] for name in loaded} & HEAVY == set()


def test_making_networks_loads_nothing_of_containers() -> None:
    """`network create` and `rm` wait for nobody but Python: what names, logs and namespaces need comes with those."""
    script = (
        "import sys; from pycompose.cli import bare; assert bare.read(['network', 'rm', 'x'], {}) is not None\n"
        "import pycompose.machine.network_creation, pycompose.machine.networks, pycompose.client.context\n"
        "print('\\n'.join(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.splitlines())

    assert "pycompose.networking.api" in loaded
    others = {"inspect", "hashlib", "logging", "ctypes", "socket", "click", "pycompose.state.snapshot"}
    assert loaded & others == set()


@pytest.mark.parametrize(
    ("arguments", "environment"),
    (
        ("network", {}),
        ("network create", {}),
        ("network create a b", {}),
        ("network create --label x=y a", {}),
        ("network create -- a", {}),
        ("network rm", {}),
        ("network rm -f a", {}),
        ("network rm a --help", {}),
        ("network ls", {}),
        ("--dry-run network rm a", {}),
        ("network rm a", {"COMPOSE_PROGRESS": "json"}),
        ("network rm a", {"_PYCOMPOSE_COMPLETE": "bash_complete"}),
    ),
)
def test_click_reads_all_commands_that_are_more_than_names(
    arguments: str, environment: dict[str, str]
) -> None:
    """Flags, their variables, and what has too few or too many names: nobody else knows what to say."""
    assert bare.read(arguments.split(), environment) is None


@pytest.mark.parametrize(
    "text", ("Show it.", "  Show it. ", "\tShow\tit.", "", "Show.\n\n    More.\n  Less.\n")
)
def test_click_gets_the_texts_that_inspect_would_give(text: str) -> None:
    """Where `inspect` isn't loaded, help texts look as they do with it."""
    script = (
        "from pycompose.cli import light_click; light_click.load()\n"
        "import sys, click.core as core; text = sys.argv[1]; assert 'inspect' not in sys.modules\n"
        "got = core.inspect.cleandoc(text); import inspect; assert core.inspect is not inspect\n"
        "assert core.inspect.isfunction is inspect.isfunction; assert got == inspect.cleandoc(text), got"
    )
    subprocess.run([sys.executable, "-c", script, text], check=True)


def test_reading_compose_files_loads_no_model() -> None:
    """`config` prints trees: the typed model and what may be made of it are for commands that make containers."""
    script = "import pycompose.config.load, sys; print('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.splitlines())

    assert "pycompose.config.load" in loaded
    assert loaded & {"pycompose.model", "pycompose.config.bind_parts", "pycompose.config.runnable"} == set()


def test_the_keeper_loads_only_the_standard_library() -> None:
    """One keeper runs per project for as long as it is up, and forks every container: its memory counts."""
    script = "import pycompose.engine.keeper.main, sys; print('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, text=True, check=True)
    tops = {name.partition(".")[0] for name in done.stdout.split()}

    foreign = {
        name for name in tops - sys.stdlib_module_names - {"__main__", "pycompose"} if "editable" not in name
    }
    assert {name for name in foreign if not name.startswith(("_distutils", "sitecustomize"))} == set()
    assert (
        tops & {"asyncio", "threading", "logging", "subprocess", "socketserver", "ssl", "http", "yaml"}
        == set()
    )

"""The boundary: usage, errors, exit codes; and what a command costs before it begins."""

from __future__ import annotations

import errno
import importlib
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from pycompose.cli import errors
from pycompose.cli.invocation import Invocation, checked_name
from pycompose.cli.main import cli, main
from pycompose.commands import COMMANDS
from pycompose.engine.errors import NO_PROCESSES, ExecError, PycomposeError
from pycompose.errors import ConfigErrors, Location, SchemaError
from pycompose.version import COMPOSE_VERSION, VERSION


def report(error: BaseException) -> str:
    out = io.StringIO()
    errors.report(error, stream=out, colour=False)
    return out.getvalue()


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"  {name} " in shown for name in COMMANDS)


def test_without_a_command_there_is_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "Usage: pycompose" in capsys.readouterr().out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_exists_and_explains_its_flags(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    module = importlib.import_module(COMMANDS[name].module)

    assert isinstance(module.command, click.Command)
    assert main([name, "--help"]) == 0
    assert "Usage: pycompose" in capsys.readouterr().out
    if not isinstance(module.command, click.Group):
        for parameter in module.command.params:
            if isinstance(parameter, click.Option) and not parameter.hidden:
                assert parameter.help, f"{name} {parameter.opts} has no help"


@pytest.mark.parametrize(
    ("argv", "message"),
    (
        (["upp"], "unknown command 'upp'; did you mean 'up'?"),
        (["--bogus"], "no such option"),
        (["ps", "--bogus"], "no such option"),
        (["ps", "--status", "happy"], "'happy' is not one of"),
        (["exec", "web"], "missing argument"),
        (["up", "--scale", "web"], "SERVICE=NUM"),
        (["up", "--build", "--no-build"], "--build and --no-build: cannot be combined"),
        (["up", "--wait", "--attach", "web"], "--wait and --attach: cannot be combined"),
        (["up", "-d", "--abort-on-container-exit"], "cannot be combined"),
        (["up", "--wait-timeout", "-1", "--wait"], "not in the range"),
        (["stop", "-t", "soon"], "'soon' is not a number of seconds"),
        (["up", "--wait-timeout", "x"], "'x' is not a number of seconds"),
        (["exec", "--index", "x", "web", "ls"], "'x' is not a whole number"),
        (["ps", "--filter", "name=x"], "cannot filter by 'name'"),
        (["logs", "--tail", "many"], "not a number of lines"),
        (["-p", "Demo", "ps"], "project name 'Demo'"),
    ),
)
def test_usage_errors_are_one_line_and_exit_1(
    argv: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """As in Compose: not click's 2."""
    assert main(argv) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert message in captured.err
    assert len(captured.err.splitlines()) <= 2


def test_an_error_is_what_why_and_what_to_do() -> None:
    error = PycomposeError("service db: cannot mount tmpfs: limit reached", hint="raise mount-max")

    assert report(error) == "error: service db: cannot mount tmpfs: limit reached\nhint: raise mount-max\n"


def test_state_directories_that_cannot_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said what it is that can't be made, and where to look; other files are only what they are."""
    monkeypatch.setenv("PYCOMPOSE_ROOT", "/nonexistent/pycompose")

    shown = report(PermissionError(errno.EACCES, "Permission denied", "/nonexistent"))
    assert shown.startswith(
        "error: state directory /nonexistent: Permission denied\nhint: set PYCOMPOSE_ROOT"
    )
    assert '"state directory"' in shown
    other = report(PermissionError(errno.EACCES, "Permission denied", "/nonexistent/other"))
    assert other.startswith("error: /nonexistent/other: Permission denied\n")


def test_what_others_have_said_is_between_the_two_in_lines_of_its_own() -> None:
    """A message is one line, whatever a name in it holds; control characters are shown in both."""
    error = PycomposeError("service a\nb: isn't ready", hint="look")
    error.details = "one\ntwo\x1b[2J"

    assert report(error) == "error: service a\\x0ab: isn't ready\none\ntwo\\x1b[2J\nhint: look\n"


def test_a_foreign_error_says_whose_fault_it_is() -> None:
    assert report(KeyError("x")) == (
        "error: internal error: KeyError: 'x'\nhint: run again with --debug for the traceback\n"
    )


def test_a_machine_without_room_for_a_thread_is_no_defect() -> None:
    assert report(RuntimeError("can't start new thread")).splitlines() == [
        "error: cannot start a thread: Resource temporarily unavailable",
        f"hint: {NO_PROCESSES}",
    ]


def test_groups_are_told_one_by_one() -> None:
    group = ExceptionGroup(
        "teardown", [PycomposeError("a: b"), ExceptionGroup("more", [ExecError("c: d", exit_code=126)])]
    )

    assert report(group) == "error: a: b\nerror: c: d\n"
    assert errors.exit_code(group) == 1
    assert errors.exit_code(ExecError("x", exit_code=127)) == 127


def test_errors_of_a_file_are_all_told() -> None:
    both = ConfigErrors(
        [SchemaError(text, location=Location("c.yaml", line, 5)) for line, text in ((2, "x"), (9, "y"))]
    )

    assert report(both) == "error: c.yaml:2:5: x\nerror: c.yaml:9:5: y\n"


def test_a_terminal_shows_the_line_and_a_caret(tmp_path: Path) -> None:
    file = tmp_path / "compose.yaml"
    file.write_text("services:\n  web:\n    imagee: x\n", encoding="utf-8")

    assert errors.snippet(SchemaError("unknown key", location=Location(str(file), 3, 5))) == [
        "     3 |     imagee: x",
        "             ^",
    ]
    assert errors.snippet(SchemaError("x", location=Location(str(tmp_path / "gone"), 3, 5))) == []
    assert errors.snippet(PycomposeError("x")) == []


def test_errors_as_json() -> None:
    out = io.StringIO()
    errors.report_json(SchemaError("unknown key", location=Location("c.yaml", 3, 5, "services.web")), out)
    value = json.loads(out.getvalue())

    assert value["error"] is True
    assert (value["file"], value["line"], value["column"], value["path"]) == ("c.yaml", 3, 5, "services.web")


def test_a_message_cannot_act_on_the_terminal() -> None:
    assert "\x1b" not in report(PycomposeError("service \x1b]0;x\x07: bad", hint="\x1b[2J"))


@pytest.mark.parametrize("name", ("", "Demo", "-x", "a b", "dé"))
def test_names_that_no_project_can_have(name: str) -> None:
    with pytest.raises(PycomposeError, match="cannot be used"):
        checked_name(name)


def test_flags_beat_variables() -> None:
    environment = {"COMPOSE_PROGRESS": "json", "COMPOSE_ANSI": "never", "COMPOSE_PARALLEL_LIMIT": "3"}
    invocation = Invocation(environment=environment)
    with cli.make_context("pycompose", ["--progress", "plain", "version"], obj=invocation) as ctx:
        invocation.fill(ctx.params)

    assert (invocation.progress, invocation.ansi, invocation.parallel) == ("plain", "never", 3)


def test_a_parallel_limit_that_is_no_number() -> None:
    invocation = Invocation(environment={"COMPOSE_PARALLEL_LIMIT": "many"})
    ctx = cli.make_context("pycompose", ["version"], obj=invocation)

    with pytest.raises(PycomposeError, match="COMPOSE_PARALLEL_LIMIT"):
        invocation.fill(ctx.params)


@pytest.mark.parametrize("shell", ("bash", "zsh", "fish"))
def test_completion_scripts(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    assert f"_PYCOMPOSE_COMPLETE={shell}_complete" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """Programs are told the Docker Compose that they may take us for, people both."""
    assert main(["version", "--format", "json"]) == 0
    versions = json.loads(capsys.readouterr().out)
    assert versions == {"version": f"v{COMPOSE_VERSION}", "pycompose": f"v{VERSION}"}
    assert main(["version", "--short"]) == 0
    assert capsys.readouterr().out == f"{COMPOSE_VERSION}\n"
    assert main(["--version"]) == 0
    text = f"pycompose version v{VERSION}, compatible with Docker Compose version v{COMPOSE_VERSION}\n"
    assert capsys.readouterr().out == text


def test_the_version_that_we_are_compatible_with() -> None:
    """It is the one that the documents claim."""
    claim = "equal to **Docker Compose 5** ({}".format(COMPOSE_VERSION.rpartition(".")[0])
    assert claim in Path(__file__).parents[3].joinpath("docs/differences.md").read_text()


def test_help_of_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    """`help CMD` is `CMD --help`, also of a group's; `help` is `--help`."""
    for words in ([], ["up"], ["container", "run"]):
        assert main(["help", *words]) == 0
        helped = capsys.readouterr().out
        assert main([*words, "--help"]) == 0
        assert capsys.readouterr().out == helped
    assert main(["help", "nosuch"]) == 1
    assert "unknown command 'nosuch'" in capsys.readouterr().err


@pytest.mark.parametrize("name", ("convert", "publish", "bridge"))
def test_what_there_is_not_names_what_there_is(capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert main([name]) == 1
    assert re.search(f"unknown command '{name}'; (use|give) .*'pycompose ", capsys.readouterr().err)


def test_a_full_standard_error_is_no_failure() -> None:
    """What would be told there is lost, warnings as well as errors; the exit code is that of the command."""
    with Path("/dev/full").open("w") as full:
        for words, code in ((["config", "-q"], 0), (["no-such-command"], 1)):
            command = [sys.executable, "-m", "pycompose", "-f", "-", *words]
            done = subprocess.run(
                command, input=b"services: {a: {image: 'x:$UNSET_HERE'}}", stderr=full, check=False
            )
            assert done.returncode == code


def test_a_full_output_is_nobodys_storage() -> None:
    """What can't be written to standard output is said of that, and nobody is told to prune."""
    command = [sys.executable, "-m", "pycompose", "version"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == (
        "error: standard output: cannot write: No space left on device\nhint: write it to another place\n"
    )

"""Flags of `up` as data: whom it shows, what it asks for."""

from __future__ import annotations

from typing import Any

import pytest
from pycompose.cli.attached import (
    AttachedOptions,
    attached_options,
    attached_services,
    expected_names,
)
from pycompose.cli.commands.up import command, up_options
from pycompose.cli.invocation import Invocation
from pycompose.cli.main import cli
from pycompose.engine.errors import PycomposeError
from pycompose.errors import UnknownService
from pycompose.model import Service

SERVICES = {
    "web": Service(name="web", replicas=2),
    "db": Service(name="db", container_name="the-db"),
    "quiet": Service(name="quiet", attach=False),
}


def parsed(*argv: str, environment: dict[str, str] | None = None) -> tuple[Invocation, dict[str, Any]]:
    """Parse `pycompose up ARGV` without running it."""
    invocation = Invocation(environment=environment or {})
    root = cli.make_context("pycompose", ["up", *argv], obj=invocation)
    invocation.fill(root.params)
    return invocation, command.make_context("up", list(argv), parent=root).params


@pytest.mark.parametrize(
    ("selected", "options", "shown"),
    (
        ((), AttachedOptions(), ("web", "db")),
        (("db",), AttachedOptions(), ("db",)),
        (("db",), AttachedOptions(attach_dependencies=True), ("web", "db")),
        ((), AttachedOptions(attach=("quiet",)), ("quiet",)),
        ((), AttachedOptions(no_attach=("web",)), ("db",)),
        (("web",), AttachedOptions(attach=("db",), no_attach=("db",)), ()),
    ),
)
def test_whose_output_is_shown(
    selected: tuple[str, ...], options: AttachedOptions, shown: tuple[str, ...]
) -> None:
    assert attached_services(SERVICES, selected, options) == shown


@pytest.mark.parametrize(
    "options",
    (AttachedOptions(attach=("x",)), AttachedOptions(no_attach=("x",)), AttachedOptions(exit_code_from="x")),
)
def test_a_service_that_is_not_there(options: AttachedOptions) -> None:
    with pytest.raises(UnknownService, match="no such service: x"):
        attached_services(SERVICES, (), options)


def test_names_to_expect() -> None:
    assert expected_names(SERVICES, ("web", "db"), {}) == ["the-db", "web-1", "web-2"]
    assert expected_names(SERVICES, ("web",), {"web": 1}) == ["web-1"]


def test_flags_become_options() -> None:
    invocation, args = parsed(
        "--build", "--pull", "policy", "--scale", "web=3", "-V", "-t", "2.5", "--remove-orphans", "--dry-run", "web",
        environment={"COMPOSE_PARALLEL_LIMIT": "4"},
    )  # fmt: skip
    options = up_options(invocation, args)

    assert options.services == ("web",)
    assert (options.build, options.pull, options.scale) == (True, "", (("web", 3),))
    assert (options.renew_anon_volumes, options.timeout_s, options.remove_orphans) == (True, 2.5, True)
    assert (options.dry_run, options.parallel) == (True, 4)


def test_orphans_cannot_be_ignored_and_removed() -> None:
    invocation, args = parsed("--remove-orphans", environment={"COMPOSE_IGNORE_ORPHANS": "1"})

    with pytest.raises(PycomposeError, match="cannot be combined"):
        up_options(invocation, args)


@pytest.mark.parametrize(
    ("argv", "abort_on", "code_from"),
    (
        ((), "", ""),
        (("--abort-on-container-exit",), "exit", ""),
        (("--abort-on-container-failure",), "failure", ""),
        (("--exit-code-from", "web"), "exit", "web"),
        (("--exit-code-from", "web", "--abort-on-container-failure"), "failure", "web"),
    ),
)
def test_what_ends_everything(argv: tuple[str, ...], abort_on: str, code_from: str) -> None:
    """--exit-code-from implies --abort-on-container-exit unless failures were asked for."""
    options = attached_options(*parsed(*argv))

    assert (options.abort_on, options.exit_code_from) == (abort_on, code_from)


def test_no_menu_without_a_terminal() -> None:
    assert not attached_options(*parsed("--menu")).menu

"""What somebody's scripts and fingers are used to: switches with values, scopes of commands, small outputs."""

from __future__ import annotations

import pytest

from tests.support.scene import Scene

WAIT = "[sh, -c, 'trap exit TERM; sleep 1000 & wait']"
ONE = f"services: {{web: {{image: busybox, command: {WAIT}}}}}"


class TestSwitches:
    """Flags as Docker's command line takes them, one project for all."""

    @pytest.fixture(scope="class")
    @classmethod
    def web(cls, stage: Scene) -> Scene:
        """One service that runs."""
        stage.up(ONE)
        return stage

    @pytest.mark.parametrize(
        ("arguments", "out"),
        (
            (("exec", "-T", "-i=false", "web", "cat"), ""),
            (("exec", "-T=true", "--interactive=0", "web", "cat"), ""),
            (("exec", "-T=true", "web", "cat"), "in\n"),
            (("run", "--rm=true", "-T", "-i=false", "web", "cat"), ""),
            (("exec", "-T", "web", "echo", "-x=true", "--y=false"), "-x=true --y=false\n"),
            (("--all-resources=false", "config", "--services=true"), "web\n"),
            (("ps", "--services=1", "--all=false"), "web\n"),
        ),
        ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
    )
    def test_values(self, web: Scene, arguments: tuple[str, ...], out: str) -> None:
        """A switch must be on with `=true` and off with `=false`, and the words of a command must stay."""
        assert web.compose(*arguments, stdin="in\n").stdout == out

    @pytest.mark.parametrize("flags", (("-it",), ("-t",), ("-ti", "-e", "A=1")), ids=" ".join)
    def test_terminal_by_habit(self, web: Scene, flags: tuple[str, ...]) -> None:
        """`exec -it` must work where there is no terminal: scripts are full of it. `run -t` must refuse."""
        assert web.compose("exec", *flags, "web", "cat", stdin="in\n").stdout == "in\n"
        web.compose("run", "--rm", *flags, "web", "true", code=1)
        assert not web.oneoffs()

    def test_bad_value(self, web: Scene) -> None:
        """A value that is neither must be refused."""
        web.compose("ps", "--all=maybe", code=1)

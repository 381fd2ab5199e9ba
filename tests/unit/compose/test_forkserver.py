"""What is known of commands ahead."""

from __future__ import annotations

from pycompose.commands import COMMANDS, NEVER
from pycompose.forkserver import MODULES

from tests.support.sources import modules


def test_all_that_is_loaded_ahead_exists() -> None:
    """A module that has been renamed would end the forkserver at its start, where nobody looks."""
    assert set(MODULES) - modules().keys() == set()
    assert len(MODULES) == len(set(MODULES))


def test_only_commands_that_are_handed_over_have_something_loaded() -> None:
    assert [name for name, row in COMMANDS.items() if row.use_case and row.handed_over == NEVER] == []

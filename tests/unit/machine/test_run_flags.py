"""The table of flags that say the same as a key of a service."""

from __future__ import annotations

from collections import Counter

import pytest
from pycompose.config.attributes import ATTRIBUTES
from pycompose.machine.run_flags import FLAGS, REPEATED, Flag

KINDS = REPEATED | {"text", "count", "switch", "seconds"}
# The tables of the keys below a service's own.
BELOW = {"blkio_config": "blkio", "healthcheck": "healthcheck", "logging": "logging"}


@pytest.mark.parametrize("flag", FLAGS, ids=lambda flag: flag.names[-1])
def test_a_flag_leads_to_a_key_that_there_is(flag: Flag) -> None:
    first, *rest = flag.path

    assert first in ATTRIBUTES["service"]
    assert all(key in ATTRIBUTES[BELOW[first]] for key in rest)


@pytest.mark.parametrize("flag", FLAGS, ids=lambda flag: flag.names[-1])
def test_a_flag_has_a_value_unless_it_is_a_switch(flag: Flag) -> None:
    assert flag.kind in KINDS
    assert bool(flag.metavar) == (flag.kind != "switch")
    assert flag.help
    assert flag.names[-1].startswith("--")


def test_no_two_flags_are_one() -> None:
    """Neither by name nor by what they set."""
    names = Counter(name for flag in FLAGS for name in flag.names)
    keys = Counter(flag.key for flag in FLAGS)

    assert [name for name, count in (names + keys).items() if count > 1] == []

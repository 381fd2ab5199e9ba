"""A lab with two networks, an internal one, and a host outside."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pycompose.networking.model import NetworkSpec

from tests.support.netlab import Lab, lab

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pycompose.engine.paths import StatePaths


@pytest.fixture
def empty_lab(host_paths: StatePaths) -> Iterator[Lab]:
    """Give a machine without networks."""
    with lab(host_paths) as made:
        yield made


@pytest.fixture
def wired_lab(empty_lab: Lab) -> Lab:
    """Give the machine of the matrix: networks `front`, `back` and the internal `closed`, a host outside."""
    for name in ("front", "back", "closed"):
        spec = NetworkSpec(name=name, project=empty_lab.project, internal=name == "closed")
        empty_lab.networking.ensure_network(spec)
    empty_lab.make_outside()
    return empty_lab

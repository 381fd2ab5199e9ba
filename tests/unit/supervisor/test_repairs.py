"""Restoring the network: what is looked at where."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest
from pycompose.engine.paths import StatePaths
from pycompose.networking.api import Networking
from pycompose.networking.netlink.watch import Deletion
from pycompose.supervisor.network.repairs import Repairs

if TYPE_CHECKING:
    from pathlib import Path

    from pycompose.supervisor.network.repairs import Expected


def test_the_loop_never_waits_for_what_there_has_to_be(tmp_path: Path) -> None:
    """Who knows has a lock, and may be waiting for the loop with it; what isn't ours is left alone."""
    asked: list[int] = []

    def expected() -> Expected:
        asked.append(threading.get_ident())
        return {}, {}

    async def main() -> None:
        networking = Networking(StatePaths(root=tmp_path / "root", run=tmp_path / "run"))
        loop = asyncio.get_running_loop()
        repairs = Repairs(loop, networking, "demo", expected, lambda: pytest.fail("nothing of ours has gone"))
        repairs._heard = [Deletion(kind="link", name="stranger")]
        repairs._begin()
        assert repairs._work is not None
        await repairs._work

    asyncio.run(main())
    assert len(asked) == 1
    assert asked[0] != threading.get_ident()

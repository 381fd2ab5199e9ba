"""Walking a plan: who waits for whom, and what a failure does to the others."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from pycompose.engine.errors import EngineError
from pycompose.policy.plan import CreateVolume, Node, Plan
from pycompose.supervisor.execute import execute

if TYPE_CHECKING:
    from collections.abc import Callable


def made(*after: tuple[int, ...]) -> Plan:
    """Return a plan whose nodes wait for these."""
    plan = Plan()
    for number, waits in enumerate(after, 1):
        plan.add(CreateVolume(key="v", name=f"v{number}"), "test", *waits)
    return plan


class Walk:
    """Notes when nodes begin and end; `gates` are events that nodes wait for, `bad` nodes fail."""

    def __init__(self, *bad: int) -> None:
        self.notes: list[str] = []
        self.gates: dict[int, asyncio.Event] = {}
        self.at_once = 0
        self.most = 0
        self.began = asyncio.Event()
        self._bad = bad

    async def __call__(self, node: Node, abort: asyncio.Event) -> None:
        """Perform a node."""
        self.began.set()
        self.notes.append(f"+{node.number}")
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        if node.number in self.gates:
            waits = [asyncio.ensure_future(event.wait()) for event in (self.gates[node.number], abort)]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()
        await asyncio.sleep(0)
        self.at_once -= 1
        if node.number in self._bad:
            raise EngineError(f"node {node.number} failed")
        self.notes.append(f"-{node.number}")


def run(
    plan: Plan, walk: Walk, *, parallel: int | None = None, prepare: Callable[[], None] = lambda: None
) -> None:
    async def work() -> None:
        prepare()
        await execute(plan, walk, parallel=parallel)

    asyncio.run(work())


def test_a_node_starts_when_those_before_it_are_done() -> None:
    """And not before; the others don't wait."""
    walk = Walk()
    run(made((), (), (1, 2)), walk)

    assert walk.notes == ["+1", "+2", "-1", "-2", "+3", "-3"]


def test_no_more_than_allowed_at_once() -> None:
    """`--parallel`; 0 and less is no limit."""
    one, many = Walk(), Walk()
    run(made((), (), ()), one, parallel=1)
    run(made((), (), ()), many, parallel=0)

    assert (one.most, many.most) == (1, 3)


def test_after_a_failure_nothing_starts_and_waits_end() -> None:
    """What works goes on to its end; the first failure is raised, later ones are its notes."""
    walk = Walk(1, 2)

    def prepare() -> None:
        walk.gates[2] = walk.gates[3] = asyncio.Event()

    with pytest.raises(EngineError, match="node 1 failed") as caught:
        run(made((), (), (), (3,)), walk, prepare=prepare)

    assert walk.notes == ["+1", "+2", "+3", "-3"]
    assert caught.value.__notes__ == ["node 2 failed"]


def test_cancelling_cancels_what_is_under_way() -> None:
    """An interrupted `up` waits for nothing."""
    walk = Walk()

    async def work() -> None:
        walk.gates[1] = asyncio.Event()
        task = asyncio.ensure_future(execute(made((), (1,)), walk))
        await walk.began.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(work())
    assert walk.notes == ["+1"]

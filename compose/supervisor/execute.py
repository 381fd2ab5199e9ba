"""Walks a plan: every node starts the moment the nodes it waits for are done. Decides nothing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pycompose.engine.errors import PycomposeError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from pycompose.policy.plan import Node, Plan


async def execute(
    plan: Plan, perform: Callable[[Node, asyncio.Event], Awaitable[None]], *, parallel: int | None = None
) -> None:
    """Perform all nodes of `plan`, at most `parallel` at the same time.

    When one fails, no further one starts, those that only wait are told by the event that `perform` gets, those that
    work are finished, and the error is raised with later ones as notes. Cancelling cancels the nodes under way.
    """
    abort = asyncio.Event()
    limit = asyncio.Semaphore(parallel) if parallel and parallel > 0 else None
    failures: list[PycomposeError] = []
    done = {node.number: asyncio.Event() for node in plan.nodes}

    async def run(node: Node) -> None:
        for number in node.after:
            await done[number].wait()
        if not failures:
            try:
                if limit is None:
                    await perform(node, abort)
                else:
                    async with limit:
                        await perform(node, abort)
            except PycomposeError as exc:
                failures.append(exc)
                abort.set()
        done[node.number].set()

    async with asyncio.TaskGroup() as group:
        for node in plan.nodes:
            group.create_task(run(node))
    if failures:
        first, *others = failures
        for other in others:
            first.add_note(str(other))
        raise first

"""Requests to the keeper: every one comes back from its message as it was, and every operation has one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pycompose.engine.config import Process, User
from pycompose.engine.keeper import requests
from pycompose.engine.keeper.main import Keeper

EXAMPLES: tuple[Any, ...] = (
    requests.Hello(protocol=3),
    requests.Filter(name="f"),
    requests.Start(container="c", filter="f", hold={"dns/c": 2}),
    requests.Exec(
        container="c",
        process=Process(args=("a", "b"), env=("X=1",), user=User(spec="1:2"), tty=True),
        filter="",
        streams=(True, False, True),
        rows=24,
        columns=80,
    ),
    requests.SignalContainer(container="c", signal=15),
    requests.SignalExec(exec="e", signal=9),
    requests.Resize(target="c", rows=1, columns=2),
    requests.Attach(container="c", streams=("stdout",), patient=True, early=True, rows=3, columns=4),
    requests.Guard(argv=("a", "b"), environment={"X": "1"}),
    requests.Shutdown(force=True),
    *(
        kind(container="c")
        for kind in (
            requests.Kill,
            requests.Pause,
            requests.Unpause,
            requests.TakeTerminal,
            requests.CloseStdin,
            requests.Discard,
        )
    ),
    requests.KillExec(exec="e"),
    *(kind(key="k") for kind in (requests.Hold, requests.Take, requests.Drop)),
    requests.ListContainers(),
    requests.ListHeld(),
)


@pytest.mark.parametrize("request_", EXAMPLES, ids=lambda one: type(one).__name__)
def test_there_and_back(request_: requests.KeeperRequest) -> None:
    """Over JSON, with the number of the answer beside it."""
    message = json.loads(json.dumps(request_.message(7)))

    assert message["id"] == 7
    assert requests.request_of(message) == request_


def test_every_operation_has_a_request() -> None:
    """And every request an operation and an example above."""
    operations = {name.removeprefix("op_") for name in dir(Keeper) if name.startswith("op_")}

    assert operations == requests.REQUESTS.keys() == {one.op for one in EXAMPLES}


def test_what_is_no_request() -> None:
    """An unknown operation is none; one that lacks a key is an error, more keys than are known are not."""
    assert requests.request_of({"op": "dance"}) is None
    assert requests.request_of({"op": "kill", "container": "c", "new": 1}) == requests.Kill(container="c")
    with pytest.raises(TypeError):
        requests.request_of({"op": "start", "container": "c"})

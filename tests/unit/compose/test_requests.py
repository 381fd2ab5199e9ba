"""Requests and messages of the control socket: what travels of them, and who answers them."""

from __future__ import annotations

import asyncio
import json
from inspect import signature
from typing import TYPE_CHECKING, Any

import pytest
from pycompose.engine.config import Limits, RootfsTree
from pycompose.engine.errors import StateError
from pycompose.engine.images.spec import Image
from pycompose.engine.paths import StatePaths
from pycompose.errors import SupervisorError
from pycompose.events import ContainerEvent, Event, Phase
from pycompose.ipc.messages import (
    ContainerMessage,
    ExitMessage,
    ProgressMessage,
    ResizeMessage,
    StoppedContainer,
    StoppedMessage,
    SubscribedMessage,
    session_message,
    supervisor_message,
    to_message,
)
from pycompose.ipc.requests import (
    REQUESTS,
    ApplyRequest,
    DownRequest,
    ExecRequest,
    KillRequest,
    RunRequest,
    StopRequest,
    UpdateRequest,
    request_from_message,
)
from pycompose.model import Condition, Dependency, Project, Restart, Service
from pycompose.policy.options import Recreate
from pycompose.supervisor.dispatch import Dispatcher
from pycompose.supervisor.project import ManagedProject

if TYPE_CHECKING:
    from pathlib import Path

    from pycompose.ipc.messages import SupervisorMessage
    from pycompose.ipc.requests import SupervisorRequest

PROJECT = Project(name="demo", directory="/srv", services={"web": Service(name="web", image="busybox")})
IMAGE = Image(reference="busybox", id="sha256:1", trees=(RootfsTree(lowers=("/l",)),))
EVENT = ContainerEvent(
    time_ns=1, action="die", id="a", name="demo-web-1", service="web", number=1, oneoff=False, image="busybox",
    active=False, attributes={"exitCode": "0"},
)  # fmt: skip


@pytest.mark.parametrize(
    "request_",
    (
        ApplyRequest(
            project=PROJECT,
            images={"web": IMAGE},
            services=("web",),
            recreate=Recreate.FORCE,
            forced=(),
        ),
        DownRequest(timeout_s=0.5, volumes=True),
        UpdateRequest(ids=("a",), limits=Limits(cpus=0.5), restart=Restart(kind="always")),
        ExecRequest(args=("true",), env={"A": "1", "B": None}, fds=(False, True, True)),
        RunRequest(
            project=PROJECT,
            images={},
            service="web",
            name="x",
            dependencies=(Dependency(service="db", condition=Condition.HEALTHY),),
            fds=(False, False, False),
        ),
    ),
    ids=lambda value: value.op,
)
def test_a_request_arrives_as_it_was_sent(request_: SupervisorRequest[Any]) -> None:
    """As JSON, with its operation's name, through what every request goes through."""
    message = json.loads(json.dumps(request_.to_message()))

    assert message["op"] == request_.op
    assert request_from_message(message) == request_


def test_versions_that_differ_in_a_field_understand_each_other() -> None:
    """A key that is unknown here is passed over, one that isn't there has its default."""
    assert request_from_message({"op": "stop", "services": ["web"], "later": 1}) == StopRequest(
        services=("web",)
    )


@pytest.mark.parametrize(
    "message",
    ({"op": "fly"}, {}, {"op": "kill"}, {"op": "stop", "services": 1}, {"op": "apply", "project": 0}),
)
def test_what_is_no_request_is_refused(message: dict[str, Any]) -> None:
    """An operation that doesn't exist, one without what it needs, values of another kind."""
    with pytest.raises(StateError, match="control socket"):
        request_from_message(message)


def test_a_signal_is_not_sent_twice() -> None:
    """What does the same when it is done twice is repeated after a crash; `kill` and what is connected are not."""
    repeated = {name for name, kind in REQUESTS.items() if kind.repeatable}

    assert repeated == {"apply", "down", "start", "stop", "restart", "rm", "pause", "rename", "update", "own"}
    assert not KillRequest.repeatable


@pytest.mark.parametrize(
    ("message", "text"),
    (
        (ExitMessage(exit=0), '{"exit": 0}'),
        (SubscribedMessage(subscribed={"a": True}, time_ns=5), '{"subscribed": {"a": true}, "time_ns": 5}'),
        (
            StoppedMessage(waited=StoppedContainer(id="a", name="n", service="s", code=3)),
            '{"waited": {"id": "a", "name": "n", "service": "s", "code": 3}}',
        ),
        (
            ProgressMessage(event=Event(subject="Container a", text="Starting", phase=Phase.WORKING)),
            '{"event": {"subject": "Container a", "text": "Starting", "phase": "working"}}',
        ),
        (ContainerMessage(container=EVENT), json.dumps({"container": EVENT.to_json()})),
    ),
)
def test_messages_keep_their_form(message: SupervisorMessage, text: str) -> None:
    """Supervisors and commands of different versions talk about events and logs."""
    assert json.dumps(to_message(message)) == text
    assert supervisor_message(json.loads(text)) == message


def test_a_session_takes_only_what_is_for_sessions() -> None:
    """Anything else on its connection is refused."""
    assert session_message({"resize": [24, 80]}) == ResizeMessage(resize=(24, 80))
    with pytest.raises(SupervisorError, match="unknown message"):
        session_message({"exit": 0})


def test_every_request_has_its_handler(tmp_path: Path) -> None:
    """The one whose signature says so."""

    async def handlers() -> dict[Any, Any]:
        managed = ManagedProject(StatePaths(root=tmp_path, run=tmp_path), "demo", lambda: None)
        return Dispatcher(managed).handlers

    found = asyncio.run(handlers())

    assert found.keys() == set(REQUESTS.values())
    for kind, handler in found.items():
        (_, annotated, _) = (item.annotation for item in signature(handler).parameters.values())
        assert annotated == kind.__name__

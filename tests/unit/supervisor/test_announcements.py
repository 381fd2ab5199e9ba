"""What people are told about a plan."""

from __future__ import annotations

import pytest
from pycompose.events import Event, Phase
from pycompose.model import Condition
from pycompose.policy.plan import (
    AwaitService,
    CreateContainer,
    CreateNetwork,
    CreateVolume,
    KeepContainer,
    Operation,
    Plan,
    RemoveContainer,
    RemoveNetwork,
    RemoveVolume,
    RenameContainer,
    RunInitContainer,
    StartContainer,
    StartFirst,
    StopContainer,
)
from pycompose.supervisor.announcements import announced, rehearse

WEB = "demo-web-1"


@pytest.mark.parametrize(
    ("operation", "text"),
    (
        (CreateNetwork(key="n", name="demo_n"), "Network demo_n: Creating, Created"),
        (RemoveNetwork(name="demo_n"), "Network demo_n: Removing, Removed"),
        (CreateVolume(key="v", name="demo_v"), "Volume demo_v: Creating, Created"),
        (RemoveVolume(name="demo_v"), "Volume demo_v: Removing, Removed"),
        (CreateContainer(service="web", number=1, name=WEB), "Container demo-web-1: Creating, Created"),
        (
            CreateContainer(service="web", number=1, name=WEB, replaces="f" * 64),
            "Container demo-web-1: Recreate, ",
        ),
        (
            RunInitContainer(service="web", number=1, index=0, name="demo-web-pre_start-0"),
            "Container demo-web-pre_start-0: Running, Exited",
        ),
        (StartContainer(service="web", number=1, name=WEB), "Container demo-web-1: Starting, Started"),
        (StartFirst(service="web", number=1, name=WEB), "Container demo-web-1: Starting, Started"),
        (KeepContainer(id="f" * 64, name=WEB), "Container demo-web-1: , Running"),
        (RenameContainer(service="web", number=1, name=WEB), "Container demo-web-1: , "),
        (StopContainer(id="f" * 64, name=WEB, service="web"), "Container demo-web-1: Stopping, Stopped"),
        (RemoveContainer(id="f" * 64, name=WEB, service="web"), "Container demo-web-1: Removing, Removed"),
        (StopContainer(id="f" * 64, name=WEB, service="web", replaced=True), "Container demo-web-1: , "),
        (
            RemoveContainer(id="f" * 64, name=WEB, service="web", replaced=True),
            "Container demo-web-1: , Recreated",
        ),
    ),
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else "",
)
def test_words(operation: Operation, text: str) -> None:
    """They are Compose's; what is part of a replacement has none of its own."""
    assert [f"{step.subject}: {step.working}, {step.done}" for step in announced(operation)] == [text]


@pytest.mark.parametrize(
    ("condition", "done"),
    ((Condition.STARTED, "Started"), (Condition.HEALTHY, "Healthy"), (Condition.COMPLETED, "Exited")),
)
def test_a_wait_is_told_of_each_container(condition: Condition, done: str) -> None:
    """Not of the service: nobody would know how many."""
    operation = AwaitService(service="web", condition=condition, containers=(WEB, "demo-web-2"))

    assert [(step.subject, step.working, step.done) for step in announced(operation)] == [
        ("Container demo-web-1", "Waiting", done),
        ("Container demo-web-2", "Waiting", done),
    ]


def test_a_rehearsal_tells_the_causes() -> None:
    """In the order of the plan, as soon as they are told of; a step without words is passed over."""
    plan = Plan()
    plan.add(CreateContainer(service="web", number=1, name=WEB, replaces="f" * 64), "configuration changed")
    plan.add(StopContainer(id="f" * 64, name=WEB, service="web", replaced=True), "replaced by #1")
    plan.add(RemoveContainer(id="f" * 64, name=WEB, service="web", replaced=True), "replaced by #1")
    plan.add(KeepContainer(id="e" * 64, name="demo-db-1"), "wanted again")
    events: list[Event] = []

    rehearse(plan, events.append)

    assert events == [
        Event(
            subject="Container demo-web-1",
            text="Recreate",
            phase=Phase.WORKING,
            details="(configuration changed)",
        ),
        Event(subject="Container demo-web-1", text="Recreated", phase=Phase.DONE, details="(replaced by #1)"),
        Event(subject="Container demo-db-1", text="Running", phase=Phase.DONE, details="(wanted again)"),
    ]

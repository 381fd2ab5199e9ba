"""Projects, and what there is of them, for the tests of decisions."""

from __future__ import annotations

from typing import Any

from pycompose.engine.config import ContainerConfig, Process, RootfsTree
from pycompose.engine.dataclass import replace
from pycompose.engine.state import ContainerState, Status
from pycompose.labels import CONFIG_HASH, DEPENDS_ON, NUMBER, SERVICE
from pycompose.model import Endpoint, Network, Project, Service, Volume
from pycompose.policy.observed import (
    EndpointRecord,
    Observed,
    ObservedContainer,
    ObservedResource,
    RuntimeRecord,
)

MADE = ObservedResource(project="demo")
OLD = ObservedResource(made_from="old", project="demo")


def service(name: str, **changes: Any) -> Service:
    return replace(
        Service(name=name, image="host", hash=f"{name}-1", networks=(Endpoint(network="default"),)), **changes
    )


def project(*services: Service, volumes: dict[str, Volume] | None = None) -> Project:
    return Project(
        name="demo",
        directory="/srv/demo",
        services={item.name: item for item in services},
        networks={"default": Network(key="default", name="demo_default")},
        volumes=volumes or {},
    )


def container(
    name: str, number: int = 1, *, hash_: str = "", status: Status = Status.RUNNING, depends: str = ""
) -> ObservedContainer:
    config = ContainerConfig(
        id=f"{name}{number}".ljust(64, "0"),
        name=f"demo-{name}-{number}",
        project="demo",
        rootfs=(RootfsTree(lowers=("/x",)),),
        process=Process(args=("true",)),
        labels={SERVICE: name, NUMBER: str(number), CONFIG_HASH: hash_ or f"{name}-1", DEPENDS_ON: depends},
    )
    endpoints = (EndpointRecord(network="demo_default"),) if status is Status.RUNNING else ()
    return ObservedContainer(
        config=config,
        state=ContainerState(id=config.id, status=status),
        runtime=RuntimeRecord(endpoints=endpoints),
    )


def observed(*containers: ObservedContainer, networks: tuple[str, ...] = ("demo_default",)) -> Observed:
    return Observed(project="demo", containers=containers, networks=dict.fromkeys(networks, MADE))

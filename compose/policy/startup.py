"""What comes before a container starts: the conditions of `depends_on`, and its init containers (`pre_start`).

An init container that has succeeded for a definition of the service isn't run again, unless the hook says
`per_replica`. Those of one service run one after the other, in the order of the hooks for each replica.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycompose.engine.dataclass import dataclass, field
from pycompose.engine.errors import StateError
from pycompose.engine.state import Status
from pycompose.model import Condition
from pycompose.policy.plan import (
    AwaitService,
    Plan,
    RunInitContainer,
    StartContainer,
    StartFirst,
    StopContainer,
)
from pycompose.policy.teardown import stop_order, stop_plan

# What an init container's label and name say.
PRE_START = "pre_start"

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from pycompose.model import Dependency, Project, Service
    from pycompose.policy.observed import ObservedContainer


def hook_key(service: Service, index: int) -> str:
    """Return how a `pre_start` hook that has succeeded is remembered (`hooks.json`)."""
    return f"{service.name}/{service.hash}/{index}"


def start_existing(container: ObservedContainer) -> StartContainer | StartFirst:
    """Return the start of a container: one that was to take over from another still has to."""
    kind = StartFirst if container.takes_over else StartContainer
    return kind(service=container.service, number=container.number, name=container.name, id=container.id)


def await_service(dependency: Dependency, containers: Iterable[str]) -> AwaitService:
    """Return the wait for a dependency, whose containers will have these names."""
    return AwaitService(
        service=dependency.service,
        condition=dependency.condition,
        required=dependency.required,
        containers=tuple(containers),
    )


def check_not_paused(container: ObservedContainer) -> None:
    """Raise StateError for a container that is to run and is paused: it would never be healthy, nor end."""
    if container.state.status is Status.PAUSED:
        raise StateError(
            f"container {container.name}: cannot start a paused container",
            hint="try unpause instead",
        )


@dataclass(slots=True)
class Startup:
    """Adds starts to `plan`. Conditions of the services in `scope` are waited for: nobody would start others.

    `hooks_done` are the keys of hooks that needn't run again. For each service that is done, `started` has the nodes
    after which its containers run, and `names` what these are called.
    """

    plan: Plan
    project: Project
    scope: Collection[str]
    hooks_done: Collection[str] = ()
    started: dict[str, list[int]] = field(default_factory=dict)
    names: dict[str, tuple[str, ...]] = field(default_factory=dict)
    waits: dict[tuple[str, Condition, bool], int] = field(default_factory=dict)
    once: dict[str, int] = field(default_factory=dict)
    last_hook: dict[str, int] = field(default_factory=dict)

    def add(
        self,
        service: Service,
        start: StartContainer | StartFirst,
        cause: str,
        *after: int,
        hooks_of: Service | None,
    ) -> int:
        """Add the start of a container, return its number. It waits for the `pre_start` of `hooks_of`."""
        after = (*after, *self.conditions(service))
        hooks = self._init_containers(hooks_of, start, after) if hooks_of is not None else []
        return self.plan.add(start, cause, *after, *hooks)

    def conditions(self, service: Service) -> list[int]:
        """Add what a start of the service waits for, as far as nobody has yet; return the nodes."""
        nodes: list[int] = []
        for dependency in service.depends_on:
            if dependency.service not in self.project.services or dependency.service not in self.scope:
                continue
            if dependency.condition is not Condition.STARTED:
                nodes.append(self._wait(dependency))
            elif dependency.required:
                nodes += self.started.get(dependency.service, [])
        return nodes

    def _wait(self, dependency: Dependency) -> int:
        """Return the node that waits for a dependency: one for all dependants."""
        key = (dependency.service, dependency.condition, dependency.required)
        if key not in self.waits:
            operation = await_service(dependency, self.names.get(dependency.service, ()))
            starts = self.started.get(dependency.service, [])
            self.waits[key] = self.plan.add(operation, "a dependant needs it", *starts)
        return self.waits[key]

    def _init_containers(
        self, service: Service, start: StartContainer | StartFirst, after: tuple[int, ...]
    ) -> list[int]:
        """Add the hooks that the first start of a container needs; return the nodes that it waits for."""
        needed: list[int] = []
        for index, hook in enumerate(service.pre_start):
            key = hook_key(service, index)
            if hook.per_replica:
                cause = "for each replica"
            elif key in self.once:
                needed.append(self.once[key])
                continue
            elif key in self.hooks_done:
                continue
            else:
                cause = "has not succeeded yet"
            operation = RunInitContainer(
                service=service.name,
                number=start.number,
                index=index,
                name=self.project.joined(service.name, PRE_START, str(index)),
                id=start.id,
            )
            last = self.last_hook.get(service.name, 0)
            node = self.plan.add(operation, cause, *after, *needed[-1:], last)
            self.last_hook[service.name] = node
            needed.append(node)
            if not hook.per_replica:
                self.once[key] = node
        return needed


def start_plan(containers: Collection[ObservedContainer], services: Collection[str]) -> Plan:
    """Return the plan that starts those of existing containers that don't run, each after what it depends on.

    Only dependencies in `services` are waited for: nobody would start others. Who runs already waits for its own, too:
    one that has failed is a failure. Raises StateError for a container that is paused.
    """
    plan = Plan()
    names: dict[str, list[str]] = {}
    for container in sorted(containers, key=lambda c: c.number):
        names.setdefault(container.service, []).append(container.name)
    starts: dict[str, list[int]] = {}
    waits: dict[AwaitService, int] = {}
    for container in reversed(stop_order(containers)):
        check_not_paused(container)
        after: list[int] = []
        for dependency in container.depends_on:
            started = starts.get(dependency.service, [])
            if dependency.service not in services:
                continue
            if dependency.condition is Condition.STARTED:
                after += started if dependency.required else []
                continue
            wait = await_service(dependency, names.get(dependency.service, ()))
            if wait not in waits:
                waits[wait] = plan.add(wait, "a dependant needs it", *started)
            after.append(waits[wait])
        if not container.running:
            number = plan.add(start_existing(container), container.state.status.value, *after)
            starts.setdefault(container.service, []).append(number)
    return plan


def restart_plan(
    containers: Collection[ObservedContainer], timeout_s: float | None = None, signal: int = 0
) -> Plan:
    """Return the plan that stops containers, dependants first, and then starts all, what they depend on first.

    No condition is waited for: what ran before runs again, whether or not a dependency gets well. Those that ask to be
    restarted with a dependency (`depends_on.restart`) are left alone until it has met their condition: one that never
    does is a failure, and they run on.
    """
    services = {container.service for container in containers}
    following = {
        container.service: [
            dependency
            for dependency in container.depends_on
            if dependency.restart and dependency.service in services
        ]
        for container in containers
    }
    chosen = [container for container in containers if not following[container.service]]
    plan = stop_plan(chosen, timeout_s=timeout_s, signal=signal)
    stops = [node.number for node in plan.nodes]
    names: dict[str, list[str]] = {}
    for container in sorted(containers, key=lambda c: c.number):
        names.setdefault(container.service, []).append(container.name)
    starts: dict[str, list[int]] = {}
    for container in reversed(stop_order(containers)):
        needed = [
            number
            for name in container.dependencies
            if not following.get(name)
            for number in starts.get(name, ())
        ]
        if following[container.service]:
            after = _followed(plan, following[container.service], starts, names)
            if container.running:
                stop = StopContainer(
                    id=container.id,
                    name=container.name,
                    service=container.service,
                    timeout_s=timeout_s,
                    signal=signal,
                )
                after = [plan.add(stop, "a dependency was restarted", *after)]
        else:
            after = stops
        number = plan.add(start_existing(container), container.state.status.value, *after, *needed)
        starts.setdefault(container.service, []).append(number)
    return plan


def _followed(
    plan: Plan, dependencies: list[Dependency], starts: dict[str, list[int]], names: dict[str, list[str]]
) -> list[int]:
    """Add the waits for dependencies that are restarted; return what a dependant's restart comes after."""
    nodes: list[int] = []
    for dependency in dependencies:
        started = starts.get(dependency.service, [])
        if dependency.condition is Condition.STARTED:
            nodes += started
        else:
            wait = await_service(dependency, names[dependency.service])
            nodes.append(plan.add(wait, "a dependant is restarted with it", *started))
    return nodes

"""What can be done to a stack that runs: the commands of that name, other limits, and faults."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from pycompose.client import changes as use_cases
from pycompose.client import options as opt
from pycompose.engine.errors import PycomposeError
from pycompose.ipc.client import connect_or_start
from pycompose.ipc.requests import ConnectRequest, DisconnectRequest, UpdateRequest
from pycompose.testing.protocols import StackAccess
from pycompose.testing.service import StackService
from pycompose.testing.undo import Broken, Fault

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pycompose.config.load import Loaded
    from pycompose.engine.config import Limits
    from pycompose.ipc.client import StartingSupervisor
    from pycompose.ipc.requests import SupervisorRequest
    from pycompose.testing.faults import NetworkFaults
    from pycompose.testing.protocols import Action


class StackControl(StackAccess):
    """The part of a stack (stack.py) that changes what runs."""

    def ask(
        self,
        request: SupervisorRequest[Any],
        starting: StartingSupervisor | None = None,
        *,
        keeper: bool = False,
    ) -> bool:
        """Ask the stack's supervisor, one is started if need be; return the `nothing` of its answer.

        It is the one that is `starting`; with `keeper` it starts its keeper at once.
        """
        with connect_or_start(self.context.paths, self.name, starting, keeper=keeper) as connection:
            result, _ = connection.call(request, self.context.sink)
        return bool(result.nothing)

    def loaded_with(self, service: str) -> Loaded:
        """Return the files with the profiles of a service."""
        return self.loaded if service in self.loaded.project.services else self.load((service,))

    def act(
        self,
        action: Action,
        *services: str,
        timeout_s: float | None = None,
        signal: str = "SIGKILL",
    ) -> None:
        """Do what the command of that name does. Raises PycomposeError."""
        loaded = self.load(services)
        match action:
            case "start":
                use_cases.start(self.context, self.name, loaded, opt.StartOptions(services=services))
            case "stop":
                stop = opt.StopOptions(services=services, timeout_s=timeout_s)
                use_cases.stop(self.context, self.name, loaded, stop)
            case "restart":
                restart = opt.RestartOptions(services=services, timeout_s=timeout_s)
                use_cases.restart(self.context, self.name, loaded, restart)
            case "kill":
                kill = opt.KillOptions(services=services, signal=signal, remove_orphans=False)
                use_cases.kill(self.context, self.name, loaded, kill)
            case "pause":
                use_cases.pause(self.context, self.name, loaded, opt.PauseOptions(services=services))
            case "unpause":
                use_cases.unpause(self.context, self.name, loaded, opt.PauseOptions(services=services))

    def scale(self, service: str, replicas: int) -> None:
        """Have this many containers of a service. Raises PycomposeError."""
        options = opt.ScaleOptions(scale=((service, replicas),), no_deps=True)
        use_cases.scale(self.context, self.load((service,)), options)

    def limit(self, service: str, limits: Limits) -> None:
        """Change limits of a service's running containers. Raises CgroupError."""
        for view in StackService(self, service).containers():
            self.ask(UpdateRequest(ids=(view.id,), limits=limits))

    def disconnect(self, service: str, network: str) -> Fault:
        """Take a service's containers off a network until the fault is undone. Raises NetworkError, ConfigError."""
        project = self.loaded_with(service).project
        if network not in project.networks:
            known = ", ".join(sorted(project.networks))
            raise PycomposeError(f"network {network}: unknown", hint=f"known: {known}")
        name = project.networks[network].name
        ids = [view.id for view in StackService(self, service).containers()]
        aliases = (
            service,
            *(n for e in project.services[service].networks if e.network == network for n in e.aliases),
        )
        for container_id in ids:
            self.ask(DisconnectRequest(ids=(container_id,), network=name))

        def undo() -> None:
            there = {view.id for view in StackService(self, service).containers()}
            for container_id in ids:
                if container_id in there:
                    self.ask(ConnectRequest(ids=(container_id,), network=name, aliases=aliases))

        return self.broken.add(Fault(undo))

    def freeze(self, service: str) -> Fault:
        """Stop a service's containers in the middle of whatever they do. Raises PycomposeError."""
        return self._until_again("pause", service, lambda: self._thaw(service))

    def kill(self, service: str) -> Fault:
        """Kill a service's containers; undone, they are started and ready again. Raises PycomposeError."""
        return self._until_again("kill", service, lambda: self._revive(service))

    def _until_again(self, action: Action, service: str, again: Callable[[], None]) -> Fault:
        self.act(action, service)
        return self.broken.add(Fault(again))

    def _thaw(self, service: str) -> None:
        if any(view.state == "paused" for view in StackService(self, service).containers()):
            self.act("unpause", service)

    def _revive(self, service: str) -> None:
        states = {view.state for view in StackService(self, service).containers()}
        if states & {"exited", "created"}:
            self.act("start", service)
            self.await_service(service)

    # ------------------------------------------------------------------ faults

    @cached_property
    def broken(self) -> Broken:
        """All that is wrong with the stack on purpose."""
        return Broken()

    @cached_property
    def faults(self) -> NetworkFaults:
        """What is wrong with its networks."""
        from pycompose.testing.faults import NetworkFaults  # noqa: PLC0415 - it brings the networking

        return NetworkFaults(self)

    def partition(self, *services: str, others: Sequence[str] | None = None) -> Fault:
        """Cut the first service off from the others named, or `services` from `others`. Raises PycomposeError."""
        left, right = (services[:1], services[1:]) if others is None else (services, tuple(others))
        if not left or not right:
            raise PycomposeError("partition: needs services on both sides", hint='partition("api", "db")')
        return self.broken.add(self.faults.partition(left, right))

    def fault(self, service: str, **what: Any) -> Fault:
        """Break the network of a service's containers (the fields of networking.faults.Faults). Raises NetworkError."""
        return self.broken.add(self.faults.add(service, **what))

    def only_the_others(self, service: str) -> Fault:
        """Let a service hear what runs now and this machine, none that come later. Raises NetworkError."""
        return self.broken.add(self.faults.only_the_others(service))

    def cut_off(self, *services: str) -> Fault:
        """Cut services off from all that is outside the stack's networks. Raises PycomposeError."""
        return self.broken.add(self.faults.cut_off(services))

    def fill(self, volume: str) -> Fault:
        """Let no byte go into a volume any more, which must have a size (`volume_sizes`). Raises VolumeError."""
        from pycompose.testing.disks import fill  # noqa: PLC0415 - as above

        return self.broken.add(fill(self, volume))

    def heal(self) -> None:
        """Undo all faults, the latest first; what was killed or frozen is ready again. Raises PycomposeError."""
        self.broken.mend()

"""One service of a stack: where it is, what it says, and what can be done with it."""

from __future__ import annotations

import contextlib
import os
import re
import time
import urllib.parse
from typing import TYPE_CHECKING, Any

from pycompose.client.listings import container_view
from pycompose.engine.config import Limits
from pycompose.engine.errors import NoSuchContainer, PycomposeError
from pycompose.state.snapshot import observe_containers, read_container
from pycompose.testing.errors import NotReady
from pycompose.testing.results import OutputLine, ServiceReport
from pycompose.testing.undo import Fault, bytes_per_second, nanoseconds, share
from pycompose.testing.waiting import Wait, Waitable, completed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pycompose.client.views import ContainerView, StatsView
    from pycompose.testing.processes import Tee
    from pycompose.testing.protocols import StackAccess
    from pycompose.testing.results import ProcessResult

FIRST_PAUSE_S = 0.02
LONGEST_PAUSE_S = 0.05
REPORT_LINES = 30
# Where a scheme says what the parts of an address are called in the environment of the usual image.
_CREDENTIALS = {
    "postgresql": (5432, "POSTGRES_USER", "POSTGRES_PASSWORD", "POSTGRES_DB"),
    "postgres": (5432, "POSTGRES_USER", "POSTGRES_PASSWORD", "POSTGRES_DB"),
    "mysql": (3306, "MYSQL_USER", "MYSQL_PASSWORD", "MYSQL_DATABASE"),
    "mariadb": (3306, "MARIADB_USER", "MARIADB_PASSWORD", "MARIADB_DATABASE"),
    "mongodb": (27017, "MONGO_INITDB_ROOT_USERNAME", "MONGO_INITDB_ROOT_PASSWORD", ""),
    "redis": (6379, "", "REDIS_PASSWORD", ""),
    "amqp": (5672, "RABBITMQ_DEFAULT_USER", "RABBITMQ_DEFAULT_PASS", ""),
}


class StackService:
    """A service of a running stack; with several containers the first is meant unless an `index` (from 1) is given."""

    def __init__(self, stack: StackAccess, name: str) -> None:
        self.stack = stack
        self.name = name

    def __repr__(self) -> str:
        return f"<service {self.name} of {self.stack.name}>"

    # ------------------------------------------------------------------ what there is

    def containers(self) -> list[ContainerView]:
        """Return the service's containers as they are now, by number."""
        context = self.stack.context
        found, _ = observe_containers(context.paths, self.stack.name)
        own = [c for c in found if c.service == self.name and not c.oneoff]
        return [container_view(context, c) for c in sorted(own, key=lambda c: c.number)]

    def container(self, index: int = 0) -> ContainerView:
        """Return one container, the first without an `index`. Raises NoSuchContainer."""
        for view in self.containers():
            if index in (0, view.number):
                return view
        which = f" number {index}" if index else ""
        raise NoSuchContainer(f'service "{self.name}" has no container{which} in {self.stack.name}')

    def address(self, port: int, *, index: int = 0) -> tuple[str, int]:
        """Return where the container itself listens, published or not, as seen from this process. Raises NotReady."""
        view = self.container(index)
        found = read_container(self.stack.context.paths, view.id)
        while found is not None and found.config.namespaces.network.startswith("container:"):
            owner = found.config.namespaces.network.partition(":")[2]  # network_mode: service:…
            found = read_container(self.stack.context.paths, owner)
        if found is not None and found.config.namespaces.network == "host":
            return "127.0.0.1", port
        ip = next((e.ip or e.ip6 for e in found.runtime.endpoints if e.ip or e.ip6), "") if found else ""
        if not ip:
            raise NotReady(f"service {self.name}: has no address: {view.name} is {view.state}")
        return ip, port

    def host_port(self, port: int, protocol: str = "tcp", *, index: int = 0) -> int:
        """Return the port of this machine at which a port is published. Raises PycomposeError with those there are."""
        ports = self.container(index).ports
        for binding in ports:
            if (binding.target, binding.protocol) == (port, protocol) and binding.host_port:
                return binding.host_port
        known = ", ".join(f"{b.target}/{b.protocol}" for b in ports if b.host_port) or "none"
        raise PycomposeError(
            f"service {self.name}: port {port}/{protocol} is not published (published: {known})",
            hint=f"address({port}) reaches it without `ports:`",
        )

    def url(self, port: int, path: str = "/", *, scheme: str = "http", index: int = 0) -> str:
        """Return the address of something on a port, as a URL. Raises NotReady."""
        ip, number = self.address(port, index=index)
        host = f"[{ip}]" if ":" in ip else ip
        return f"{scheme}://{host}:{number}/{path.removeprefix('/')}"

    def dsn(self, scheme: str, port: int = 0, **parts: str) -> str:
        """Return the address of a database: `dsn("postgresql", user="app", password="x", database="app")`.

        What isn't given comes from the service's environment, as the usual image of that database reads it.
        Raises NotReady, PycomposeError for an unknown scheme without a port.
        """
        known = _CREDENTIALS.get(scheme.partition("+")[0], (0, "", "", ""))
        if not port and not known[0]:
            raise PycomposeError(f"dsn {scheme!r}: needs a port", hint=f"known: {', '.join(_CREDENTIALS)}")
        environment = self.environment
        user, password, database = (
            parts.get(part, environment.get(variable, "") if variable else "")
            for part, variable in zip(("user", "password", "database"), known[1:], strict=True)
        )
        ip, number = self.address(port or int(known[0]))
        quoted = urllib.parse.quote(user, safe="")
        if password:
            quoted += ":" + urllib.parse.quote(password, safe="")
        host = f"[{ip}]" if ":" in ip else ip
        return f"{scheme}://{quoted}{'@' if quoted else ''}{host}:{number}/{urllib.parse.quote(database, safe='')}"

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables that the container's process 1 has been given."""
        found = read_container(self.stack.context.paths, self.container().id)
        return dict(item.partition("=")[::2] for item in found.config.process.env) if found else {}

    # ------------------------------------------------------------------ what it says

    def logs(self, *, since_ns: int | None = None) -> list[OutputLine]:
        """Return the lines of all its containers by time, of their present run or since a moment."""
        if since_ns is None:
            since_ns = min((view.started_ns for view in self.containers()), default=0)
        return self.stack.logs(self.name, since_ns=since_ns)

    @contextlib.contextmanager
    def expect_log(
        self, pattern: str, *, timeout_s: float = 10.0, count: int = 1
    ) -> Iterator[list[OutputLine]]:
        """Wait, at the end of the block, for lines written since its beginning; the list then has them.

        Raises NotReady with what was written instead.
        """
        since_ns = time.time_ns()
        found: list[OutputLine] = []
        yield found
        expression = re.compile(pattern)

        def look(service: Waitable) -> str:
            found[:] = [line for line in service.logs(since_ns=since_ns) if expression.search(line.text)]
            return "" if len(found) >= count else f"{len(found)} of {count} lines with {pattern!r}"

        self.wait_for(Wait(f"log {pattern!r}", look, ends=True), timeout_s=timeout_s)

    def report(self, waits_for: str = "") -> list[ServiceReport]:
        """Return how each of its containers is, with its last lines."""
        views = self.containers()
        if not views:
            return [ServiceReport(service=self.name, waits_for=waits_for)]
        lines = self.stack.logs(self.name)
        return [self._report(view, lines, waits_for) for view in views]

    def _report(self, view: ContainerView, lines: list[OutputLine], waits_for: str) -> ServiceReport:
        found = read_container(self.stack.context.paths, view.id)
        results = found.health.get("log") or found.health.get("results") or [] if found else []
        output = str(results[-1].get("output") or results[-1].get("Output") or "") if results else ""
        return ServiceReport(
            service=self.name,
            container=view.name,
            state=view.state,
            exit_code=view.exit_code,
            oom_killed=view.oom_killed,
            health=view.health,
            health_output=output,
            restarts=view.restart_count,
            waits_for=waits_for,
            lines=tuple([line for line in lines if line.container == view.name][-REPORT_LINES:]),
        )

    # ------------------------------------------------------------------ waiting

    def wait_for(self, wait: Wait, *, timeout_s: float | None = None) -> StackService:
        """Wait, for the stack's time unless another is given, and return the service. Raises NotReady.

        It is over at once when a container has ended for good, unless that is what is waited for.
        """
        limit_s = self.stack.timeout_of(self.name) if timeout_s is None else timeout_s
        until_s = time.monotonic() + limit_s
        pause_s = FIRST_PAUSE_S
        with self.stack.changes() as changes:
            while True:
                gone = "" if wait.ends else self._gone()
                try:
                    missing = "" if gone else wait.look(self)
                except NotReady as exc:
                    missing = exc.message
                    if wait.ends:
                        raise NotReady(exc.message, self.report()) from None
                except PycomposeError as exc:
                    missing = exc.message
                if gone:
                    raise NotReady(
                        f"service {self.name}: {gone} while waiting for: {wait.description}", self.report()
                    )
                if not missing:
                    return self
                if time.monotonic() >= until_s:
                    text = f"service {self.name}: not ready after {limit_s:.3g} s: {missing}"
                    raise NotReady(text, self.report(f"waits for {wait.description}"))
                changes.wait(min(pause_s, max(until_s - time.monotonic(), 0)))
                pause_s = min(pause_s * 1.2, LONGEST_PAUSE_S)

    def _gone(self) -> str:
        """Return which container has ended and won't come back, "" for none."""
        ended = [view for view in self.containers() if view.state in ("exited", "dead")]
        return f"{ended[0].name} has ended (exit code {ended[0].exit_code})" if ended else ""

    def wait_exit(self, *, timeout_s: float | None = None) -> int:
        """Wait until its containers have ended; return the exit code, the first that isn't 0. Raises NotReady."""
        self.wait_for(completed(None), timeout_s=timeout_s)
        return next((view.exit_code for view in self.containers() if view.exit_code), 0)

    # ------------------------------------------------------------------ doing

    def exec(  # noqa: PLR0913 - options of a command
        self,
        *args: str,
        stdin: bytes | str = b"",
        user: str = "",
        env: Mapping[str, str] | None = None,
        workdir: str = "",
        index: int = 0,
        timeout_s: float | None = 60.0,
        check: bool = False,
    ) -> ProcessResult:
        """Run a command in a running container and return how it has ended; with `check` it must be 0.

        Raises ProcessFailed, TimeoutError (the command is killed), NoSuchContainer, StateError, ExecError.
        """
        from pycompose.client import sessions  # noqa: PLC0415 - many tests only use the network
        from pycompose.client.options import ExecOptions  # noqa: PLC0415 - as above
        from pycompose.testing.processes import finish  # noqa: PLC0415 - as above

        options = ExecOptions(
            service=self.name,
            command=args,
            env=tuple(f"{key}={value}" for key, value in (env or {}).items()),
            index=index,
            user=user,
            workdir=workdir,
            interactive=bool(stdin),
        )
        session = sessions.exec_(self.stack.context, self.stack.name, options)
        data = stdin.encode() if isinstance(stdin, str) else stdin
        result = finish(session, args, stdin=data, timeout_s=timeout_s)
        return result.check() if check else result

    def run(  # noqa: PLR0913 - as above
        self,
        *args: str,
        stdin: bytes | str = b"",
        user: str = "",
        env: Mapping[str, str] | None = None,
        workdir: str = "",
        timeout_s: float | None = None,
        check: bool = False,
        no_deps: bool = False,
        tee: Tee | None = None,
    ) -> ProcessResult:
        """Run a command in a new container of the service, which is removed; without `args` the service's own.

        What it depends on is started first, but for `no_deps`. `tee` gets the output ("stdout" or "stderr", and bytes)
        as it comes. Raises as `exec`, and StackFailed.
        """
        from pycompose.client import sessions  # noqa: PLC0415 - as above
        from pycompose.client.options import RunOptions  # noqa: PLC0415 - as above
        from pycompose.testing.processes import finish  # noqa: PLC0415 - as above

        options = RunOptions(
            service=self.name,
            command=args,
            env=tuple(f"{key}={value}" for key, value in (env or {}).items()),
            user=user,
            workdir=workdir,
            remove=True,
            interactive=bool(stdin),
            ignore_orphans=True,
            no_deps=no_deps,
        )
        session = sessions.run(self.stack.context, self.stack.load((self.name,)), options)
        if session is None:
            raise NotReady(f"service {self.name}: has not been started")
        data = stdin.encode() if isinstance(stdin, str) else stdin
        result = finish(session, args, stdin=data, timeout_s=timeout_s, tee=tee)
        return result.check() if check else result

    def exists(self, path: str) -> bool:
        """Tell whether there is something at an absolute path in the container, which may have ended."""
        from pycompose.client.copy import exists  # noqa: PLC0415 - as above

        return exists(self.stack.context, self.container().id, path)

    def copy_to(self, source: str | os.PathLike[str], path: str) -> None:
        """Copy a file or directory of this machine into all containers, by the rules of `cp`. Raises PycomposeError."""
        self._copy(os.path.abspath(source), path, to_container=True)

    def copy_from(self, path: str, target: str | os.PathLike[str]) -> None:
        """Copy a file or directory out of the first container, by the rules of `cp`. Raises PycomposeError."""
        self._copy(os.path.abspath(target), path, to_container=False)

    def _copy(self, local: str, path: str, *, to_container: bool) -> None:
        from pycompose.client.copy import cp  # noqa: PLC0415 - as above
        from pycompose.client.options import CpOptions  # noqa: PLC0415 - as above

        options = CpOptions(service=self.name, path=path, local=local, to_container=to_container)
        cp(self.stack.context, self.stack.name, options)

    def start(self) -> None:
        """Start its containers, which `stack.await_service` waits for. Raises PycomposeError, as all that follow."""
        self.stack.act("start", self.name)

    def stop(self, timeout_s: float | None = None) -> None:
        """Stop its containers, gently for `timeout_s` (None: its own grace period)."""
        self.stack.act("stop", self.name, timeout_s=timeout_s)

    def restart(self, timeout_s: float | None = None) -> None:
        """Stop its containers and start them again."""
        self.stack.act("restart", self.name, timeout_s=timeout_s)

    def signal(self, name: str) -> None:
        """Send a signal ("SIGHUP", "TERM", "9") to process 1 of its containers."""
        self.stack.act("kill", self.name, signal=name)

    def kill(self) -> Fault:
        """Kill its containers, as a crash would; undone, they are started and ready again."""
        return self.stack.kill(self.name)

    def freeze(self) -> Fault:
        """Stop its containers in the middle of whatever they do, until `thaw` (cgroup freezer)."""
        return self.stack.freeze(self.name)

    pause = freeze

    def thaw(self) -> None:
        """Let frozen containers go on."""
        self.stack.act("unpause", self.name)

    unpause = thaw

    def scale(self, replicas: int) -> None:
        """Have this many containers, new ones running but not waited for."""
        if replicas < 0:
            raise PycomposeError(f"service {self.name}: cannot have {replicas} containers")
        self.stack.scale(self.name, replicas)

    def latency(self, delay: str | float, *, jitter: str | float = 0) -> Fault:
        """Delay all that it sends ("50ms", or seconds): answers come that much later. Raises NetworkError."""
        what = {"delay_ns": nanoseconds(delay), "jitter_ns": nanoseconds(jitter)}
        return self.stack.fault(self.name, **what)

    def loss(self, percent: float) -> Fault:
        """Lose this share of the packets that it receives (0 to 100). Raises NetworkError."""
        return self.stack.fault(self.name, loss=share(percent))

    def bandwidth(self, rate: str | int) -> Fault:
        """Let it send no more than this ("1mbit", or bits per second). Raises NetworkError."""
        return self.stack.fault(self.name, bytes_per_s=bytes_per_second(rate))

    def disconnect(self, network: str = "default") -> Fault:
        """Take its containers off a network, by its key in the file; undone with their names. Raises NetworkError."""
        return self.stack.disconnect(self.name, network)

    def limit(self, **limits: Any) -> None:
        """Change limits of its containers while they run: `memory_bytes`, `cpus`, `pids`, … (engine.config.Limits).

        Raises CgroupError, TypeError for a limit that there is none of.
        """
        self.stack.limit(self.name, Limits(**limits))

    def stats(self, interval_s: float = 0.1) -> StatsView:
        """Return what its first container uses; rates are those of `interval_s`. Raises NoSuchContainer."""
        from pycompose.client.query_options import StatsOptions  # noqa: PLC0415 - as above
        from pycompose.client.stats import stats  # noqa: PLC0415 - as above

        options = StatsOptions(services=(self.name,), stream=False, interval_s=interval_s)
        views = next(stats(self.stack.context, self.stack.name, options))
        if not views:
            raise NoSuchContainer(f'service "{self.name}" has no running container in {self.stack.name}')
        return views[0]

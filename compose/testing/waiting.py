"""What can be waited for: by events where there are any, else by looking again after 20 to 50 ms.

Each is a `Wait`: its `look` says what is missing, "" when nothing is. They combine: `all_of(tcp(5432), log("ready"))`.
"""

from __future__ import annotations

import contextlib
import json as json_
import re
import socket
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any, Protocol

from pycompose.engine.dataclass import dataclass
from pycompose.testing.errors import NotReady

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pycompose.client.views import ContainerView
    from pycompose.testing.results import OutputLine, ProcessResult

_TRY_S = 1.0


class Waitable(Protocol):
    """What is asked of a service that is waited for (service.py has it)."""

    name: str

    def containers(self) -> list[ContainerView]:
        """Return its containers."""
        ...

    def address(self, port: int) -> tuple[str, int]:
        """Return where it listens."""
        ...

    def url(self, port: int, path: str = "/") -> str:
        """Return that as a URL."""
        ...

    def logs(self, *, since_ns: int | None = None) -> Sequence[OutputLine]:
        """Return what it has written."""
        ...

    def exists(self, path: str) -> bool:
        """Tell whether it has a file."""
        ...

    def exec(self, *args: str, timeout_s: float | None = 60.0) -> ProcessResult:
        """Run a command in it."""
        ...


@dataclass(frozen=True, slots=True)
class Wait:
    """Something to wait for. `look` may take a second at most; `ends` if it is the service's end that is wanted."""

    description: str
    look: Callable[[Waitable], str]
    ends: bool = False


def running() -> Wait:
    """Wait until the service's containers run."""
    return Wait("running", lambda service: _states(service, "running"))


def healthy() -> Wait:
    """Wait until the health check of the service (or its image) has succeeded in each container."""
    return Wait("healthy", lambda service: _states(service, "running", health="healthy"))


def completed(code: int | None = 0) -> Wait:
    """Wait until the service's containers have ended, with this exit code (None: with any)."""

    def look(service: Waitable) -> str:
        missing = _states(service, "exited")
        codes = {view.exit_code for view in service.containers()}
        if not missing and code is not None and codes - {code}:
            raise NotReady(
                f"service {service.name}: has ended with exit code {max(codes - {code})}, not {code}"
            )
        return missing

    return Wait({0: "completed", None: "its end"}.get(code, f"ended with {code}"), look, ends=True)


def tcp(port: int) -> Wait:
    """Wait until something listens on a port of the container."""

    def look(service: Waitable) -> str:
        try:
            socket.create_connection(service.address(port), timeout=_TRY_S).close()
        except OSError as exc:
            return f"port {port}: {exc.strerror or exc}"
        return ""

    return Wait(f"tcp {port}", look)


def http(
    port: int, path: str = "/", *, status: int | None = 200, json: Callable[[Any], bool] | None = None
) -> Wait:
    """Wait until a request is answered with `status` (None: any), and `json` is true of the body."""

    def look(service: Waitable) -> str:
        url = service.url(port, path)
        # No proxy of the environment: the address is one of this machine.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(url, timeout=_TRY_S) as answer:
                found, body = answer.status, answer.read()
        except urllib.error.HTTPError as exc:
            with exc:
                found, body = exc.code, exc.read()
        except (OSError, ValueError) as exc:
            return f"{url}: {getattr(exc, 'reason', exc)}"
        if status is not None and found != status:
            return f"{url}: status {found}"
        if json is not None:
            try:
                if not json(json_.loads(body)):
                    return f"{url}: another answer: {body[:200].decode(errors='replace')}"
            except (ValueError, LookupError, TypeError) as exc:
                return f"{url}: not the JSON that is expected: {exc}"
        return ""

    return Wait(f"http {port}{path}", look)


def log(pattern: str, count: int = 1) -> Wait:
    """Wait until `count` lines of the present run of a container match a regular expression (re.search)."""
    expression = re.compile(pattern)

    def look(service: Waitable) -> str:
        found = sum(1 for line in service.logs() if expression.search(line.text))
        return "" if found >= count else f"{found} of {count} lines with {pattern!r}"

    return Wait(f"log {pattern!r}", look)


def file(path: str) -> Wait:
    """Wait until there is something at `path` in the container."""

    def look(service: Waitable) -> str:
        return "" if service.exists(path) else f"no {path}"

    return Wait(f"file {path}", look)


def command(*args: str) -> Wait:
    """Wait until a command in the container ends with 0."""

    def look(service: Waitable) -> str:
        with contextlib.suppress(TimeoutError):
            result = service.exec(*args, timeout_s=_TRY_S * 5)
            return "" if result.code == 0 else f"{args[0]}: exit code {result.code}"
        return f"{args[0]}: takes too long"

    return Wait(f"command {args[0]}", look)


def check(call: Callable[[Waitable], object], description: str = "") -> Wait:
    """Wait until `call` returns something true and raises nothing."""
    name = description or getattr(call, "__name__", "check")

    def look(service: Waitable) -> str:
        try:
            return "" if call(service) else f"{name}: not yet"
        except Exception as exc:  # noqa: BLE001 - a check says by an exception what is missing
            return f"{name}: {type(exc).__name__}: {exc}"

    return Wait(name, look)


def all_of(*waits: Wait) -> Wait:
    """Wait for all."""

    def look(service: Waitable) -> str:
        missing = (wait.look(service) for wait in waits)
        return next((text for text in missing if text), "")

    return Wait(" and ".join(w.description for w in waits), look, ends=any(w.ends for w in waits))


def any_of(*waits: Wait) -> Wait:
    """Wait for the first."""

    def look(service: Waitable) -> str:
        missing = []
        for wait in waits:
            text = wait.look(service)
            if not text:
                return ""
            missing.append(text)
        return " or ".join(missing)

    return Wait(" or ".join(w.description for w in waits), look, ends=any(w.ends for w in waits))


def _states(service: Waitable, state: str, health: str = "") -> str:
    """Return what is missing until all containers of a service are in a state; "" when nothing is."""
    views = service.containers()
    if not views:
        return "no container"
    for view in views:
        if view.state != state:
            return f"{view.name} is {view.state}"
        if health and view.health != health:
            return f"{view.name} is {view.health or 'without a health check'}"
    return ""

"""Facts as people read them: durations, sizes, a container's status, its ports and command. All pure.

The texts are those of Docker's `ps` (docker/go-units `HumanDuration` and `HumanSize`, moby `State.String`,
docker/cli `DisplayablePorts`), because scripts match on them.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pycompose.client.views import ContainerView
    from pycompose.policy.observed import PortBinding

NS = 1_000_000_000
COMMAND_WIDTH = 20

_DECIMAL = ("B", "kB", "MB", "GB", "TB", "PB", "EB")
_BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def duration(seconds: float) -> str:
    """Return a rough length of time: "Less than a second", "About a minute", "3 weeks" (go-units)."""
    whole = int(seconds)
    hours = int(seconds / 3600 + 0.5)
    if whole < 1:
        return "Less than a second"
    if whole < 60:
        return "1 second" if whole == 1 else f"{whole} seconds"
    if whole < 3600:
        return "About a minute" if whole < 120 else f"{whole // 60} minutes"
    if hours <= 1:
        return "About an hour"
    for limit, divisor, unit in (
        (48, 1, "hours"),
        (24 * 14, 24, "days"),
        (24 * 60, 24 * 7, "weeks"),
        (24 * 365 * 2, 24 * 30, "months"),
    ):
        if hours < limit:
            return f"{hours // divisor} {unit}"
    return f"{whole // 3600 // 24 // 365} years"


def ago(then_ns: int, now_ns: int) -> str:
    """Return "5 minutes ago" for two moments in CLOCK_REALTIME nanoseconds; the future counts as now."""
    return f"{duration(max(0, now_ns - then_ns) / NS)} ago"


def _scaled(value: float, base: float, units: tuple[str, ...], digits: int) -> str:
    index = 0
    while value >= base and index < len(units) - 1:
        value /= base
        index += 1
    # Go's %.4g and %.3g: significant digits, no trailing zeros, and no exponent in the range that is left.
    text = f"{value:.{digits}g}"
    if "e" in text:
        text = f"{float(text):.0f}"
    return f"{text}{units[index]}"


def size(value_bytes: float, *, digits: int = 3) -> str:
    """Return a size in powers of 1000, "1.98MB" (go-units HumanSizeWithPrecision)."""
    return _scaled(value_bytes, 1000.0, _DECIMAL, digits)


def binary_size(value_bytes: float) -> str:
    """Return a size in powers of 1024, "1.953MiB" (go-units BytesSize)."""
    return _scaled(value_bytes, 1024.0, _BINARY, 4)


def created_at(stamp_ns: int) -> str:
    """Return a stamp as docker's listings have it: `2026-11-29 15:08:21 +0000 UTC`."""
    return f"{dt.datetime.fromtimestamp(stamp_ns // NS, dt.UTC):%Y-%m-%d %H:%M:%S} +0000 UTC"


def moment(stamp_ns: int) -> str:
    """Return a stamp as RFC 3339 with nine digits in UTC, as `logs -t` prints it."""
    whole, rest = divmod(stamp_ns, NS)
    return f"{_second(whole)}.{rest:09d}Z"


@lru_cache(maxsize=8)
def _second(whole: int) -> str:
    """Return a moment up to its seconds; lines often share theirs."""
    return f"{dt.datetime.fromtimestamp(whole, dt.UTC):%Y-%m-%dT%H:%M:%S}"


def status(view: ContainerView, now_ns: int) -> str:
    """Return the STATUS column: "Up 2 minutes (healthy)", "Exited (1) 5 seconds ago" (moby State.String).

    An exit code that nobody could learn is shown as "?".
    """
    code = str(view.exit_code) if view.exit_code_known else "?"
    if view.state == "running":
        up = f"Up {duration(max(0, now_ns - view.started_ns) / NS)}"
        if view.health:
            return f"{up} (health: starting)" if view.health == "starting" else f"{up} ({view.health})"
        return up
    if view.state == "paused":
        return f"Up {duration(max(0, now_ns - view.started_ns) / NS)} (Paused)"
    if view.state == "restarting":
        return f"Restarting ({code}) {ago(view.finished_ns, now_ns)}"
    if view.state == "exited":
        return f"Exited ({code}) {ago(view.finished_ns, now_ns)}" if view.finished_ns else f"Exited ({code})"
    return {"created": "Created", "removing": "Removal In Progress", "dead": "Dead"}.get(
        view.state, view.state
    )


def _host(url: str) -> str:
    return f"[{url}]" if ":" in url and not url.startswith("[") else url


def address(port: PortBinding) -> str:
    """Return "0.0.0.0:8080", "[::]:8080"."""
    return f"{_host(port.host_ip)}:{port.host_port}"


def _range(key: str, first: int, last: int) -> str:
    address, _, protocol = key.rpartition("/")
    numbers = str(first) if first == last else f"{first}-{last}"
    return f"{_host(address)}:{numbers}->{numbers}/{protocol}" if address else f"{numbers}/{protocol}"


def ports(bindings: Iterable[PortBinding]) -> str:
    """Return the PORTS column; runs of ports that are published under their own number become one range."""
    runs: dict[str, list[int]] = {}
    done: list[str] = []
    moved: list[str] = []
    for port in sorted(set(bindings), key=lambda p: (p.target, p.host_ip, p.host_port, p.protocol)):
        if port.host_port and port.host_port != port.target:
            moved.append(f"{address(port)}->{port.target}/{port.protocol}")
            continue
        key = f"{port.host_ip}/{port.protocol}" if port.host_port else port.protocol
        run = runs.get(key)
        if run is not None and port.target == run[1] + 1:
            run[1] = port.target
            continue
        if run is not None:
            done.append(_range(key, *run))
        runs[key] = [port.target, port.target]
    done += [_range(key, *run) for key, run in runs.items()]
    return ", ".join(done + moved)


def command(args: tuple[str, ...], *, truncate: bool = True) -> str:
    """Return the COMMAND column: arguments with spaces in single quotes, all of it in double quotes."""
    text = " ".join(f"'{arg}'" if index and " " in arg else arg for index, arg in enumerate(args))
    return quoted(shorten(text, COMMAND_WIDTH) if truncate else text)


def shorten(text: str, width: int) -> str:
    """Return `text` cut to `width` characters, the last one an ellipsis where something was cut."""
    return text if len(text) <= width else f"{text[: width - 1]}…"


_ESCAPES = {
    '"': '\\"',
    "\\": "\\\\",
    "\n": "\\n",
    "\t": "\\t",
    "\r": "\\r",
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
}


def quoted(text: str) -> str:
    """Return `text` in double quotes with Go's escapes (strconv.Quote)."""
    out = []
    for char in text:
        if char in _ESCAPES:
            out.append(_ESCAPES[char])
        elif char.isprintable() or char == " ":
            out.append(char)
        elif ord(char) < 0x100:
            out.append(f"\\x{ord(char):02x}")
        else:
            out.append(f"\\u{ord(char):04x}")
    return f'"{"".join(out)}"'


def image_name(image: str, image_id: str) -> str:
    """Return the IMAGE column: the reference as written, or the short id when there is none."""
    return image or image_id.removeprefix("sha256:")[:12]


def exit_sentence(name: str, code: int, *, known: bool = True, restarting: bool = False) -> str:
    """Return the status line of an attached `up` for a container that ended."""
    number = str(code) if known else "unknown"
    return f"{name} exited with code {number}{' (restarting)' if restarting else ''}"

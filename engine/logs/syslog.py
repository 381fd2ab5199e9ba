"""Lines for a syslog server: RFC 3164 and RFC 5424 as Docker's syslog driver writes them, byte for byte.

    (default)      <30>Nov 29 17:55:52 3483e05fa8f0[24]: text
    rfc3164        <30>Nov 29 17:55:52 host 3483e05fa8f0[24]: text
    rfc5424        <30>1 2026-11-29T17:55:57Z host 3483e05fa8f0 24 3483e05fa8f0 - text
    rfc5424micro   the same with 2026-11-29T17:55:57.853043Z

Each ends in a newline, over datagrams too. The number is the facility times 8, plus 6 (informational) for stdout or 3
(error) for stderr; then come the tag and the pid of the process that sends.
"""

from __future__ import annotations

import errno
import functools
import os
import socket
import stat
import time
from typing import TYPE_CHECKING

from pycompose.engine.errors import EngineError
from pycompose.engine.logs.sender import LogServer

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycompose.engine.config import ContainerConfig, LogConfig

LOCAL_SOCKETS = ("/dev/log", "/var/run/syslog", "/var/run/log")
PORT = 514
FORMATS = ("", "rfc3164", "rfc5424", "rfc5424micro")
DAEMON = 3
FACILITIES = (
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
)  # fmt: skip
_LOCAL0 = 16
_SEVERITIES = {"stdout": 6, "stderr": 3}
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_KINDS = {"udp": socket.SOCK_DGRAM, "tcp": socket.SOCK_STREAM}


def parse_facility(text: str) -> int:
    """Return the number of a facility, given by name or number; "" is `daemon`. Raises EngineError."""
    names = {name: number for number, name in enumerate(FACILITIES)}
    names |= {f"local{number}": _LOCAL0 + number for number in range(8)}
    if not text:
        return DAEMON
    if text in names:
        return names[text]
    if text.isascii() and text.isdigit() and int(text) <= _LOCAL0 + 7:
        return int(text)
    raise EngineError(
        f"syslog-facility: {text!r} is not a facility", hint=f"one of {', '.join(names)}, or 0 to 23"
    )


def parse_format(text: str) -> str:
    """Return `text` if it is one of FORMATS; raises EngineError."""
    if text not in FORMATS:
        raise EngineError(f"syslog-format: {text!r} is not a format", hint=f"one of {', '.join(FORMATS[1:])}")
    return text


def resolve_address(text: str) -> str:
    """Return `syslog-address` with an IP address in place of a name, the form that `server` reads.

    `udp://` and `tcp://` with a port or 514, `unix://` (stream) and `unixgram://` with a path. Asks the machine's
    resolver, which may take seconds. Raises EngineError.
    """
    scheme, separator, rest = text.partition("://")
    if scheme in ("unix", "unixgram") and separator:
        if not os.path.exists(rest):
            raise EngineError(f"syslog-address: {text}: {rest}: {os.strerror(errno.ENOENT)}")
        return text
    if scheme == "tcp+tls":
        raise EngineError(
            f"syslog-address: {text}: TLS is not supported here",
            hint="send to a relay on this machine, as rsyslog's or syslog-ng's, that speaks TLS",
        )
    if scheme not in _KINDS or not separator:
        raise EngineError(
            f"syslog-address: unsupported scheme in {text!r}",
            hint="write udp://HOST:PORT, tcp://HOST:PORT, unix:///PATH or unixgram:///PATH",
        )
    host, port = _host_and_port(text, rest.partition("/")[0])
    try:
        found = socket.getaddrinfo(host, port, type=_KINDS[scheme])
    except OSError as exc:
        raise EngineError(f"syslog-address: {text}: {exc.strerror}") from exc
    address = str(found[0][4][0])
    return f"{scheme}://[{address}]:{port}" if ":" in address else f"{scheme}://{address}:{port}"


def server(config: LogConfig) -> LogServer:
    """Return the server of an address that `resolve_address` has returned, or the local one for ""."""
    if not config.address:
        return _local()
    scheme, _, rest = config.address.partition("://")
    if scheme in ("unix", "unixgram"):
        kind = socket.SOCK_STREAM if scheme == "unix" else socket.SOCK_DGRAM
        return LogServer(family=socket.AF_UNIX, kind=kind, address=rest)
    host, port = _host_and_port(config.address, rest)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return LogServer(family=family, kind=_KINDS[scheme], address=(host, port))


def encoder(config: ContainerConfig) -> Callable[[str, bytes, bool], bytes]:
    """Return what makes the message of a line of this container."""
    tag = (config.log.tag or config.id[:12]).encode()
    host, pid = os.uname().nodename.encode(), os.getpid()
    by_format = {
        "": b"%%s %s[%d]: " % (tag, pid),
        "rfc3164": b"%%s %s %s[%d]: " % (host, tag, pid),
        "rfc5424": b"1 %%s %s %s %d %s - " % (host, tag, pid, tag),
    }
    head = by_format[config.log.format.removesuffix("micro")]
    stamp = {"rfc5424": _rfc3339, "rfc5424micro": _rfc3339_micro}.get(config.log.format, _stamp)
    return functools.partial(_message, config.log.facility * 8, head, stamp)


def _message(
    facility: int,
    head: bytes,
    stamp: Callable[[float], bytes],
    stream: str,
    line: bytes,
    _partial: bool,  # noqa: FBT001 - as above
) -> bytes:
    return b"<%d>%s%s\n" % (facility + _SEVERITIES[stream], head % stamp(time.time()), line)


def _stamp(now: float) -> bytes:
    """Return RFC 3164's local time, "Nov  9 17:55:52", whatever the locale."""
    at = time.localtime(now)
    return b"%s %2d %02d:%02d:%02d" % (
        _MONTHS[at.tm_mon - 1].encode(), at.tm_mday, at.tm_hour, at.tm_min, at.tm_sec,
    )  # fmt: skip


def _rfc3339(now: float) -> bytes:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(now)).encode() + _zone(now)


def _rfc3339_micro(now: float) -> bytes:
    seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(now)).encode()
    return b"%s.%06d%s" % (seconds, int(now % 1 * 1_000_000), _zone(now))


def _zone(now: float) -> bytes:
    """Return "Z" or "+02:00"."""
    offset = time.localtime(now).tm_gmtoff // 60
    if not offset:
        return b"Z"
    return b"%s%02d:%02d" % (b"+" if offset > 0 else b"-", *divmod(abs(offset), 60))


def _local() -> LogServer:
    """Return the machine's own syslog: the first socket there is, of datagrams as a rule (syslog(3))."""
    for path in LOCAL_SOCKETS:
        try:
            if not stat.S_ISSOCK(os.stat(path).st_mode):
                continue
        except OSError:
            continue
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
            with socket.socket(socket.AF_UNIX, kind | socket.SOCK_CLOEXEC) as probe:
                if probe.connect_ex(path) == 0:
                    return LogServer(family=socket.AF_UNIX, kind=kind, address=path)
    return LogServer(family=socket.AF_UNIX, kind=socket.SOCK_DGRAM, address=LOCAL_SOCKETS[0])


def _host_and_port(whole: str, text: str) -> tuple[str, int]:
    """Return the host of "host", "host:514", "[::1]" or "[::1]:514", and the port; raises EngineError."""
    host, colon, port = text.rpartition(":") if not text.endswith("]") else (text, "", "")
    if not colon:
        host, port = text, str(PORT)
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 1 << 16:
        raise EngineError(f"syslog-address: {whole}: not HOST or HOST:PORT")
    return host, int(port)

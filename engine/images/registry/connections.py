"""Connections of a command in an ordinary user's private host: made outside, on the machine.

There the machine's own registry, proxy and resolver are, and bytes go at the machine's speed, way out or none.
"""

from __future__ import annotations

import socket

import urllib3
from pycompose.engine.linux import outside
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import NameResolutionError, NewConnectionError


class _OutsideConnection(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        """Have the socket made; urllib3's errors say why it can't be."""
        try:
            sock = outside.connect(self._dns_host, self.port)
        except socket.gaierror as exc:
            raise NameResolutionError(self.host, self, exc) from exc
        except OSError as exc:
            raise NewConnectionError(self, f"cannot connect: {exc.strerror}") from exc
        for option in self.socket_options or ():
            sock.setsockopt(*option)
        if isinstance(self.timeout, int | float):
            sock.settimeout(self.timeout)
        return sock


class _OutsideTLSConnection(_OutsideConnection, HTTPSConnection):
    """The same, for TLS."""


class _OutsidePool(HTTPConnectionPool):
    ConnectionCls = _OutsideConnection


class _OutsideTLSPool(HTTPSConnectionPool):
    ConnectionCls = _OutsideTLSConnection


def settle(manager: urllib3.PoolManager) -> urllib3.PoolManager:
    """Return the manager, whose connections are made outside where there is an outside."""
    if outside.is_elsewhere():
        manager.pool_classes_by_scheme = {"http": _OutsidePool, "https": _OutsideTLSPool}
    return manager

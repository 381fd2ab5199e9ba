"""Ask a web server, over the network of the calling thread; never through a proxy."""

from __future__ import annotations

import urllib.error
import urllib.request

_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def fetch(url: str, *, accept: str = "text/plain", data: bytes | None = None, timeout_s: float = 5.0) -> str:
    """Return the body of the answer; raises OSError when there is none, or a failure status."""
    request = urllib.request.Request(url, data=data, headers={"Accept": accept})  # noqa: S310
    try:
        with _opener.open(request, timeout=timeout_s) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as exc:
        exc.close()  # it is the answer, with its socket
        raise

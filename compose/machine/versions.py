"""Which Docker Engine ours does the work of: what `docker version` and GET /version say of the server."""

from __future__ import annotations

import platform
from typing import Any

from pycompose.version import API_VERSION, ENGINE_VERSION, VERSION

# Of the clients that are answered; what they ask for by newer and older numbers is answered as by API_VERSION.
MIN_API_VERSION = "1.24"
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


def architecture() -> str:
    """Return this machine's, in Go's words."""
    return _MACHINES.get(platform.machine(), platform.machine())


def common() -> dict[str, Any]:
    """Return what client and server, which are one program here, say of themselves."""
    return {
        "Platform": {"Name": f"pycompose {VERSION}"},
        "Version": ENGINE_VERSION,
        "ApiVersion": API_VERSION,
        "GitCommit": "",
        "GoVersion": "",
        "Os": "linux",
        "Arch": architecture(),
        "BuildTime": "",
    }


def server_version() -> dict[str, Any]:
    """Return what the server says."""
    kernel = platform.release()
    details = {
        "ApiVersion": API_VERSION,
        "Arch": architecture(),
        "BuildTime": "",
        "Experimental": "false",
        "GitCommit": "",
        "GoVersion": "",
        "KernelVersion": kernel,
        "MinAPIVersion": MIN_API_VERSION,
        "Os": "linux",
    }
    return {
        **common(),
        "MinAPIVersion": MIN_API_VERSION,
        "KernelVersion": kernel,
        "Components": [{"Name": "Engine", "Version": ENGINE_VERSION, "Details": details}],
    }

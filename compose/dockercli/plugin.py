"""Being docker's plugin for `docker compose …`: how its command line finds us, calls us, and ends us.

A program in a folder `cli-plugins` is asked for its metadata, then run with docker's own flags, the word `compose` and
the rest (docker/cli, cli-plugins/metadata and cli-plugins/plugin). The same program under the name docker-compose gets
no such word.
"""

from __future__ import annotations

import json
import os

from pycompose.version import COMPOSE_VERSION

PROGRAM_WORD = "docker-plugin"  # `pycompose docker-plugin …` is what the plugin's script runs
METADATA = "docker-cli-plugin-metadata"
COMPLETE = "__complete"
# Set by docker's command line: what was typed, and an abstract socket that it closes when the plugin has to end.
_ORIGINAL = "DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND"
_SOCKET = "DOCKER_CLI_PLUGIN_SOCKET"


def arguments_for(arguments: list[str]) -> list[str] | None:
    """Return our command line for a call of the plugin; None when all that was asked has been printed."""
    if arguments[:1] == [METADATA]:
        print(json.dumps(_metadata()))
        return None
    if arguments[:1] == [COMPLETE]:
        return ["docker", *arguments]
    if _SOCKET in os.environ:
        end_with_docker(os.environ[_SOCKET])
    if _ORIGINAL in os.environ or arguments[:1] == ["compose"]:
        return ["docker", *arguments]
    return arguments


def _metadata() -> dict[str, str]:
    return {
        "SchemaVersion": "0.1.0",
        "Vendor": "pycompose",
        "Version": f"v{COMPOSE_VERSION}",
        "ShortDescription": "Docker Compose's commands without Docker",
    }


def end_with_docker(name: str) -> None:
    """Have the kernel interrupt this process when docker's end of the socket `name` (abstract: @…) is closed.

    Without a terminal docker's command line takes SIGINT and SIGTERM for itself and only closes it. F_SETSIG of
    fcntl(2) needs no thread, and works while a forkserver has the command.
    """
    import fcntl  # noqa: PLC0415 - only where docker has called us
    import signal  # noqa: PLC0415 - as above
    import socket  # noqa: PLC0415 - as above

    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.connect(f"\0{name[1:]}" if name.startswith("@") else name)
        fcntl.fcntl(sock, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(sock, 10, signal.SIGINT)  # F_SETSIG, which the module lacks before Python 3.13
        fcntl.fcntl(sock, fcntl.F_SETFL, fcntl.fcntl(sock, fcntl.F_GETFL) | fcntl.FASYNC)
    except OSError:
        sock.close()  # docker has gone already, or is one that has no such socket
        return
    sock.detach()  # open as long as this process

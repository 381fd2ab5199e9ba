"""What a server of the page doesn't load: it is there all day, and has 40 MiB for 100 services."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
from pycompose.cli.main import main
from pycompose.api.lean import load_asyncio
load_asyncio()
import pycompose.cli.commands.page, pycompose.page.server
print(*sys.modules)
"""
# OpenSSL is 6 MiB, and what brings it a few more.
HEAVY = {
    "_hashlib",
    "_ssl",
    "email.message",
    "http.client",
    "urllib.request",
    "xml.sax",
    "tempfile",
    "yaml",
    "rich",
}


def test_its_server_is_lean() -> None:
    command = [sys.executable, "-I", "-c", PROGRAM]
    loaded = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()

    assert HEAVY.intersection(loaded) == set()

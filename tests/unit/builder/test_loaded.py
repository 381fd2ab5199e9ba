"""What a build loads that finds everything done: nothing that makes layers or runs steps."""

from __future__ import annotations

import subprocess
import sys


def test_building_loads_neither_networks_nor_keepers() -> None:
    """They come with the first step that isn't in the cache: 40 ms that most builds don't need."""
    script = "import pycompose.client.build, sys; print('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.splitlines())

    assert "pycompose.engine.builder.solve" in loaded
    makers = {"stepwork", "running", "commit", "mounts"}
    assert loaded & {f"pycompose.engine.builder.{name}" for name in makers} == set()
    assert loaded & {"pycompose.networking.api", "pycompose.engine.client"} == set()

"""The build cache is looked through now and then, not after each build."""

from __future__ import annotations

import os
from pathlib import Path

from pycompose.engine.builder.cache import BuildCache
from pycompose.engine.builder.pruning import TRIM_EVERY_S, trim
from pycompose.engine.builder.snapshot import Layer
from pycompose.engine.images.layout import ImageLayout
from pycompose.engine.paths import StatePaths


def test_trimming_waits_its_time(tmp_path: Path) -> None:
    """A record without a layer goes when it is looked for: ten minutes later, or when the clock was set back."""
    paths = StatePaths(root=tmp_path / "state", run=tmp_path / "run")
    layout = ImageLayout(paths.images)
    layout.prepare()
    cache = BuildCache(paths.builder, layout)
    cache.prepare()
    lost = Layer(diff_id="sha256:1", chain_id="sha256:2")

    def left() -> list[str]:
        cache.put("key", lost, title="RUN true", made_in_s=1.0)
        trim(cache, layout, paths)
        return os.listdir(paths.builder / "records")

    stamp = paths.builder / "trimmed"
    assert left() == []
    assert left() == ["key.json"]
    last_s = stamp.stat().st_mtime
    os.utime(stamp, (last_s - TRIM_EVERY_S - 1, last_s - TRIM_EVERY_S - 1))
    assert left() == []
    assert left() == ["key.json"]
    os.utime(stamp, (last_s + 10 * TRIM_EVERY_S, last_s + 10 * TRIM_EVERY_S))
    assert left() == []

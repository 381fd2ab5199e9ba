"""Waiting for a silence, but not for ever."""

from __future__ import annotations

import pytest
from pycompose.watch.silence import PATIENCE_S, QUIET_S, Silence


def test_silence() -> None:
    """Each change prolongs it, up to a limit; afterwards it begins anew."""
    silence = Silence()
    silence.broken(10.0, first=True)
    assert silence.left_s(10.0) == pytest.approx(QUIET_S)
    silence.broken(10.02, first=False)
    assert 0 < silence.left_s(10.0 + QUIET_S) < QUIET_S
    for count in range(100):
        silence.broken(10.0 + count * QUIET_S / 2, first=False)
    assert silence.left_s(10.0 + PATIENCE_S) == pytest.approx(0)
    silence.broken(20.0, first=True)
    assert silence.left_s(20.0) == pytest.approx(QUIET_S)

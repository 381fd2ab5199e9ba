"""What `watch` prints where nothing can be printed."""

from __future__ import annotations

import sys

import pytest
from pycompose.cli.commands.watch import ReportPrinter
from pycompose.watch.reports import WatchReport


def test_nowhere_to_print(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """It is said once where it can be said, and whoever tells something goes on."""
    printer = ReportPrinter(as_json=False, quiet=False, colour=False)
    with open("/dev/full", "w", encoding="utf-8") as full:
        monkeypatch.setattr(sys, "stdout", full)
        for _ in range(3):
            printer.report(WatchReport(kind="sync", text="files"))
        printer.report(WatchReport(kind="error", text="wrong", error=True))
        assert capsys.readouterr().err == "watch goes on, but cannot print: No space left on device\nwrong\n"

"""What is said of a batch."""

from __future__ import annotations

from pycompose.watch.reports import MOST_FILES, synced


def test_a_large_batch_is_one_line() -> None:
    """However many files it has; as data, it names the first of them."""
    report = synced("web", [f"/p/src/f{number}" for number in range(5000)], 0.25)
    assert report.text == 'Syncing service "web" after 5000 changes were detected (250 ms)'
    assert report.facts["changes"] == 5000
    assert len(report.facts["files"]) == MOST_FILES

"""The pictures of README.md, of examples/hello on a private machine: `python -m tests.support.pictures`, as root."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.support.browser import ServedPage, browser_of, open_page
from tests.support.scenario import Hosts

ROOT = Path(__file__).parents[2]
GRAPH = ROOT / "docs/graph.svg"
PAGE = ROOT / "docs/page.png"
# So many samples make a plot.
SAMPLES = 6


def main() -> None:
    """Bring the example up, draw it, and take it down."""
    with tempfile.TemporaryDirectory(prefix="pycompose-pictures-") as folder:
        host = Hosts(folder=Path(folder))()
        try:
            hello = host.project(ROOT / "examples/hello", "hello")
            host.run("up", "-d", "--wait", cwd=hello).ok()
            drawn = host.run("graph", "--format", "svg", "--live", cwd=hello).ok().stdout
            GRAPH.write_text(drawn, encoding="utf-8")
            served = ServedPage(host)
            with browser_of(host) as browser:
                page = open_page(browser, served.address)
                page.set_viewport_size({"width": 1000, "height": 560})
                line = page.locator(".card", has_text="worker").locator(".plot-line").first
                while len((line.get_attribute("points") or "").split()) < SAMPLES:
                    page.wait_for_timeout(200)
                page.screenshot(path=PAGE)
            served.end()
            host.run("down", "-v", cwd=hello).ok()
        finally:
            host.close()


if __name__ == "__main__":
    main()

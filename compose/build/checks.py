"""`--check`: what is found in the Dockerfiles of a command, as buildx shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycompose.engine.builder.bases import base_of
from pycompose.engine.builder.check import Checked, check
from pycompose.engine.builder.rules import shown
from pycompose.engine.dataclass import dataclass
from pycompose.engine.images.store import ImageStore

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pycompose.engine.builder.request import BuildRequest
    from pycompose.engine.errors import DockerfileError
    from pycompose.engine.paths import StatePaths


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport:
    """What to print; `found` tells whether there is advice, `error` why a file can't be built."""

    text: str
    found: bool
    error: DockerfileError | None
    checked: tuple[Checked, ...] = ()


def check_requests(paths: StatePaths, requests: Mapping[str, BuildRequest]) -> CheckReport:
    """Look through the Dockerfiles of `requests` (service → what it would build); equal ones are one.

    Raises DockerfileError for a file of which nothing can be said.
    """
    store = ImageStore(paths)
    checks: dict[tuple[object, ...], Checked] = {}
    names: dict[tuple[object, ...], list[str]] = {}
    for name, request in requests.items():
        key: tuple[object, ...] = (
            request.dockerfile_name,
            request.dockerfile,
            request.target,
            tuple(request.arguments.items()),
        )
        if key not in checks:
            checks[key] = check(
                request, lambda image, platform: base_of(store, image, platform=platform).image
            )
        names.setdefault(key, []).append(name)
    lines: list[str] = []
    for key, checked in checks.items():
        if len(checks) > 1:
            lines.append(f"{', '.join(names[key])}: {checked.name}")
        lines += _lines(checked)
    return CheckReport(
        text="\n".join(lines),
        found=any(checked.findings for checked in checks.values()),
        error=next((checked.error for checked in checks.values() if checked.error is not None), None),
        checked=tuple(checks.values()),
    )


def _lines(checked: Checked) -> list[str]:
    count = len(checked.findings)
    if count == 0:
        return [] if checked.error else ["Check complete, no warnings found."]
    several = "1 warning has" if count == 1 else f"{count} warnings have"
    lines = [f"Check complete, {several} been found!"]
    for found in checked.findings:
        lines += ["", *shown(found, checked.name, checked.lines).split("\n")]
    return lines

"""What the watcher tells: lines for people, in Compose's words, and the same as data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pycompose.client.telling import Telling
from pycompose.engine.dataclass import dataclass, field
from pycompose.engine.errors import PycomposeError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycompose.engine.paths import StatePaths
    from pycompose.policy.observed import ObservedContainer

MOST_FILES = 100
READ_ONLY = "read-only in the container"


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchReport:
    """One thing to tell. `kind` is the event's name in `--json`, `facts` what else is there; `error`: it went wrong."""

    kind: str
    text: str
    facts: dict[str, Any] = field(default_factory=dict)
    error: bool = False
    hint: str = ""


def quoted(names: tuple[str, ...] | list[str]) -> str:
    """Return names as Go prints a list of quoted texts, which is what Compose does."""
    return "[" + " ".join(f'"{name}"' for name in names) + "]"


def synced(service: str, paths: list[str], took_s: float) -> WatchReport:
    """Files of a service have been brought to its containers."""
    return WatchReport(
        kind="sync",
        text=f'Syncing service "{service}" after {len(paths)} changes were detected ({took_s * 1000:.0f} ms)',
        facts={
            "service": service,
            "changes": len(paths),
            "took_ms": round(took_s * 1000, 1),
            "files": paths[:MOST_FILES],
        },
    )


def unwritten(container: ObservedContainer, places: list[str], reason: str) -> WatchReport:
    """Files could not be written into a container; no place is the container as a whole."""
    more = f" and {len(places) - 1} more" if places[1:] else ""
    hint = ""
    if reason == READ_ONLY:
        root = container.config.security.read_only_rootfs
        hint = f"{'take `read_only` away, or ' if root else 'its mount is read-only: '}sync to a volume or a tmpfs"
    where = f"cannot write {places[0]}{more}: " if places[0] else ""
    facts = {"service": container.service, "container": container.name, "files": places, "error": reason}
    return WatchReport(
        kind="sync-failed",
        text=f"container {container.name}: {where}{reason}",
        facts=facts,
        error=True,
        hint=hint,
    )


def homeless(service: str) -> WatchReport:
    """Files of a service have changed, and it has no container."""
    return WatchReport(
        kind="no-container",
        text=f'Service "{service}" has no container: the next one has the changes before it starts',
        facts={"service": service},
    )


def failed(kind: str, service: str, error: PycomposeError) -> WatchReport:
    """Something for a service went wrong."""
    return WatchReport(
        kind=kind,
        text=error.message,
        facts={"service": service, "error": error.message},
        error=True,
        hint=error.hint or "",
    )


def told_to_pages(
    paths: StatePaths, project: str, tell: Callable[[WatchReport], None]
) -> Callable[[WatchReport], None]:
    """Return what tells a report to `tell`, and to pages that are open: each as a piece of work, with its files."""

    def both(report: WatchReport) -> None:
        tell(report)
        files = report.facts.get("files", ())
        what = report.text or report.kind
        if report.error:  # which is told at the end, and once
            what = f"{report.kind.replace('-', ' ')} ({report.facts.get('service', project)})"
        telling = Telling(paths, project, f"watch: {what}")
        status = "Error" if report.error else "Done"
        telling.steps([(str(file), status, "") for file in files] or [("", status, "")])
        telling.end(report.text if report.error else "")

    return both

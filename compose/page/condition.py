"""How a service is, in a few words and a tone: what the page and the picture say of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from pycompose.engine.dataclass import dataclass

if TYPE_CHECKING:
    from pycompose.client.views import ContainerView

# From what nobody has to look at to what somebody should. The words say the same: no colour is the only sign.
OFF, GOOD, WAITING, BAD = "off", "good", "waiting", "bad"
_TONES = (OFF, GOOD, WAITING, BAD)
# Of nothing, SIGKILL and SIGTERM.
_HARMLESS = (0, 137, 143)


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """A tone, and what is said of it: "healthy", "exited (1)", "2 running, 1 restarting"."""

    tone: str
    words: str


NOT_CREATED = Look(tone=OFF, words="not created")


def container_condition(view: ContainerView) -> Look:
    """Return how one container is. An end with 0, or by a signal as `stop` sends it, is no trouble; any other is."""
    if view.state == "running":
        tones = {"healthy": GOOD, "": GOOD, "none": GOOD, "unhealthy": BAD}
        said = view.health not in ("", "none")
        return Look(tone=tones.get(view.health, WAITING), words=view.health if said else "running")
    if view.state == "exited":
        if not view.exit_code_known:
            return Look(tone=BAD, words="exited (unknown)")
        words = f"exited ({view.exit_code})" + (", out of memory" if view.oom_killed else "")
        harmless = view.exit_code in _HARMLESS and not view.oom_killed
        return Look(tone=OFF if harmless else BAD, words=words)
    if view.state == "restarting" and view.exit_code_known and view.exit_code:
        return Look(tone=BAD, words=f"restarting ({view.exit_code})")
    tones = {"created": OFF, "paused": WAITING, "restarting": BAD}
    return Look(tone=tones.get(view.state, WAITING), words=view.state)


def service_condition(views: Iterable[ContainerView]) -> Look:
    """Return how a service with these replicas is: their worst tone, and how many are what if they differ."""
    found = [container_condition(view) for view in views]
    if not found:
        return NOT_CREATED
    counts: dict[str, int] = {}
    for one in found:
        counts[one.words] = counts.get(one.words, 0) + 1
    tone = max((one.tone for one in found), key=_TONES.index)
    if len(found) == 1:
        return found[0]
    return Look(tone=tone, words=", ".join(f"{count} {words}" for words, count in counts.items()))

"""`watch --explain PATH`: which rule takes a path, which drops it, and why."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pycompose.watch.manifest import entry_of

if TYPE_CHECKING:
    from pycompose.model import Project
    from pycompose.watch.rules import FileRule, Rules


def explain(project: Project, rules: Rules, path: str) -> list[str]:
    """Return a line for each rule that `path` (absolute) lies below, or that there is none."""
    lines = []
    takers: dict[str, list[FileRule]] = {}
    # Links on the way to it are followed, as on that to a rule's path.
    path = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
    for rule in rules.rules:
        relative = rule.relative(path)
        if relative is None:
            continue
        taken, reason = rule.matcher.verdict(relative)
        if taken and rule.syncs and _special(path):
            taken, reason = False, "sockets, FIFOs and devices stay on this side"
        if taken and rule.unmatched and takers.get(rule.service):
            taken, reason = False, "a sync rule has it, and x-on-unmatched leaves that alone"
        if taken:
            takers.setdefault(rule.service, []).append(rule)
        lines.append(f"{rule.name} ({rule.action}): {_effect(rule, path) if taken else 'no'}: {reason}")
    lines += [
        f"services.{service}: part of its build, and no rule takes it: a build would be needed "
        "(`x-on-unmatched: rebuild` on a rebuild rule does that)"
        for service in rules.services
        if not takers.get(service) and _in_context(project, service, path)
    ]
    return lines or ["no rule is about this path"]


def _special(path: str) -> bool:
    try:
        return not entry_of(os.lstat(path)).copied
    except OSError:
        return False


def _effect(rule: FileRule, path: str) -> str:
    if not rule.syncs:
        return rule.action
    back = (
        ", and back" if rule.sync_back is not None and rule.sync_back.fits(rule.relative(path) or "") else ""
    )
    return f"to {rule.place(path)}{back}"


def _in_context(project: Project, service: str, path: str) -> bool:
    build = project.services[service].build
    context = str((build.tree.get("context") if build else "") or "")
    context = os.path.realpath(context) if os.path.isabs(context) else ""
    return context != "" and path.startswith(f"{context.rstrip('/')}/")

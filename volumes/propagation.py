"""What a bind's propagation asks of the mount that its source is on (mount_namespaces(7), Docker's rule)."""

from __future__ import annotations

import os

# What the mount has to be: a peer of others, or one that gets what they mount.
_NEEDS = {
    "shared": ("shared",),
    "rshared": ("shared",),
    "slave": ("shared", "master"),
    "rslave": ("shared", "master"),
}


def refusal(source: str, propagation: str) -> str:
    """Return why `source` can't be mounted with `propagation`, "" when it can. Raises OSError."""
    needs = _NEEDS.get(propagation, ())
    if not needs:
        return ""
    place, groups = _mount_of(os.path.realpath(source))
    if groups.intersection(needs):
        return ""
    return f"path {source} is mounted on {place} but it is not a {' or '.join(needs).replace('master', 'slave')} mount"


def _mount_of(path: str) -> tuple[str, set[str]]:
    """Return where the mount of `path` is, and which kinds of groups it is in: "shared", "master"."""
    mounts: dict[str, set[str]] = {}
    with open("/proc/self/mountinfo", "rb") as lines:
        for line in lines:
            fields = line.split(b" - ", 1)[0].split()
            place = os.fsdecode(fields[4].decode("unicode_escape").encode("latin-1"))
            mounts[place] = {os.fsdecode(field).partition(":")[0] for field in fields[6:]}
    while path not in mounts and path != "/":
        path = os.path.dirname(path)
    return path, mounts.get(path, set())

"""Opening somebody else's firewall for a project's bridges, where the user has asked for that.

Only where it is plain what to do: iptables whose policy drops and that no other program looks after, or Docker's, which
has a chain for others (DOCKER-USER). iptables' tables are changed by iptables itself: it refuses to list a table that
has a rule of nft's. What is put in is written down first, and taken out with the project.
"""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from pycompose.engine.errors import NetworkError
from pycompose.engine.statefiles import read_json, write_json
from pycompose.networking.firewall.other_firewalls import DOCKER_BRIDGES, DOCKER_CHAIN

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from pycompose.networking.firewall.other_firewalls import DroppingChain

# Chains of programs that write the whole table again at their next reload.
OWNERS = {"ufw-": "ufw", "FORWARD_direct": "firewalld", "fw4": "OpenWrt's firewall"}


def open_for(
    chains: Iterable[DroppingChain], project: str, bridges: Sequence[str], record: Path
) -> tuple[str, ...]:
    """Let what comes from and goes to `bridges` pass; return a sentence for each chain that is left as it is.

    `record` is the file that `close` reads. Raises NetworkError when iptables refuses.
    """
    kept = []
    for chain in chains:
        program = chain.program
        if chain.table == "firewalld":
            kept.append(f"{chain}: firewalld looks after it; allow them with: {chain.remedy}")
            continue
        if not program:
            kept.append(f"{chain}: isn't iptables'; allow them with: {chain.remedy}")
            continue
        listed = _run(program, "-S").stdout
        names = [line.split()[1] for line in listed.splitlines() if line.startswith("-N ")]
        owner = next((who for name in names for start, who in OWNERS.items() if name.startswith(start)), "")
        if owner:
            kept.append(f"{chain}: {owner} looks after it; allow them there")
            continue
        mark = ["-m", "comment", "--comment", f"pycompose {project}", "-j"]
        docker = DOCKER_CHAIN in names
        place = DOCKER_CHAIN if docker else chain.chain
        for bridge in bridges:
            for ways, target in _rules(bridge, docker=docker):
                _insert([program, place, *ways, *mark, target], record)
    return tuple(kept)


def _rules(bridge: str, *, docker: bool) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield matches and target of each rule, the one that is asked first last."""
    for way in ("-i", "-o"):
        yield (way, bridge), "ACCEPT"
    for link in DOCKER_BRIDGES if docker else ():
        yield ("-i", bridge, "-o", link), "RETURN"


def close(record: Path) -> None:
    """Take out what `open_for` has put in; what is gone already is fine."""
    for program, *rule in _written(record):
        _run(program, "-D", *rule)
    record.unlink(missing_ok=True)


def _insert(rule: list[str], record: Path) -> None:
    program, *rest = rule
    if _run(program, "-C", *rest).returncode == 0:
        return
    write_json(record, {"rules": [*_written(record), rule]}, durable=False)
    result = _run(program, "-I", *rest)
    if result.returncode != 0:
        raise NetworkError(f"{program}: cannot open the firewall: {result.stderr.strip()}")


def _written(record: Path) -> list[list[str]]:
    try:
        return [list(map(str, rule)) for rule in read_json(record)["rules"]]
    except FileNotFoundError:
        return []


def _run(program: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run iptables, which waits for its lock."""
    try:
        return subprocess.run([program, "-w", "5", *words], capture_output=True, text=True, check=False)
    except OSError as exc:
        raise NetworkError(f"{program}: cannot run: {exc.strerror}") from exc

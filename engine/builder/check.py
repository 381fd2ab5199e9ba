"""`--check`: a Dockerfile is looked through, nothing is built and nothing fetched."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pycompose.engine.builder.dockerfile import Dockerfile, Instruction, parse
from pycompose.engine.builder.evaluate import evaluate
from pycompose.engine.builder.ignore import context_ignore
from pycompose.engine.builder.instructions import CheckedDockerfile, checked
from pycompose.engine.builder.lint import CheckContext, stage_findings, text_findings
from pycompose.engine.builder.platforms import platform_arguments
from pycompose.engine.builder.rules import Finding, check_settings, location_of, violation
from pycompose.engine.builder.steps import BaseImage, Evaluated, Inputs
from pycompose.engine.dataclass import dataclass
from pycompose.engine.errors import DockerfileError, ImageError
from pycompose.engine.images.spec import Platform, machine

if TYPE_CHECKING:
    from pycompose.engine.builder.request import BuildRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What came of a check: findings in the order of the file, and why it can't be built at all."""

    name: str
    lines: tuple[str, ...]
    findings: tuple[Finding, ...]
    error: DockerfileError | None = None

    def to_json(self) -> dict[str, Any]:
        """Return BuildKit's lint.LintResults."""
        text = "".join(f"{line}\n" for line in self.lines).encode("utf-8", "surrogateescape")
        source = {
            "filename": self.name,
            "language": "Dockerfile",
            "data": base64.b64encode(text).decode("ascii"),
        }
        found: dict[str, Any] = {"warnings": [item.to_json() for item in self.findings], "sources": [source]}
        if self.error is not None:
            line = self.error.line
            found["buildError"] = {"message": self.error.reason, **location_of(line, line)}
        return found


def inputs_of(request: BuildRequest) -> Inputs:
    """Return what a request gives to the evaluation of its Dockerfile."""
    target = Platform.parse(request.platform) if request.platform else machine()
    return Inputs(
        arguments=request.arguments,
        platform=platform_arguments(target, machine(), request.target),
        contexts=frozenset(name.lower() for name in request.contexts),
        allow_insecure=request.allow_insecure,
        allow_host_network=request.allow_host_network or request.network == "host",
    )


def check(request: BuildRequest, local: Callable[[str, str], BaseImage]) -> Checked:
    """Look through the Dockerfile of `request`, all of it unless it has a target.

    `local(name, platform)` returns an image of the store, or raises ImageError. Raises DockerfileError for a file of
    which nothing can be said.
    """
    file = parse(request.dockerfile, request.dockerfile_name)
    settings = check_settings(file.directives, request.arguments, file.name, file.lines)
    findings = list(text_findings(file))
    error = None
    try:
        findings += _of_stages(request, file, local)
    except DockerfileError as exc:
        error = exc
    wanted = settings.wanted(findings)
    if error is None and settings.error and wanted:
        error = violation(wanted, file.name, file.lines)
    return Checked(name=file.name, lines=file.lines, findings=wanted, error=error)


def _of_stages(
    request: BuildRequest, file: Dockerfile, local: Callable[[str, str], BaseImage]
) -> list[Finding]:
    plan = checked(file)
    bases: dict[str, BaseImage] = {}

    def resolve(name: str, platform: str, _instruction: Instruction) -> BaseImage:
        with contextlib.suppress(ImageError):
            bases[name] = local(name, platform or request.platform)
        return bases.get(name, BaseImage())

    done = evaluate(plan, request.target, inputs_of(request), resolve, everything=not request.target)
    return list(stage_findings(plan, done, surroundings(request, bases)))


def surroundings(request: BuildRequest, bases: dict[str, BaseImage]) -> CheckContext:
    """Return what `lint` wants to know about a request."""
    return CheckContext(
        bases=bases,
        platform=request.platform or str(machine()),
        predefined=inputs_of(request).platform,
        ignore=context_ignore(request.ignore_text),
    )


def advice(
    request: BuildRequest, plan: CheckedDockerfile, done: Evaluated, bases: dict[str, BaseImage]
) -> tuple[Finding, ...]:
    """Return what an ordinary build says at its end. Raises DockerfileError with `error=true`."""
    file = plan.file
    settings = check_settings(file.directives, request.arguments, file.name, file.lines)
    found = settings.wanted([*text_findings(file), *stage_findings(plan, done, surroundings(request, bases))])
    if found and settings.error:
        raise violation(found, file.name, file.lines)
    return found

"""What advice on Dockerfiles there is: names and sentences of BuildKit's checks, and which of them a file wants.

docs.docker.com/reference/build-checks has an article on each. A file says `# check=skip=NAME,…;error=true`, a caller
the same with the build argument BUILDKIT_DOCKERFILE_CHECK, which counts in place of the file's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pycompose.engine.builder.instructions import suggestion
from pycompose.engine.dataclass import dataclass
from pycompose.engine.errors import DockerfileError

ARGUMENT = "BUILDKIT_DOCKERFILE_CHECK"
_URL = "https://docs.docker.com/go/dockerfile/rule/{}/"

# name → (what a finding says, where to read on).
RULES: dict[str, tuple[str, str]] = {
    "StageNameCasing": ("Stage name '{0}' should be lowercase", "stage-name-casing"),
    "FromAsCasing": ("'{0}' and '{1}' keywords' casing do not match", "from-as-casing"),
    "NoEmptyContinuation": ("Empty continuation line", "no-empty-continuation"),
    "ConsistentInstructionCasing": (
        "Command '{0}' should match the case of the command majority ({1})",
        "consistent-instruction-casing",
    ),
    "DuplicateStageName": (
        'Duplicate stage name "{0}", stage names should be unique',
        "duplicate-stage-name",
    ),
    "ReservedStageName": (
        'Stage name should not use the same name as reserved stage "{0}"',
        "reserved-stage-name",
    ),
    "JSONArgsRecommended": (
        "JSON arguments recommended for {0} to prevent unintended behavior related to OS signals",
        "json-args-recommended",
    ),
    "MaintainerDeprecated": (
        "Maintainer instruction is deprecated in favor of using label",
        "maintainer-deprecated",
    ),
    "UndefinedArgInFrom": ("FROM argument '{0}' is not declared{1}", "undefined-arg-in-from"),
    "WorkdirRelativePath": (
        'Relative workdir "{0}" can have unexpected results if the base image changes',
        "workdir-relative-path",
    ),
    "UndefinedVar": ("Usage of undefined variable '${0}'{1}", "undefined-var"),
    "MultipleInstructionsDisallowed": (
        "Multiple {0} instructions should not be used in the same stage because only the last one will be used",
        "multiple-instructions-disallowed",
    ),
    "LegacyKeyValueFormat": (
        '"{0} key=value" should be used instead of legacy "{0} key value" format',
        "legacy-key-value-format",
    ),
    "InvalidBaseImagePlatform": (
        'Base image {0} was pulled with platform "{1}", expected "{2}" for current build',
        "invalid-base-image-platform",
    ),
    "RedundantTargetPlatform": (
        "Setting platform to predefined {0} in FROM is redundant as this is the default behavior",
        "redundant-target-platform",
    ),
    "SecretsUsedInArgOrEnv": (
        'Do not use ARG or ENV instructions for sensitive data ({0} "{1}")',
        "secrets-used-in-arg-or-env",
    ),
    "InvalidDefaultArgInFrom": (
        "Default value for ARG {0} results in empty or invalid base image name",
        "invalid-default-arg-in-from",
    ),
    "FromPlatformFlagConstDisallowed": (
        'FROM --platform flag should not use constant value "{0}"',
        "from-platform-flag-const-disallowed",
    ),
    "CopyIgnoredFile": (
        'Attempting to {0} file "{1}" that is excluded by .dockerignore',
        "copy-ignored-file",
    ),
    "InvalidDefinitionDescription": (
        "Comment for {0} should follow the format: `# {1} <description>`",
        "invalid-definition-description",
    ),
    "ExposeProtoCasing": (
        "Defined protocol '{0}' in EXPOSE instruction should be lowercase",
        "expose-proto-casing",
    ),
    "ExposeInvalidFormat": (
        "EXPOSE instruction should not define an IP address or host-port mapping, found '{0}'",
        "expose-invalid-format",
    ),
}
# What each is about, for JSON.
DESCRIPTIONS: dict[str, str] = {
    "StageNameCasing": "Stage names should be lowercase",
    "FromAsCasing": "The 'as' keyword should match the case of the 'from' keyword",
    "NoEmptyContinuation": "Empty continuation lines will become errors in a future release",
    "ConsistentInstructionCasing": (
        "All commands within the Dockerfile should use the same casing (either upper or lower)"
    ),
    "DuplicateStageName": "Stage names should be unique",
    "ReservedStageName": "Reserved words should not be used as stage names",
    "JSONArgsRecommended": (
        "JSON arguments recommended for ENTRYPOINT/CMD to prevent unintended behavior related to OS signals"
    ),
    "MaintainerDeprecated": (
        "The MAINTAINER instruction is deprecated, use a label instead to define an image author"
    ),
    "UndefinedArgInFrom": "FROM command must use declared ARGs",
    "WorkdirRelativePath": (
        "Relative workdir without an absolute workdir declared within the build can have unexpected results"
        " if the base image changes"
    ),
    "UndefinedVar": "Variables should be defined before their use",
    "MultipleInstructionsDisallowed": (
        "Multiple instructions of the same type should not be used in the same stage"
    ),
    "LegacyKeyValueFormat": "Legacy key/value format with whitespace separator should not be used",
    "InvalidBaseImagePlatform": "Base image platform does not match expected target platform",
    "RedundantTargetPlatform": (
        "Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior"
    ),
    "SecretsUsedInArgOrEnv": "Sensitive data should not be used in the ARG or ENV commands",
    "InvalidDefaultArgInFrom": "Default value for global ARG results in an empty or invalid base image name",
    "FromPlatformFlagConstDisallowed": "FROM --platform flag should not use a constant value",
    "CopyIgnoredFile": "Attempting to Copy file that is excluded by .dockerignore",
    "InvalidDefinitionDescription": (
        "Comment for build stage or argument should follow the format: `# <arg/stage name> <description>`"
    ),
    "ExposeProtoCasing": "Protocol in EXPOSE instruction should be lowercase",
    "ExposeInvalidFormat": "IP address and host-port mapping should not be used in EXPOSE instruction",
}
# Those that nobody hears of without asking: `experimental=NAME`.
EXPERIMENTAL = frozenset({"CopyIgnoredFile", "InvalidDefinitionDescription"})
_ALL = "all"


def location_of(first_line: int, last_line: int) -> dict[str, Any]:
    """Return BuildKit's pb.Location as a field for its JSON; lines count from 1."""
    return {"location": {"ranges": [{"start": {"line": first_line}, "end": {"line": last_line}}]}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One piece of advice, and the lines (from 1 on, both included) that it is about."""

    rule: str
    detail: str
    first_line: int
    last_line: int

    @property
    def url(self) -> str:
        """Where the rule is explained."""
        return _URL.format(RULES[self.rule][1])

    def to_json(self) -> dict[str, Any]:
        """Return BuildKit's lint.Warning."""
        found = {
            "ruleName": self.rule,
            "description": DESCRIPTIONS[self.rule],
            "url": self.url,
            "detail": self.detail,
        }
        return found | location_of(self.first_line, self.last_line)

    def __str__(self) -> str:
        return f"{self.rule}: {self.detail} (line {self.first_line})"


def finding(rule: str, lines: tuple[int, int], *words: str) -> Finding:
    """Return a finding with the rule's sentence."""
    return Finding(rule=rule, detail=RULES[rule][0].format(*words), first_line=lines[0], last_line=lines[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckSettings:
    """Which rules count, and whether a finding fails the build."""

    skip: frozenset[str] = frozenset()
    experimental: frozenset[str] = frozenset()
    error: bool = False

    def wanted(self, findings: Iterable[Finding]) -> tuple[Finding, ...]:
        """Return the findings that count, in the order of the file, each once."""
        kept = dict.fromkeys(one for one in findings if self._counts(one.rule))
        return tuple(sorted(kept, key=lambda one: one.first_line))

    def _counts(self, rule: str) -> bool:
        if rule in EXPERIMENTAL:
            named = bool(self.experimental & {rule, _ALL})
            return named and rule not in self.skip
        return not self.skip & {rule, _ALL}


def check_settings(
    directives: Mapping[str, str], arguments: Mapping[str, str], name: str, lines: Sequence[str] = ()
) -> CheckSettings:
    """Return what a file and its build arguments ask for. Raises DockerfileError for what can't be meant."""
    text = arguments.get(ARGUMENT, directives.get("check", ""))
    values: dict[str, str] = {}
    for item in filter(None, (part.strip() for part in text.split(";"))):
        key, equals, value = item.partition("=")
        if key not in ("skip", "error", "experimental") or not equals:
            raise _refused(
                f"invalid check option {item!r}", key, ["skip", "error", "experimental"], name, lines
            )
        values[key] = value.strip()
    if values.get("error", "false").lower() not in ("true", "false", "1", "0"):
        raise _refused(
            f"invalid check option error={values['error']!r}: it is true or false", "", [], name, lines
        )
    named = {}
    for key in ("skip", "experimental"):
        named[key] = frozenset(filter(None, (word.strip() for word in values.get(key, "").split(","))))
        for word in sorted(named[key] - {*RULES, _ALL}):
            raise _refused(f"unknown check {word!r}", word, list(RULES), name, lines)
    return CheckSettings(
        skip=named["skip"],
        experimental=named["experimental"],
        error=values.get("error", "false").lower() in ("true", "1"),
    )


def _refused(message: str, word: str, known: list[str], name: str, lines: Sequence[str]) -> DockerfileError:
    line = next((number for number, text in enumerate(lines, 1) if "check" in text), 0)
    text = lines[line - 1] if line else ""
    return DockerfileError(
        message, file=name, line=line, text=text, hint=suggestion(word, known) if word else None
    )


def violation(findings: Sequence[Finding], name: str, lines: Sequence[str]) -> DockerfileError:
    """Return the error that findings are with `error=true`."""
    rules = ", ".join(dict.fromkeys(one.rule for one in findings))
    line = findings[0].first_line
    return DockerfileError(
        f"lint violation found for rules: {rules}",
        file=name,
        line=line,
        text=lines[line - 1],
        hint="see them all with --check",
    )


def shown(found: Finding, name: str, lines: Sequence[str]) -> str:
    """Return a finding as buildx shows it: rule and article, sentence, the lines with some around them."""
    first, last = found.first_line, min(found.last_line, len(lines))
    around = 4 if first == last else 2
    start, end, taken = first, last, 0
    while taken < around:
        if start > 1:
            start, taken = start - 1, taken + 1
        if end < len(lines):
            end, taken = end + 1, taken + 1
        taken += 1
    rule = "-" * 20
    body = [
        f" {number:3d} | {'>>>' if first <= number <= last else '   '} {lines[number - 1].rstrip()}".rstrip()
        for number in range(start, end + 1)
    ]
    head = [f"WARNING: {found.rule} - {found.url}", found.detail, f"{name}:{found.first_line}"]
    return "\n".join([*head, rule, *body, rule])

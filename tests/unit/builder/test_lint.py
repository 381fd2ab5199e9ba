"""Checks of Dockerfiles: for each rule what it finds, where, in BuildKit's words (its own tests have these files).

The engine of the peers' lab (26.1) knows one of them, as `WARN: Empty continuation line found in: …`.
"""

from __future__ import annotations

import contextlib

import pytest
from pycompose.engine.builder.check import check
from pycompose.engine.builder.request import BuildRequest
from pycompose.engine.builder.rules import EXPERIMENTAL, RULES, shown
from pycompose.engine.builder.steps import BaseImage
from pycompose.engine.errors import BuildError, DockerfileError, NoSuchImage
from pycompose.engine.images.spec import ImageConfig, machine

from tests.e2e.builds.corpus import Case, load_cases

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
OTHER = "linux/s390x"


def local(name: str, platform: str) -> BaseImage:
    """Return one of the images that are there; `busybox` is everything that has a PATH."""
    if name == "busybox":
        return BaseImage(config=ImageConfig(env=(PATH,)), platform=str(machine()))
    if name == "foreign":
        return BaseImage(platform=OTHER)
    raise NoSuchImage(name)


def findings(text: str, ignore: str = "", target: str = "", **arguments: str) -> list[tuple[int, str, str]]:
    """Return (line, rule, sentence) of what a check finds."""
    request = BuildRequest(dockerfile=text, ignore_text=ignore, target=target, arguments=arguments)
    done = check(request, local)
    if done.error is not None:
        raise done.error
    return [(one.first_line, one.rule, one.detail) for one in done.findings]


MULTIPLE = (
    "Multiple {} instructions should not be used in the same stage because only the last one will be used"
)
SECRET = "Do not use ARG or ENV instructions for sensitive data ({})"
MAJORITY = "Command '{}' should match the case of the command majority ({})"
JSON = "JSON arguments recommended for {} to prevent unintended behavior related to OS signals"

CASES: list[tuple[str, list[tuple[int, str, str]]]] = [
    (
        "\nFROM scratch AS BadStageName\n\nFROM scratch as base2\nFROM scratch AS base3\n",
        [
            (2, "StageNameCasing", "Stage name 'BadStageName' should be lowercase"),
            (4, "FromAsCasing", "'as' and 'FROM' keywords' casing do not match"),
        ],
    ),
    (
        "from scratch AS base\nfrom scratch as base2\n",
        [(1, "FromAsCasing", "'AS' and 'from' keywords' casing do not match")],
    ),
    (
        "FROM scratch\n# x\nCOPY Dockerfile \\\n\n.\nCOPY Dockerfile \\\n.\n",
        [(5, "NoEmptyContinuation", "Empty continuation line")],
    ),
    (
        "From scratch as base\nFROM scratch AS base2\n",
        [(1, "ConsistentInstructionCasing", MAJORITY.format("From", "uppercase"))],
    ),
    (
        "FROM scratch\ncopy Dockerfile /foo\nCOPY Dockerfile /bar\n",
        [(2, "ConsistentInstructionCasing", MAJORITY.format("copy", "uppercase"))],
    ),
    (
        "frOM scratch as base\nfrom scratch as base2\n",
        [(1, "ConsistentInstructionCasing", MAJORITY.format("frOM", "lowercase"))],
    ),
    (
        "FROM scratch\ncopy Dockerfile /foo\ncopy Dockerfile /bar\n",
        [(1, "ConsistentInstructionCasing", MAJORITY.format("FROM", "lowercase"))],
    ),
    ("from scratch\ncopy Dockerfile /foo\n", []),
    (
        "FROM scratch AS b\nFROM scratch AS b\n",
        [(2, "DuplicateStageName", 'Duplicate stage name "b", stage names should be unique')],
    ),
    (
        "FROM scratch AS scratch\nFROM scratch AS context\n",
        [
            (1, "ReservedStageName", 'Stage name should not use the same name as reserved stage "scratch"'),
            (2, "ReservedStageName", 'Stage name should not use the same name as reserved stage "context"'),
        ],
    ),
    ("FROM scratch\nFROM scratch AS a\n", []),
    ("FROM scratch\nCMD mycommand\n", [(2, "JSONArgsRecommended", JSON.format("CMD"))]),
    ("FROM scratch\nENTRYPOINT x\n", [(2, "JSONArgsRecommended", JSON.format("ENTRYPOINT"))]),
    ('FROM scratch\nSHELL ["/usr/bin/customshell"]\nCMD mycommand\n', []),
    ('FROM scratch AS base\nSHELL ["/usr/bin/customshell"]\nFROM base\nENTRYPOINT mycommand\n', []),
    (
        "FROM scratch\nMAINTAINER me@example.org\n",
        [(2, "MaintainerDeprecated", "Maintainer instruction is deprecated in favor of using label")],
    ),
    (
        "ARG tag=latest\nFROM busybox:${tag}${version} AS b\n",
        [(2, "UndefinedArgInFrom", "FROM argument 'version' is not declared")],
    ),
    (
        "FROM --platform=$BULIDPLATFORM busybox\n",
        [
            (
                1,
                "UndefinedArgInFrom",
                "FROM argument 'BULIDPLATFORM' is not declared (did you mean BUILDPLATFORM?)",
            )
        ],
    ),
    ("FROM --platform=$BUILDPLATFORM scratch\n", []),
    ("ARG DEBUG\nFROM scra${DEBUG:-tch}\n", []),
    ('ARG DEBUG=""\nFROM scratch${DEBUG-@bogus}\n', []),
    (
        "FROM scratch\nWORKDIR app/\n",
        [
            (
                2,
                "WorkdirRelativePath",
                'Relative workdir "app/" can have unexpected results if the base image changes',
            )
        ],
    ),
    ("FROM scratch AS a\nWORKDIR /app\nFROM a AS b\nWORKDIR subdir/\n", []),
    ("FROM scratch\nARG foo\nCOPY Dockerfile${foo} .\n", []),
    ("FROM busybox AS base\nARG foo=Dockerfile\nFROM base\nCOPY $foo .\n", []),
    (
        "FROM busybox\nCOPY $foo .\nARG foo=bar\nRUN echo $foo\n",
        [(2, "UndefinedVar", "Usage of undefined variable '$foo'")],
    ),
    (
        "FROM busybox\nARG DIR_BINARIES=binaries/\nARG DIR_ASSETS=assets/\nARG DIR_CONFIG=config/\nCOPY $DIR_ASSET .\n",
        [(5, "UndefinedVar", "Usage of undefined variable '$DIR_ASSET' (did you mean $DIR_ASSETS?)")],
    ),
    (
        "FROM busybox\nENV PATH=$PAHT:/tmp/bin\n",
        [(2, "UndefinedVar", "Usage of undefined variable '$PAHT' (did you mean $PATH?)")],
    ),
    # Nobody knows what an image has that isn't here.
    ("FROM nosuch\nCOPY $foo .\n", []),
    # All stages are looked through, those that nobody needs as well.
    (
        "FROM scratch AS first\nCOPY $foo .\nFROM scratch AS second\nCOPY $bar .\n",
        [
            (2, "UndefinedVar", "Usage of undefined variable '$foo'"),
            (4, "UndefinedVar", "Usage of undefined variable '$bar'"),
        ],
    ),
    (
        (
            'FROM scratch\nENTRYPOINT ["/a"]\nENTRYPOINT ["/b"]\nCMD ["/a"]\nCOPY <<EOF /a.txt\nhello\nEOF\n'
            'CMD ["/b"]\nHEALTHCHECK CMD ["/a"]\nHEALTHCHECK CMD ["/b"]\n'
        ),
        [
            (2, "MultipleInstructionsDisallowed", MULTIPLE.format("ENTRYPOINT")),
            (4, "MultipleInstructionsDisallowed", MULTIPLE.format("CMD")),
            (9, "MultipleInstructionsDisallowed", MULTIPLE.format("HEALTHCHECK")),
        ],
    ),
    ('FROM scratch AS a\nCMD ["/myapp"]\nFROM a AS b\nCMD ["/myotherapp"]\n', []),
    (
        "FROM scratch\nENV testkey value\nLABEL key value\n",
        [
            (
                2,
                "LegacyKeyValueFormat",
                '"ENV key=value" should be used instead of legacy "ENV key value" format',
            ),
            (
                3,
                "LegacyKeyValueFormat",
                '"LABEL key=value" should be used instead of legacy "LABEL key value" format',
            ),
        ],
    ),
    ("FROM scratch\nENV testkey=value\nLABEL key=value\n", []),
    (
        "FROM --platform=$TARGETPLATFORM scratch\nFROM --platform=${TARGETPLATFORM} scratch\n",
        [
            (
                1,
                "RedundantTargetPlatform",
                "Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior",
            ),
            (
                2,
                "RedundantTargetPlatform",
                "Setting platform to predefined ${TARGETPLATFORM} in FROM is redundant as this is the default behavior",
            ),
        ],
    ),
    (
        (
            "FROM scratch\nARG SECRET_PASSPHRASE\nENV SUPER_Secret=foo\nENV password=bar secret=baz\n"
            "ENV apikey=bar sunflower=foo\nENV git_key=\nENV PUBLIC_KEY=\nARG public_token\nENV MONKEY=\n"
        ),
        [
            (2, "SecretsUsedInArgOrEnv", SECRET.format('ARG "SECRET_PASSPHRASE"')),
            (3, "SecretsUsedInArgOrEnv", SECRET.format('ENV "SUPER_Secret"')),
            (4, "SecretsUsedInArgOrEnv", SECRET.format('ENV "password"')),
            (4, "SecretsUsedInArgOrEnv", SECRET.format('ENV "secret"')),
            (5, "SecretsUsedInArgOrEnv", SECRET.format('ENV "apikey"')),
            (6, "SecretsUsedInArgOrEnv", SECRET.format('ENV "git_key"')),
        ],
    ),
    (
        (
            "FROM --platform=linux/amd64 scratch\nFROM --platform=linux/amd64 scratch AS my_amd64_stage\n"
            "FROM --platform=linux/amd64 scratch AS linux\n"
        ),
        [
            (
                1,
                "FromPlatformFlagConstDisallowed",
                'FROM --platform flag should not use constant value "linux/amd64"',
            )
        ],
    ),
    (
        "FROM foreign\n",
        [
            (
                1,
                "InvalidBaseImagePlatform",
                f'Base image foreign was pulled with platform "{OTHER}", expected "{machine()}" for current build',
            )
        ],
    ),
    (
        "FROM scratch\nEXPOSE 80/TcP 80 81/udp\n",
        [(2, "ExposeProtoCasing", "Defined protocol '80/TcP' in EXPOSE instruction should be lowercase")],
    ),
    (
        "FROM scratch\nEXPOSE 127.0.0.1:80:80 5000-5005\n",
        [
            (
                2,
                "ExposeInvalidFormat",
                "EXPOSE instruction should not define an IP address or host-port mapping, found '127.0.0.1:80:80'",
            )
        ],
    ),
    (
        (
            "# check=experimental=InvalidDefinitionDescription\n# bar this is the bar\nARG foo=bar\n"
            "# BasE this is the BasE image\nFROM scratch AS base\n# bad\nARG foo=baz bar=qux\n# foo is fine\nARG foo\n"
            "# not this one\n#\nARG bit=bat\n# not this one\nCOPY Dockerfile .\n"
        ),
        [
            (
                3,
                "InvalidDefinitionDescription",
                "Comment for ARG should follow the format: `# foo <description>`",
            ),
            (
                5,
                "InvalidDefinitionDescription",
                "Comment for FROM should follow the format: `# base <description>`",
            ),
            (
                7,
                "InvalidDefinitionDescription",
                "Comment for ARG should follow the format: `# <arg_key> <description>`",
            ),
        ],
    ),
]


@pytest.mark.parametrize(("text", "expected"), CASES)
def test_rules(text: str, expected: list[tuple[int, str, str]]) -> None:
    """A file and what is found in it."""
    assert findings(text) == expected


def test_every_rule_has_a_case() -> None:
    """Those below and above."""
    covered = {rule for _, expected in CASES for _, rule, _ in expected}
    assert set(RULES) - covered == {"CopyIgnoredFile", "InvalidDefaultArgInFrom"}
    assert set(RULES) >= EXPERIMENTAL


def test_defaults_that_make_no_name() -> None:
    """What FROM would be without build arguments."""
    text = "ARG VERSION\nFROM busybox:$VERSION\n"
    assert findings(text, VERSION="latest") == [
        (
            2,
            "InvalidDefaultArgInFrom",
            "Default value for ARG busybox:$VERSION results in empty or invalid base image name",
        )
    ]
    assert findings('ARG VERSION="latest"\nFROM busybox:${VERSION}\n', VERSION="x") == []
    assert findings("ARG V\nFROM busybox:stable${V}\n", V="-musl") == []


def test_files_that_are_ignored() -> None:
    """Said of sources in the context only, and only when asked for."""
    text = "FROM scratch AS a\nFROM a\nCOPY Dockerfile .\nADD Dockerfile /\nCOPY --from=a Dockerfile /x\n"
    assert findings(text, "Dockerfile\n") == []
    asked = f"# check=skip=all;experimental=CopyIgnoredFile\n{text}"
    sentence = 'Attempting to {} file "Dockerfile" that is excluded by .dockerignore'
    assert findings(asked, "Dockerfile\n") == [
        (4, "CopyIgnoredFile", sentence.format("Copy")),
        (5, "CopyIgnoredFile", sentence.format("Add")),
    ]
    assert findings(asked, "other\n") == []


@pytest.mark.parametrize(
    ("option", "rules"),
    (
        ("skip=all", []),
        ("skip=all;error=true", []),
        ("skip=ConsistentInstructionCasing,FromAsCasing;error=true", []),
        ("skip=ConsistentInstructionCasing", ["FromAsCasing"]),
    ),
)
def test_directive(option: str, rules: list[str]) -> None:
    """It leaves rules out."""
    text = f"#check={option}\nFROM scratch as base\ncopy Dockerfile .\n"
    assert [rule for _, rule, _ in findings(text)] == rules


def test_an_argument_counts_in_place_of_the_directive() -> None:
    """BUILDKIT_DOCKERFILE_CHECK, either way."""
    text = "#check={}\nFROM scratch as base\n"
    assert findings(text.format("error=true"), BUILDKIT_DOCKERFILE_CHECK="skip=all") == []
    with pytest.raises(DockerfileError, match="lint violation found for rules: FromAsCasing"):
        findings(text.format("skip=all"), BUILDKIT_DOCKERFILE_CHECK="error=true")


@pytest.mark.parametrize(
    ("option", "message"),
    (
        ("skipp=all", "invalid check option 'skipp=all'"),
        ("skip", "invalid check option 'skip'"),
        ("error=perhaps", "it is true or false"),
        ("skip=StageNameCase", "unknown check 'StageNameCase'"),
    ),
)
def test_directives_that_mean_nothing(option: str, message: str) -> None:
    """They are errors with their place."""
    with pytest.raises(DockerfileError, match=message) as caught:
        findings(f"# check={option}\nFROM scratch\n")
    assert caught.value.line == 1


def test_what_was_found_before_an_error_is_kept() -> None:
    """Both are shown."""
    request = BuildRequest(dockerfile="FROM scratch AS Bad\nMAINTAINER me\nBADCMD\n")
    done = check(request, local)
    assert [one.rule for one in done.findings] == ["StageNameCasing", "MaintainerDeprecated"]
    assert done.error is not None
    assert done.error.line == 3


@pytest.mark.parametrize("case", load_cases(), ids=lambda case: case.key)
def test_the_corpus_can_be_looked_through(case: Case) -> None:
    """Whatever stands in a Dockerfile: advice and errors, no defects."""
    texts = dict(case.entries)
    request = BuildRequest(dockerfile=texts.get("Dockerfile", ""), ignore_text=texts.get(".dockerignore", ""))
    with contextlib.suppress(BuildError):
        done = check(request, local)
        assert all(shown(one, done.name, done.lines) for one in done.findings)


def test_how_it_is_shown() -> None:
    """With the lines around, marked."""
    request = BuildRequest(dockerfile="FROM busybox as x\nRUN true\n")
    (found,) = check(request, local).findings
    assert shown(found, "Dockerfile", ("FROM busybox as x", "RUN true")) == (
        "WARNING: FromAsCasing - https://docs.docker.com/go/dockerfile/rule/from-as-casing/\n"
        "'as' and 'FROM' keywords' casing do not match\n"
        "Dockerfile:1\n--------------------\n   1 | >>> FROM busybox as x\n   2 |     RUN true\n--------------------"
    )

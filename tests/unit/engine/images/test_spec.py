"""Image configurations: the documented fields, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycompose.engine.errors import ImageError
from pycompose.engine.images.changes import apply_changes
from pycompose.engine.images.spec import Healthcheck, ImageConfig, config_from_oci, config_to_oci

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=10)
TEXTS = st.lists(TEXT, max_size=3).map(tuple)
SECONDS = st.none() | st.integers(1, 10_000).map(lambda value: value / 4)
CONFIGS = st.builds(
    ImageConfig,
    entrypoint=TEXTS,
    cmd=TEXTS,
    env=st.lists(st.sampled_from(["A=1", "B=", "C=x=y"]), max_size=3).map(tuple),
    user=TEXT,
    working_dir=TEXT,
    exposed_ports=st.sets(TEXT, max_size=2).map(lambda items: tuple(sorted(items))),
    volumes=st.sets(TEXT, max_size=2).map(lambda items: tuple(sorted(items))),
    stop_signal=TEXT,
    healthcheck=st.none()
    | st.builds(
        Healthcheck, test=TEXTS, interval_s=SECONDS, timeout_s=SECONDS, retries=st.none() | st.integers(1, 9)
    ),
    labels=st.dictionaries(TEXT, TEXT, max_size=2),
    shell=TEXTS,
)


@settings(deadline=None)
@given(CONFIGS)
def test_a_configuration_survives_the_round_trip(config: ImageConfig) -> None:
    """What is written is read back."""
    assert config_from_oci({"config": config_to_oci(config)}, "x") == config


def test_nulls_and_missing_fields_are_defaults() -> None:
    """Docker writes null for what was not said."""
    document = {"config": {"Cmd": None, "Env": None, "Volumes": None, "Healthcheck": None}}

    assert config_from_oci(document, "x") == config_from_oci({}, "x") == ImageConfig()


def test_a_healthcheck_is_in_seconds() -> None:
    """Nanoseconds become seconds, zero means "not said"."""
    value = {"Test": ["CMD-SHELL", "true"], "Interval": 1_500_000_000, "Timeout": 0, "Retries": 0}

    check = config_from_oci({"config": {"Healthcheck": value}}, "x").healthcheck

    assert check == Healthcheck(test=("CMD-SHELL", "true"), interval_s=1.5)


@pytest.mark.parametrize(
    ("config", "reason"),
    (
        ({"User": 3}, "User: expected str, found int"),
        ({"Env": {"A": "1"}}, "Env: expected list, found dict"),
        ({"Cmd": ["a\0b"]}, "Cmd: expected strings without NUL"),
        ({"Labels": {"a": 1}}, "Labels: expected strings"),
        ({"Healthcheck": {"Retries": True}}, "Healthcheck: Retries: expected int"),
    ),
)
def test_wrong_types_name_the_field(config: dict[str, object], reason: str) -> None:
    """The message says which field of which image."""
    with pytest.raises(ImageError, match=f"^image x: config.*{reason}"):
        config_from_oci({"config": config}, "image x")


def test_changes_are_dockerfile_instructions() -> None:
    """What `import -c` takes, one after the other."""
    config = apply_changes(
        ImageConfig(),
        [
            "ENV A=1 B='two words'",
            "env C three words",
            'CMD ["sh", "-c", "echo"]',
            "WORKDIR /srv",
            "WORKDIR app",
            "EXPOSE 80 53/udp",
            "LABEL a.b=c",
            "USER app:www",
            "VOLUME /data /more",
            "STOPSIGNAL SIGQUIT",
            "HEALTHCHECK --interval=1m --retries=2 CMD curl -f http://localhost",
        ],
    )

    assert config == ImageConfig(
        env=("A=1", "B=two words", "C=three words"),
        cmd=("sh", "-c", "echo"),
        working_dir="/srv/app",
        exposed_ports=("53/udp", "80/tcp"),
        labels={"a.b": "c"},
        user="app:www",
        volumes=("/data", "/more"),
        stop_signal="SIGQUIT",
        healthcheck=Healthcheck(test=("CMD-SHELL", "curl -f http://localhost"), interval_s=60.0, retries=2),
    )


def test_an_entrypoint_clears_the_command() -> None:
    """As in a Dockerfile; the shell form goes through the shell."""
    config = apply_changes(ImageConfig(), ["CMD x", "ENTRYPOINT run me"])

    assert (config.entrypoint, config.cmd) == (("/bin/sh", "-c", "run me"), ())


@pytest.mark.parametrize(
    ("change", "reason"),
    (
        ("RUN make", "'RUN' is not possible here"),
        ("ENV", "not of the form KEY=value"),
        ("EXPOSE http", "is not a port"),
        ("HEALTHCHECK CMD", "it needs CMD and a command"),
        ("HEALTHCHECK --interval=soon CMD x", "is not a duration"),
        ("SHELL bash", "JSON list"),
        ("ONBUILD", "it needs an instruction"),
        ("ONBUILD from x", "FROM isn't allowed as an ONBUILD trigger"),
    ),
)
def test_bad_changes_are_told(change: str, reason: str) -> None:
    """The whole instruction is in the message."""
    with pytest.raises(ImageError, match=f"change .*{reason}"):
        apply_changes(ImageConfig(), [change])

"""Image configurations: the documented fields, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycompose.engine.errors import ImageError
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

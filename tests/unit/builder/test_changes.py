"""What `commit -c` and `import -c` make of instructions, as seen at Docker 26.1."""

from __future__ import annotations

import pytest
from pycompose.engine.builder.changes import apply_changes
from pycompose.engine.errors import InvalidChange
from pycompose.engine.images.spec import Healthcheck, ImageConfig


def test_changes_are_dockerfile_instructions() -> None:
    """What `import -c` takes, one after the other."""
    config, _ = apply_changes(
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


PATH = "/usr/local/bin:/bin"
OWN = ImageConfig(env=(f"PATH={PATH}",), cmd=("sleep", "1"), entrypoint=("own",))


@pytest.mark.parametrize(
    ("changes", "entrypoint", "cmd"),
    (
        (["CMD foo"], ("own",), ("/bin/sh", "-c", "foo")),
        (["CMD"], ("own",), ("/bin/sh", "-c")),
        (["CMD []"], ("own",), ()),
        (['CMD ["a" "b"]'], ("own",), ("/bin/sh", "-c", '["a" "b"]')),
        (["CMD foo \\\n bar"], ("own",), ("/bin/sh", "-c", "foo  bar")),
        (["ENTRYPOINT run me"], ("/bin/sh", "-c", "run me"), ()),
        (["ENTRYPOINT"], (), ()),
        (['ENTRYPOINT ["a"]'], ("a",), ()),
        (['CMD ["b"]', 'ENTRYPOINT ["a"]'], ("a",), ("b",)),
        (['CMD ["b"]\nentrypoint ["a"]'], ("a",), ("b",)),
    ),
)
def test_commands(changes: list[str], entrypoint: tuple[str, ...], cmd: tuple[str, ...]) -> None:
    """A shell form goes through the shell, an entrypoint takes a command away that none of the changes is."""
    config, _ = apply_changes(OWN, changes)

    assert (config.entrypoint, config.cmd) == (entrypoint, cmd)


def test_variables_are_those_of_the_image() -> None:
    """And of the changes before; a configuration without PATH stays without one."""
    config, on_build = apply_changes(
        OWN, ["ENV A=b", "ENV C=$A-${PATH} D=$HOME", "LABEL x=$A", "ONBUILD RUN x"]
    )
    bare, _ = apply_changes(ImageConfig(), ["ENV A=b"])

    assert config.env == (f"PATH={PATH}", "A=b", f"C=b-{PATH}", "D=")
    assert config.labels == {"x": "b"}
    assert on_build == ("RUN x",)
    assert bare.env == ("A=b",)


@pytest.mark.parametrize(
    ("change", "reason"),
    (
        ("RUN make", "RUN is not a valid change command"),
        ('SHELL ["x"]', "SHELL is not a valid change command"),
        ("FROM x", "FROM is not a valid change command"),
        ("BOGUS x", "BOGUS is not a valid change command"),
        ("", "file with no instructions"),
        ("# comment", "file with no instructions"),
        ("ENV", "ENV requires at least"),
        ("ENV A", "ENV must have two arguments"),
        ("USER", "USER requires exactly"),
        ("EXPOSE http", "invalid containerPort: http"),
        ("EXPOSE 99999", "invalid containerPort: 99999"),
        ("STOPSIGNAL FOO", "invalid signal: FOO"),
        ('CMD ["a",1]', "strings only"),
        ("HEALTHCHECK CMD", "missing command after HEALTHCHECK CMD"),
        ("HEALTHCHECK --interval=soon CMD x", "no duration"),
        ("HEALTHCHECK --foo=5 CMD x", "unknown flag: --foo"),
        ("ONBUILD", "ONBUILD requires"),
        ("ONBUILD from x", "FROM isn't allowed as an ONBUILD trigger"),
    ),
)
def test_bad_changes_are_told(change: str, reason: str) -> None:
    """The whole instruction is in the message."""
    with pytest.raises(InvalidChange, match=f"change.*{reason}"):
        apply_changes(ImageConfig(), [change])

"""AppArmor, where the kernel has it: every process of a container is in its profile, or in the default one."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pycompose.engine import apparmor
from pycompose.engine.config import DEFAULT_CAPABILITIES, UNCONFINED, Security, User
from pycompose.engine.errors import EngineError
from pycompose.engine.machine import has_apparmor

from tests.support.namespaces import mount

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.lab import Lab

NAME = "pycompose-test"
PROFILE = f"""
profile {NAME} flags=(attach_disconnected,mediate_deleted) {{
  network,
  capability,
  file,
  signal,
  ptrace,
  deny /forbidden w,
}}
"""
PARSER = apparmor.parser()
COMMAND = (PARSER, "-f", apparmor.INTERFACE)
LOOK = "cat /proc/self/attr/current; echo x >/forbidden; echo done"

pytestmark = pytest.mark.skipif(
    not (has_apparmor() and PARSER), reason="needs AppArmor in the kernel, and apparmor_parser"
)


@pytest.fixture(autouse=True)
def loaded(tmp_path: Path) -> Iterator[None]:
    """Have the profile in the kernel."""
    if not os.path.exists("/sys/kernel/security/apparmor"):
        mount("securityfs", "/sys/kernel/security", "securityfs")
    file = tmp_path / "profile"
    file.write_text(PROFILE, encoding="ascii")
    subprocess.run([*COMMAND, "-r", "-K", str(file)], check=True)
    yield
    subprocess.run([*COMMAND, "-R", str(file)], check=True)


@pytest.mark.parametrize("user", ("root", "app"))
@pytest.mark.parametrize("sealed", (False, True))
def test_the_profile_holds_for_the_container_and_what_is_executed_in_it(
    lab: Lab,
    user: str,
    sealed: bool,  # noqa: FBT001 - a column
) -> None:
    """Whoever it runs as, with no-new-privileges too; what the profile denies is denied to root."""
    wanted: dict[str, Any] = {"apparmor": NAME, "user": User(spec=user), "no_new_privs": sealed}
    container = lab.make(f"{LOOK}; sleep 1000", process=wanted)
    lab.keeper.start_container(container)
    lab.wait_for_output(container, "done")
    executed = lab.exec(container, LOOK, **wanted)[1]
    free = lab.exec(container, LOOK, user=User(spec=user))[1]

    for said in (lab.output(container), executed):
        assert f"{NAME} (enforce)" in said
        assert "/forbidden: Permission denied" in said
    assert "unconfined" in free
    assert ("denied" in free) is (user != "root")
    lab.keeper.kill(container)
    lab.exit_code(container)


def test_a_profile_that_is_not_loaded(lab: Lab) -> None:
    """It is named, and nothing runs."""
    with pytest.raises(EngineError, match="cannot enter the AppArmor profile nowhere: No such file"):
        lab.keeper.start_container(lab.make(LOOK, process={"apparmor": "nowhere"}))


# What an attacker with CAP_SYS_ADMIN does: a word for each thing that went through.
ATTACKS = """
mkdir /tmp/place && mount -t tmpfs none /tmp/place && echo mounted
for file in /proc/sys/kernel/core_pattern /proc/sys/vm/swappiness /proc/sysrq-trigger /sys/kernel/uevent_helper; do
  cat $file >/tmp/was; cat /tmp/was >$file && echo wrote $file
done
cat /proc/sysrq-trigger /sys/kernel/security/apparmor/profiles && echo read
kill -0 1 && cat /proc/1/environ >/dev/null && umount /dev/mqueue && echo own
true
"""


@pytest.fixture
def without_default() -> None:
    """Have no default profile loaded, as after a boot."""
    if apparmor.is_loaded(apparmor.DEFAULT):
        text = apparmor.profile(apparmor.DEFAULT)
        subprocess.run([*COMMAND, "-R"], input=text, text=True, check=True)


@pytest.mark.usefixtures("without_default")
def test_the_default_profile_holds_what_was_given_capabilities(lab: Lab) -> None:
    """It is loaded when it is needed; mounts and the machine's settings stay out of reach, not the container's own."""
    assert apparmor.default_profile() == apparmor.DEFAULT
    powers = (*DEFAULT_CAPABILITIES, "SYS_ADMIN", "SYS_PTRACE", "SYSLOG", "MAC_ADMIN")
    open_ = Security(seccomp=UNCONFINED, system_paths_unconfined=True)

    def attack(profile: str) -> list[str]:
        process = {"capabilities": powers, "apparmor": profile}
        code, said = lab.run(f"cat /proc/self/attr/current; {ATTACKS}", process=process, security=open_)
        assert code == 0
        return [
            line for line in said.splitlines() if not line.startswith(("sh:", "cat:", "mount:", "umount:"))
        ]

    assert attack(apparmor.DEFAULT) == [f"{apparmor.DEFAULT} (enforce)", "own"]
    assert apparmor.is_loaded(apparmor.DEFAULT)
    assert {"mounted", "wrote /proc/sys/kernel/core_pattern"} < set(attack(""))  # the profile was in the way

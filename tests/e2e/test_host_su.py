"""`su` in containers of the image `host`: start scripts of databases are root and become somebody else."""

from __future__ import annotations

from tests.support.scenario import Host


def test_su_becomes_another_user(host: Host) -> None:
    """Every user of the machine has an entry, locked; nothing of the real file is there."""
    run = ("container", "run", "--rm", "host")
    assert host.run(*run, "su", "nobody", "-s", "/bin/sh", "-c", "id -un").ok().stdout == "nobody\n"
    shadow = host.run(*run, "cat", "/etc/shadow").ok().stdout.splitlines()
    users = [line.partition(":")[0] for line in host.run(*run, "cat", "/etc/passwd").ok().stdout.splitlines()]
    assert shadow == [f"{user}:*:::::::" for user in users]
    assert host.run(*run, "stat", "-c", "%a %U", "/etc/shadow").ok().stdout == "640 root\n"
    refused = host.run("container", "run", "--rm", "--user", "nobody", "host", "cat", "/etc/shadow")
    assert refused.exited(1).stdout == ""

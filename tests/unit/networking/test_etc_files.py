"""The three files of /etc that belong to the network."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from pycompose.engine.errors import NetworkError
from pycompose.networking.etc_files import (
    Resolver,
    host_network_hosts,
    hostname_text,
    hosts_text,
    machine_resolver,
    parse_resolv,
    resolv_conf_text,
    resolve_extra_hosts,
    upstreams,
    write_in_place,
)

if TYPE_CHECKING:
    from pathlib import Path

MACHINE = Resolver(
    nameservers=("192.0.2.53", "fe80::1%eth0"), search=("corp.example",), options=("edns0", "trust-ad")
)


def test_hosts_are_in_dockers_order() -> None:
    text = hosts_text(
        ("172.18.0.2", "fd00::2"), hostname="web", domainname="example.org", extra=(("db", "10.0.0.9"),)
    )

    assert text.splitlines() == [
        "127.0.0.1\tlocalhost",
        "::1\tlocalhost ip6-localhost ip6-loopback",
        "fe00::\tip6-localnet",
        "ff00::\tip6-mcastprefix",
        "ff02::1\tip6-allnodes",
        "ff02::2\tip6-allrouters",
        "10.0.0.9\tdb",
        "172.18.0.2\tweb.example.org web",
        "fd00::2\tweb.example.org web",
    ]


def test_without_ipv6_there_is_no_ipv6_loopback() -> None:
    text = hosts_text(("172.18.0.2",), hostname="web.example.org", ipv6=False)

    assert text == "127.0.0.1\tlocalhost\n172.18.0.2\tweb.example.org web\n"


def test_the_machines_hosts_are_kept_unless_there_are_extra_ones() -> None:
    assert host_network_hosts("as is\n", ()) == "as is\n"
    assert host_network_hosts("as is\n", (("db", "10.0.0.9"),)).endswith("\n10.0.0.9\tdb\n")


def test_host_gateway_becomes_the_gateway() -> None:
    extra = (("machine", "host-gateway"), ("db", "10.0.0.9"))

    assert resolve_extra_hosts(extra, ("172.18.0.1", "fd00::1")) == [
        ("machine", "172.18.0.1"),
        ("machine", "fd00::1"),
        ("db", "10.0.0.9"),
    ]
    with pytest.raises(NetworkError, match="extra_hosts: machine: host-gateway"):
        resolve_extra_hosts(extra, ("",))
    assert hostname_text("web") == "web\n"


def test_a_resolv_conf_is_read_as_the_manual_says() -> None:
    text = """
# comment
; another
domain old.example
nameserver 192.0.2.1 # behind
nameserver fe80::1%eth0
nameserver junk
nameserver
search a.example b.example
options ndots:2
options rotate
sortlist 10.0.0.0
"""

    assert parse_resolv(text) == Resolver(
        nameservers=("192.0.2.1", "fe80::1%eth0"),
        search=("a.example", "b.example"),
        options=("ndots:2", "rotate"),
    )


def test_the_embedded_server_is_named_and_asks_the_machines() -> None:
    text = resolv_conf_text(embedded=True, machine=MACHINE)

    assert parse_resolv(text) == Resolver(
        nameservers=("127.0.0.11",), search=("corp.example",), options=("edns0", "trust-ad", "ndots:0")
    )
    assert upstreams(MACHINE) == MACHINE.nameservers
    assert upstreams(Resolver()) == ("8.8.8.8", "8.8.4.4")


def test_the_stub_of_systemd_is_looked_behind(tmp_path: Path) -> None:
    """127.0.0.53 would do, but only from the machine itself."""
    assert machine_resolver(str(tmp_path)) == Resolver()
    stub, behind = tmp_path / "etc/resolv.conf", tmp_path / "run/systemd/resolve/resolv.conf"
    for path in (stub, behind):
        path.parent.mkdir(parents=True)
    stub.write_text("nameserver 127.0.0.53\nsearch a.example\n", encoding="ascii")
    assert machine_resolver(str(tmp_path)).nameservers == ("127.0.0.53",)
    behind.write_text("nameserver 192.0.2.53\n", encoding="ascii")

    expected = Resolver(nameservers=("192.0.2.53",), search=("a.example",))
    assert machine_resolver(str(tmp_path)) == expected


def test_a_services_own_settings_go_before() -> None:
    text = resolv_conf_text(
        embedded=True, dns=("1.1.1.1",), search=("x.example",), options=("ndots:3",), machine=MACHINE
    )
    alone = resolv_conf_text(embedded=False, dns=("1.1.1.1",), search=(".",), machine=MACHINE)

    assert parse_resolv(text) == Resolver(
        nameservers=("127.0.0.11",), search=("x.example",), options=("ndots:3",)
    )
    assert parse_resolv(alone) == Resolver(nameservers=("1.1.1.1",), options=("edns0", "trust-ad"))
    assert parse_resolv(resolv_conf_text(embedded=False, machine=MACHINE)) == MACHINE


def test_files_keep_their_inode(tmp_path: Path) -> None:
    path = tmp_path / "hosts"
    assert write_in_place(path, "a long first version\n")
    inode = path.stat().st_ino
    assert write_in_place(path, "short\n")

    assert path.read_text(encoding="utf-8") == "short\n"
    assert path.stat().st_ino == inode
    assert path.stat().st_mode & 0o777 == 0o644


def test_nobody_waits_for_the_end_of_a_lease(tmp_path: Path) -> None:
    """A container may take one on its file, for as long as the kernel lets it: 45 s (fs.lease-break-time)."""
    path = tmp_path / "hosts"
    write_in_place(path, "ours\n")
    script = (
        "import fcntl, os, signal, sys; signal.signal(signal.SIGIO, signal.SIG_IGN); "
        "fd = os.open(sys.argv[1], os.O_RDONLY); fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK); "
        "print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        assert holder.stdout.readline() == "held\n"

        with pytest.raises(NetworkError, match="holds a lease on it"):
            write_in_place(path, "newer\n")

        holder.stdin.close()
    assert write_in_place(path, "newer\n", known="ours\n")


def test_a_file_that_the_user_changed_is_theirs(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    write_in_place(path, "ours\n")

    assert write_in_place(path, "newer\n", known="ours\n")
    assert not write_in_place(path, "newest\n", known="ours\n")
    assert path.read_text(encoding="utf-8") == "newer\n"


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    """The directory is the container's as far as its files are bind-mounted."""
    (tmp_path / "hosts").symlink_to(tmp_path / "victim")
    with pytest.raises(NetworkError, match="hosts: write"):
        write_in_place(tmp_path / "hosts", "x")
    assert not (tmp_path / "victim").exists()

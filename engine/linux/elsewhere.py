"""Children that are born in another pid namespace than those of their parent (pid_namespaces(7))."""

from __future__ import annotations

import errno
import os
import socket

from pycompose.engine.linux import namespaces, process


def clone_into(pid_namespace: int, flags: int, cgroup_fd: int | None) -> tuple[int, int]:
    """Do what process.clone3 does, into the pid namespace of that descriptor; raises OSError.

    A helper goes there, and its child becomes ours: who changes the namespace of his children can't always change it
    back, for the machine's own isn't an ordinary user's to enter.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        helper, helper_fd = process.clone3(0)
        if not helper:
            try:
                namespaces.setns(pid_namespace, namespaces.CLONE_NEWPID)
                pid, pidfd = process.clone3(flags | process.CLONE_PARENT, cgroup_fd=cgroup_fd, exit_signal=0)
                if pid:
                    socket.send_fds(theirs, [str(pid).encode()], [pidfd])
            except OSError as exc:
                os._exit(exc.errno or errno.EIO)
            if pid:
                os._exit(0)
            return 0, -1
        result = os.waitid(os.P_PIDFD, helper_fd, os.WEXITED)
        os.close(helper_fd)
        code = errno.EIO if result is None or result.si_code != os.CLD_EXITED else result.si_status
        if code:
            raise OSError(code, os.strerror(code))
        message, descriptors, _flags, _address = socket.recv_fds(ours, 64, 1)
        os.set_inheritable(descriptors[0], False)
        return int(message), descriptors[0]

"""The policy of a container that says nothing: what Docker's default profile decides (Engine 26.1), as our own data.

What stands here is allowed, in groups by what it is for; everything else is refused. The largest part of that acts on
the machine and not on the container: keyrings (add_key, keyctl, request_key), modules, kexec, swap, accounting, quotas,
the clock, NUMA placement of other processes. Another part is where the kernel's own mistakes were found again and
again: namespaces and mounts for everybody (clone, unshare, mount and its kin), io_uring, userfaultfd, bpf,
perf_event_open, AF_VSOCK. The rest is older than anything that runs.

A container with a capability gets the calls that the capability is for, for without them it would be worth nothing.
tests/unit/engine/seccomp/docker.json has what the real Docker decided, call by call.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from pycompose.engine.linux.caps import CAPABILITIES
from pycompose.engine.seccomp.policy import ALLOW, ERRNO, INT, REFUSE, ArgumentCondition, Policy, Rule

if TYPE_CHECKING:
    from pycompose.engine.seccomp.machines import Machine

ALLOWED = {
    "open files, and what is read and written through them": """
        close close_range copy_file_range creat dup dup2 dup3 fadvise64 fadvise64_64 fallocate fcntl fcntl64
        fdatasync flock fsync ftruncate ftruncate64 ioctl _llseek lseek open openat openat2 pipe pipe2 pread64 preadv
        preadv2 pwrite64 pwritev pwritev2 read readahead readv sendfile sendfile64 splice sync sync_file_range syncfs
        tee vmsplice write writev
    """,
    "names of files, and what is written about them": """
        access chdir chmod chown chown32 faccessat faccessat2 fchdir fchmod fchmodat fchmodat2 fchown fchown32
        fchownat fgetxattr flistxattr fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 futimesat
        getcwd getdents getdents64 getxattr lchown lchown32 lgetxattr link linkat listxattr llistxattr lremovexattr
        lsetxattr lstat lstat64 mkdir mkdirat mknod mknodat name_to_handle_at newfstatat readlink readlinkat
        removexattr rename renameat renameat2 rmdir setxattr stat stat64 statfs statfs64 statx symlink symlinkat
        truncate truncate64 umask unlink unlinkat utime utimensat utimensat_time64 utimes
    """,
    "waiting for files": """
        epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd
        eventfd2 fanotify_mark inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel io_destroy
        io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit _newselect poll ppoll ppoll_time64
        pselect6 pselect6_time64 select
    """,
    "memory": """
        brk cachestat madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mlock mlock2 mlockall mmap
        mmap2 mprotect mremap msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect process_mrelease
        remap_file_pages
    """,
    "processes, threads, and the locks between them": """
        capget capset execve execveat exit exit_group fork futex futex_requeue futex_time64 futex_wait futex_waitv
        futex_wake get_robust_list get_thread_area getcpu getpgid getpgrp getpid getppid getpriority getrlimit
        getrusage getsid gettid ioprio_get ioprio_set landlock_add_rule landlock_create_ruleset
        landlock_restrict_self pidfd_open prctl prlimit64 rseq sched_get_priority_max sched_get_priority_min
        sched_getaffinity sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval
        sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield
        seccomp set_robust_list set_thread_area set_tid_address setpgid setpriority setrlimit setsid times ugetrlimit
        vfork wait4 waitid waitpid
    """,
    "looking into one's own processes (until Linux 4.8 ptrace could leave a filter)": """
        process_vm_readv process_vm_writev ptrace
    """,
    "users and groups": """
        getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getresgid getresgid32 getresuid
        getresuid32 getuid getuid32 setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32
        setregid setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setuid setuid32
    """,
    "signals": """
        kill pause pidfd_send_signal restart_syscall rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo
        rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sigaltstack signalfd
        signalfd4 sigprocmask sigreturn tgkill tkill
    """,
    "time (adjtimex and clock_adjtime ask for CAP_SYS_TIME themselves when they change something)": """
        adjtimex alarm clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64
        clock_nanosleep clock_nanosleep_time64 getitimer gettimeofday nanosleep setitimer time timer_create
        timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create
        timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64
    """,
    "sockets (32-bit x86 calls them all by socketcall, whose arguments a filter can't see)": """
        accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg recvmmsg_time64
        recvmsg send sendmmsg sendmsg sendto setsockopt shutdown socketcall socketpair
    """,
    "System V and POSIX messages, semaphores and shared memory": """
        ipc mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64
        mq_unlink msgctl msgget msgrcv msgsnd semctl semget semop semtimedop semtimedop_time64 shmat shmctl shmdt
        shmget
    """,
    "asking about the machine": "getrandom sysinfo uname",
}
ALLOWED_ON = {
    "amd64": "arch_prctl modify_ldt",
    "arm64": "arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush set_tls",
}
# What a capability adds; CAP_SYS_ADMIN lifts the conditions on clone too.
BY_CAPABILITY = {
    "BPF": "bpf",
    "DAC_READ_SEARCH": "open_by_handle_at",
    "PERFMON": "perf_event_open",
    "SYSLOG": "syslog",
    "SYS_ADMIN": """
        bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie mount mount_setattr move_mount
        open_tree perf_event_open quotactl quotactl_fd setdomainname sethostname setns syslog umount umount2 unshare
    """,
    "SYS_BOOT": "reboot",
    "SYS_CHROOT": "chroot",
    "SYS_MODULE": "delete_module finit_module init_module",
    "SYS_NICE": "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
    "SYS_PACCT": "acct",
    "SYS_PTRACE": "kcmp pidfd_getfd process_madvise",
    "SYS_RAWIO": "ioperm iopl",
    "SYS_TIME": "clock_settime clock_settime64 settimeofday stime",
    "SYS_TTY_CONFIG": "vhangup",
}

# linux/sched.h: CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET
NAMESPACES = 0x7E020000
# linux/personality.h: PER_LINUX, PER_LINUX32, either with UNAME26, and the question which one it is. The others take
# protections away: ADDR_NO_RANDOMIZE, READ_IMPLIES_EXEC, MMAP_PAGE_ZERO.
PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)
# AF_VSOCK reaches the hypervisor past every network namespace. AF_ALG is the kernel's cryptography for programs: hardly
# one uses it, and it has been a way to root (Docker allows it in 26.1, and no more since 29). As with Docker, a 32-bit
# program of x86 gets both by socketcall, without which no such program could use the network.
AF_ALG, AF_VSOCK = 38, 40
CONDITIONAL = (
    Rule(("clone",), ALLOW, (ArgumentCondition(0, "EQ", 0, NAMESPACES),)),
    # Its flags are in memory: it doesn't exist here, and libc takes clone.
    Rule(("clone3",), ERRNO | errno.ENOSYS),
    *(Rule(("personality",), ALLOW, (ArgumentCondition(0, "EQ", value),)) for value in PERSONALITIES),
    Rule(
        ("socket",),
        ALLOW,
        (ArgumentCondition(0, "NE", AF_VSOCK, INT), ArgumentCondition(0, "NE", AF_ALG, INT)),
    ),
)


def default_policy(machine: Machine, capabilities: int) -> Policy:
    """Return the policy for a container whose processes can have `capabilities`, a mask."""
    held = [name for name in BY_CAPABILITY if capabilities >> CAPABILITIES.index(name) & 1]
    texts = [*ALLOWED.values(), ALLOWED_ON[machine.go], *(BY_CAPABILITY[name] for name in held)]
    return Policy(
        default=REFUSE,
        rules=(Rule(tuple(" ".join(texts).split()), ALLOW), *CONDITIONAL),
        abis=machine.abis,
    )

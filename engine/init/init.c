/*
 * Process 1 of a container with `init: true`: runs the command as its child, hands signals on to it, reaps what
 * others leave, and ends with the command's exit code. What it does is what tini does behind docker-init
 * (measured on Docker 26.1): tests/linux/engine/test_init.py.
 *
 * It runs in any image, so there is no libc: one page of code, no data to write to, nothing allocated.
 * `./build.sh` makes the binaries beside this file.
 */

/* The kernel's numbers (asm-generic/{errno-base,ioctls,signal}.h, linux/wait.h): the same for both machines. */
enum { ENOENT = 2, E2BIG = 7, ENOEXEC = 8, EAGAIN = 11, ENOMEM = 12, EACCES = 13, ENOTDIR = 20 };
enum { SIGILL = 4, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV = 11, SIGCHLD = 17, SIGTTIN = 21, SIGTTOU, SIGSYS = 31 };
enum { SIG_DFL, SIG_IGN };
enum { SIG_SETMASK = 2, WNOHANG = 1, TIOCSPGRP = 0x5410, PATH_BYTES = 4096 };

#define BIT(signal) (1UL << ((signal) - 1))
/* What a process does to itself must end it. The last two come of reading and writing on a terminal in the
 * background, where this process is for good: they are ignored. */
#define OWN_SIGNALS (BIT(SIGFPE) | BIT(SIGILL) | BIT(SIGSEGV) | BIT(SIGBUS) | BIT(SIGABRT) | BIT(SIGTRAP) | BIT(SIGSYS))
#define IGNORED_SIGNALS (BIT(SIGTTIN) | BIT(SIGTTOU))

typedef unsigned long sigset;

/* struct sigaction as the kernel reads it. */
struct action {
	long handler;
	unsigned long flags;
	void *restorer;
	sigset mask;
};

#if defined(__x86_64__)
enum { /* arch/x86/entry/syscalls/syscall_64.tbl */
	NR_write = 1, NR_rt_sigaction = 13, NR_rt_sigprocmask = 14, NR_ioctl = 16, NR_getpid = 39, NR_clone = 56,
	NR_execve = 59, NR_wait4 = 61, NR_kill = 62, NR_setpgid = 109, NR_rt_sigtimedwait = 128, NR_exit_group = 231,
};

__asm__(".globl _start\n"
	"_start: xor %ebp, %ebp\n"
	"	mov %rsp, %rdi\n"
	"	and $-16, %rsp\n"
	"	call start\n");

static long call4(long number, long a, long b, long c, long d)
{
	register long fourth __asm__("r10") = d;
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(fourth)
			 : "rcx", "r11", "memory");
	return result;
}
#elif defined(__aarch64__)
enum { /* asm-generic/unistd.h */
	NR_ioctl = 29, NR_write = 64, NR_exit_group = 94, NR_kill = 129, NR_rt_sigaction = 134, NR_rt_sigprocmask = 135,
	NR_rt_sigtimedwait = 137, NR_setpgid = 154, NR_getpid = 172, NR_clone = 220, NR_execve = 221, NR_wait4 = 260,
};

__asm__(".globl _start\n"
	"_start: mov x29, #0\n"
	"	mov x30, #0\n"
	"	mov x0, sp\n"
	"	and sp, x0, #-16\n"
	"	b start\n");

static long call4(long number, long a, long b, long c, long d)
{
	register long x8 __asm__("x8") = number;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;

	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
	return x0;
}
#else
#error "no system calls known for this machine"
#endif

/* Raw system calls: the result, or a negative errno. */
#define CALL(number, a, b, c, d) call4((number), (long)(a), (long)(b), (long)(c), (long)(d))

static _Noreturn void leave(int code)
{
	for (;;)
		CALL(NR_exit_group, code, 0, 0, 0);
}

static long length(const char *text)
{
	long count = 0;

	while (text[count])
		count++;
	return count;
}

static void say(const char *text)
{
	CALL(NR_write, 2, text, length(text), 0);
}

static _Noreturn void fail(const char *what, const char *name, long error, int code)
{
	say("docker-init: cannot ");
	say(what);
	say(name);
	switch (-error) {
	case ENOENT:
		say(": no such file or directory\n");
		break;
	case EACCES:
		say(": permission denied\n");
		break;
	case ENOMEM:
	case EAGAIN:
		say(": no memory, or too many processes\n");
		break;
	case E2BIG:
		say(": arguments and environment are too long\n");
		break;
	default:
		say(": the kernel refuses it\n");
	}
	leave(code);
}

/* Execute `path`, by a shell when it is text without `#!`; returns a negative errno. argv[-1] must be ours to use. */
static long execute(char *path, char **argv, char **env)
{
	char *name = argv[0];
	char *before = argv[-1];
	long error = CALL(NR_execve, path, argv, env, 0);

	if (error == -ENOEXEC) {
		argv[-1] = "/bin/sh";
		argv[0] = path;
		error = CALL(NR_execve, "/bin/sh", argv - 1, env, 0);
		argv[-1] = before;
		argv[0] = name;
	}
	return error;
}

static const char *search_path(char **env)
{
	for (; *env; env++) {
		const char *entry = *env;

		if (entry[0] == 'P' && entry[1] == 'A' && entry[2] == 'T' && entry[3] == 'H' && entry[4] == '=')
			return entry + 5;
	}
	return "/bin:/usr/bin";
}

/* execvp(3): a name without a slash is looked for along PATH. Returns the negative errno that tells most. */
static long execute_found(char **argv, char **env)
{
	char path[PATH_BYTES];
	const char *name = argv[0];
	const char *from = search_path(env);
	long name_bytes = length(name) + 1;
	long error = -ENOENT;
	long i;

	if (!name[0])
		return -ENOENT;
	for (i = 0; name[i]; i++)
		if (name[i] == '/')
			return execute(argv[0], argv, env);
	for (;;) {
		long used = 0;
		long result;

		while (from[used] && from[used] != ':')
			used++;
		if (used + 1 + name_bytes <= PATH_BYTES) {
			for (i = 0; i < used; i++)
				path[i] = from[i];
			if (used)
				path[i++] = '/';
			for (long j = 0; j < name_bytes; j++)
				path[i + j] = name[j];
			result = execute(path, argv, env);
			if (result == -EACCES)
				error = result;
			else if (result != -ENOENT && result != -ENOTDIR)
				return result;
		}
		if (!from[used])
			return error;
		from += used + 1;
	}
}

static void set_action(int signal, long handler)
{
	struct action action = {handler, 0, 0, 0};

	CALL(NR_rt_sigaction, signal, &action, 0, sizeof(sigset));
}

/* The child: a process group of its own, in the foreground of its terminal if it has one, then the command. */
static _Noreturn void become(char **argv, char **env)
{
	sigset none = 0;
	int group = CALL(NR_getpid, 0, 0, 0, 0);
	long error;

	CALL(NR_setpgid, 0, 0, 0, 0);
	CALL(NR_ioctl, 0, TIOCSPGRP, &group, 0);
	set_action(SIGTTIN, SIG_DFL);
	set_action(SIGTTOU, SIG_DFL);
	CALL(NR_rt_sigprocmask, SIG_SETMASK, &none, 0, sizeof(none));
	error = execute_found(argv, env);
	fail("execute ", argv[0], error, error == -ENOENT ? 127 : error == -EACCES ? 126 : 1);
}

/* Reap all who have ended; when the child is among them, end as it did. */
static void reap(long child)
{
	int status;
	int code = -1;
	long pid;

	while ((pid = CALL(NR_wait4, -1, &status, WNOHANG, 0)) > 0)
		if (pid == child)
			code = status & 0x7f ? 128 + (status & 0x7f) : status >> 8 & 0xff;
	if (code >= 0)
		leave(code);
}

/* `stack` is what the kernel leaves: argc, argv…, NULL, environment…, NULL. argv is docker-init -- COMMAND… */
__attribute__((used)) static _Noreturn void start(long *stack)
{
	long argc = stack[0];
	char **argv = (char **)(stack + 1);
	char **env = argv + argc + 1;
	sigset waited = ~(OWN_SIGNALS | IGNORED_SIGNALS);
	long child;

	if (argc < 3) {
		say("docker-init: usage: docker-init -- COMMAND [ARGUMENT...]\n");
		leave(1);
	}
	CALL(NR_rt_sigprocmask, SIG_SETMASK, &waited, 0, sizeof(waited));
	set_action(SIGTTIN, SIG_IGN);
	set_action(SIGTTOU, SIG_IGN);
	child = CALL(NR_clone, SIGCHLD, 0, 0, 0);
	if (child == 0)
		become(argv + 2, env);
	if (child < 0)
		fail("start ", argv[2], child, 1);
	for (;;) {
		long signal = CALL(NR_rt_sigtimedwait, &waited, 0, 0, sizeof(waited));

		if (signal > 0 && signal != SIGCHLD)
			CALL(NR_kill, child, signal, 0, 0);
		reap(child);
	}
}

/*
 * Passes on TCP connections that the kernel can't redirect: what is accepted on a listening socket goes to a container's
 * port, and what comes back to the client. For a supervisor, which tells on a socket (fd 0) what to listen to and where
 * that leads (relayprogram.py); it ends with that.
 *
 * Bytes go from socket to socket by way of a pipe without being copied (splice(2)). All connections share one pipe, which
 * is empty between two moves: only what the other side can't take yet keeps its pipe. Nothing more is read before that
 * is gone, so nothing piles up.
 *
 * There is no libc: it is the same on every machine, starts in a millisecond and takes a few pages.
 * `./build.sh` makes the binaries beside this file.
 */

typedef unsigned int u32;
typedef unsigned long u64;

/* The kernel's numbers (asm-generic/{errno-base,errno,fcntl,socket}.h, linux/{eventpoll,splice,tcp}.h). */
enum { EAGAIN = 11, ECONNABORTED = 103, EISCONN = 106, EALREADY = 114, EINPROGRESS = 115 };
enum { AF_INET = 2, AF_INET6 = 10, SOCK_STREAM = 1, SOCK_NONBLOCK = 04000, SOCK_CLOEXEC = 02000000, SHUT_WR = 1 };
enum { SOL_SOCKET = 1, SO_LINGER = 13, SCM_RIGHTS = 1, IPPROTO_TCP = 6, TCP_NODELAY = 1, MSG_NOSIGNAL = 0x4000 };
enum { MSG_CMSG_CLOEXEC = 0x40000000, O_NONBLOCK = 04000, O_CLOEXEC = 02000000, F_SETPIPE_SZ = 1031 };
enum { EPOLL_CTL_ADD = 1, EPOLL_CTL_DEL, EPOLL_CTL_MOD, EPOLLIN = 1, EPOLLOUT = 4, EPOLLERR = 8, EPOLLHUP = 16 };
enum { SPLICE_F_MOVE = 1, SPLICE_F_NONBLOCK = 2, PROT_READ_WRITE = 3, MAP_PRIVATE_ANONYMOUS_NORESERVE = 0x4022 };
enum { SIGPIPE = 13, SIG_IGN = 1, RLIMIT_NOFILE = 7 };
#define EPOLLET (1U << 31)

enum { CONTROL = 0, PIPE_BYTES = 1 << 20, MOST_FDS = 1 << 16, SPARE_PIPES = 8 };
/* One connection, or one listening socket, doesn't keep the others waiting for longer. */
enum { MOVES_A_TURN = 32, CONNECTIONS_A_TURN = 64, EVENTS_A_TURN = 64, EXHAUSTED_MS = 200 };

#if defined(__x86_64__)
enum { /* arch/x86/entry/syscalls/syscall_64.tbl */
	NR_close = 3, NR_mmap = 9, NR_rt_sigaction = 13, NR_socket = 41, NR_connect = 42, NR_sendto = 44, NR_recvmsg = 47,
	NR_shutdown = 48, NR_setsockopt = 54, NR_fcntl = 72, NR_exit_group = 231, NR_epoll_ctl = 233, NR_splice = 275,
	NR_epoll_pwait = 281, NR_accept4 = 288, NR_epoll_create1 = 291, NR_pipe2 = 293, NR_prlimit64 = 302,
};

__asm__(".globl _start\n"
	"_start: xor %ebp, %ebp\n"
	"	and $-16, %rsp\n"
	"	call start\n");

static long call6(long number, long a, long b, long c, long d, long e, long f)
{
	register long fourth __asm__("r10") = d;
	register long fifth __asm__("r8") = e;
	register long sixth __asm__("r9") = f;
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(fourth), "r"(fifth), "r"(sixth)
			 : "rcx", "r11", "memory");
	return result;
}
#define PACKED __attribute__((packed)) /* linux/eventpoll.h: there alone */
#elif defined(__aarch64__)
enum { /* asm-generic/unistd.h */
	NR_epoll_create1 = 20, NR_epoll_ctl = 21, NR_epoll_pwait = 22, NR_fcntl = 25, NR_close = 57, NR_pipe2 = 59,
	NR_splice = 76, NR_exit_group = 94, NR_rt_sigaction = 134, NR_socket = 198, NR_connect = 203, NR_sendto = 206,
	NR_setsockopt = 208, NR_shutdown = 210, NR_recvmsg = 212, NR_mmap = 222, NR_accept4 = 242, NR_prlimit64 = 261,
};

__asm__(".globl _start\n"
	"_start: mov x29, #0\n"
	"	mov x30, #0\n"
	"	mov x0, sp\n"
	"	and sp, x0, #-16\n"
	"	b start\n");

static long call6(long number, long a, long b, long c, long d, long e, long f)
{
	register long x8 __asm__("x8") = number;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;
	register long x5 __asm__("x5") = f;

	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
	return x0;
}
#define PACKED
#else
#error "no system calls known for this machine"
#endif

/* Raw system calls: the result, or a negative errno. */
#define CALL(number, a, b, c, d, e, f) \
	call6((number), (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))
#define CALL3(number, a, b, c) CALL(number, a, b, c, 0, 0, 0)

struct event {
	u32 events;
	u64 whose; /* its descriptor, and in the upper half the serial number of what that is of */
} PACKED;

/* struct sockaddr_in6; the kernel takes a sockaddr_in out of its beginning. */
struct address {
	unsigned short family;
	unsigned char rest[26];
};

/* What the supervisor says, and one descriptor with LISTEN; `socket` is what the answer to that has said. Answered with
 * an int: 0, the number of the socket, or a negative errno. */
struct request {
	int what;
	int socket;
	struct address target;
};
enum { LISTEN = 1, RETARGET, CLOSE };

enum kind { UNUSED, LISTENER, EXHAUSTED, CONNECTED, CONNECTING };

/* What is known of a descriptor. What was told of an earlier one of that number has another `serial`. `peer` is the other socket of the pair; what has come out of this one and not gone
 * into that one yet are `left` bytes of `pipe`. */
struct end {
	enum kind kind;
	u32 serial;
	int peer;
	int listener;
	int ended;
	int left;
	int pipe[2];
	struct address target;
};

static struct end *ends;
static int polled;
static int exhausted;
static int highest;
static int spare[SPARE_PIPES][2];
static int spares;

static _Noreturn void leave(int code)
{
	for (;;)
		CALL3(NR_exit_group, code, 0, 0);
}

static void watch(int how, int fd, u32 events)
{
	struct event event = {events, (u64)ends[fd].serial << 32 | fd};

	CALL(NR_epoll_ctl, polled, how, fd, &event, 0, 0);
}

static void close_fd(int fd)
{
	ends[fd].kind = UNUSED;
	CALL3(NR_close, fd, 0, 0);
}

/* Enter a descriptor in the table. */
static void enter(int fd, enum kind kind, int listener)
{
	struct end *end = &ends[fd];

	if (fd > highest)
		highest = fd;
	end->kind = kind;
	end->serial++;
	end->listener = listener;
	end->ended = end->left = 0;
}

/* ---------------------------------------------------------------- pairs of sockets */

static void drop(int fd)
{
	struct end *end = &ends[fd];

	if (end->left) {
		CALL3(NR_close, end->pipe[0], 0, 0);
		CALL3(NR_close, end->pipe[1], 0, 0);
	}
	close_fd(fd);
}

static void close_pair(int fd)
{
	int peer = ends[fd].peer;

	drop(fd);
	drop(peer);
}

/* Close both with RST (socket(7), SO_LINGER of zero): they see an error, not an end. */
static void reset_pair(int fd)
{
	int linger[2] = {1, 0};

	CALL(NR_setsockopt, fd, SOL_SOCKET, SO_LINGER, linger, sizeof(linger), 0);
	CALL(NR_setsockopt, ends[fd].peer, SOL_SOCKET, SO_LINGER, linger, sizeof(linger), 0);
	close_pair(fd);
}

static int take_pipe(int *pipe)
{
	if (spares) {
		spares--;
		pipe[0] = spare[spares][0];
		pipe[1] = spare[spares][1];
		return 1;
	}
	if (CALL3(NR_pipe2, pipe, O_NONBLOCK | O_CLOEXEC, 0) < 0)
		return 0;
	CALL3(NR_fcntl, pipe[1], F_SETPIPE_SZ, PIPE_BYTES); /* less for a user who has many: just as well */
	return 1;
}

static void give_pipe(const int *pipe)
{
	if (spares < SPARE_PIPES) {
		spare[spares][0] = pipe[0];
		spare[spares][1] = pipe[1];
		spares++;
		return;
	}
	CALL3(NR_close, pipe[0], 0, 0);
	CALL3(NR_close, pipe[1], 0, 0);
}

static long move(int from, int to, long bytes)
{
	/* Not SPLICE_F_MORE: it holds small writes back for up to 200 ms (tcp(7), TCP_CORK). */
	return CALL(NR_splice, from, 0, to, 0, bytes, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
}

/* Read what there is into a pipe of its own; 0 when there is nothing now, or the pair is gone. */
static int fill(int fd)
{
	struct end *end = &ends[fd];
	int pipe[2];
	long got;

	if (!take_pipe(pipe)) {
		reset_pair(fd);
		return 0;
	}
	got = move(fd, pipe[1], PIPE_BYTES);
	if (got > 0) {
		end->left = got;
		end->pipe[0] = pipe[0];
		end->pipe[1] = pipe[1];
		return 1;
	}
	give_pipe(pipe);
	if (got == -EAGAIN)
		return 0;
	if (got < 0) {
		reset_pair(fd);
		return 0;
	}
	/* The other direction stays open until it ends, too. */
	end->ended = 1;
	CALL3(NR_shutdown, end->peer, SHUT_WR, 0);
	if (ends[end->peer].ended)
		close_pair(fd);
	return 0;
}

/* Write what was read; 0 when no more is taken now, or the pair is gone. */
static int empty(int fd)
{
	struct end *end = &ends[fd];
	long done = move(end->pipe[0], end->peer, end->left);

	if (done == -EAGAIN)
		return 0;
	if (done <= 0) {
		reset_pair(fd);
		return 0;
	}
	end->left -= done;
	if (!end->left)
		give_pipe(end->pipe);
	return 1;
}

/* Pass on what comes out of a socket until there is no more, or for a moment. */
static void pass_on(int fd)
{
	struct end *end = &ends[fd];

	for (int moves = 0; moves < MOVES_A_TURN; moves++) {
		if (end->left ? !empty(fd) : end->ended || !fill(fd))
			return;
	}
	watch(EPOLL_CTL_MOD, fd, EPOLLIN | EPOLLOUT | EPOLLET); /* has it told again */
}

/* Begin when the connection to the container is there. */
static void connected(int fd)
{
	struct end *end = &ends[fd];
	struct address *target = &ends[end->listener].target;
	long error = CALL3(NR_connect, fd, target, sizeof(*target));

	if (error == -EALREADY || error == -EINPROGRESS)
		return;
	if (error < 0 && error != -EISCONN) {
		reset_pair(fd);
		return;
	}
	end->kind = CONNECTED;
	pass_on(end->peer);
}

static void ready(int fd, u32 events)
{
	struct end *end = &ends[fd];
	int peer = end->peer;

	if (end->kind == CONNECTING)
		connected(fd);
	if (end->kind != CONNECTED || ends[peer].kind != CONNECTED)
		return; /* gone, or still connecting: what a client says is read when somebody is there for it */
	if (end->ended && events & (EPOLLERR | EPOLLHUP)) {
		reset_pair(fd);
		return;
	}
	if (events & EPOLLOUT && ends[peer].left)
		pass_on(peer);
	if (events & (EPOLLIN | EPOLLERR | EPOLLHUP) && end->kind == CONNECTED)
		pass_on(fd);
}

/* ---------------------------------------------------------------- listening sockets */

static int open_pair(int client, int listener)
{
	struct address *target = &ends[listener].target;
	int one = 1;
	int server = CALL3(NR_socket, target->family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (server < 0) {
		CALL3(NR_close, client, 0, 0);
		return 0;
	}
	enter(client, CONNECTED, listener);
	enter(server, CONNECTING, listener);
	ends[client].peer = server;
	ends[server].peer = client;
	CALL(NR_setsockopt, server, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one), 0);
	CALL3(NR_connect, server, target, sizeof(*target));
	watch(EPOLL_CTL_ADD, client, EPOLLIN | EPOLLOUT | EPOLLET);
	watch(EPOLL_CTL_ADD, server, EPOLLIN | EPOLLOUT | EPOLLET);
	connected(server); /* on this machine the answer is mostly there already */
	return 1;
}

/* Take what has come, a bounded amount. Without descriptors or memory others have to give some back first. */
static void accept_some(int listener)
{
	for (int turn = 0; turn < CONNECTIONS_A_TURN; turn++) {
		long client = CALL(NR_accept4, listener, 0, 0, SOCK_NONBLOCK | SOCK_CLOEXEC, 0, 0);

		if (client == -EAGAIN)
			return;
		if (client == -ECONNABORTED)
			continue;
		if (client < 0 || !open_pair(client, listener)) {
			ends[listener].kind = EXHAUSTED;
			exhausted++;
			watch(EPOLL_CTL_MOD, listener, 0);
			return;
		}
	}
}

static void listen_again(void)
{
	for (int fd = 0; fd <= highest && exhausted; fd++)
		if (ends[fd].kind == EXHAUSTED) {
			ends[fd].kind = LISTENER;
			exhausted--;
			watch(EPOLL_CTL_MOD, fd, EPOLLIN);
		}
}

static long listen_to(int fd, const struct address *target)
{
	int one = 1;

	enter(fd, LISTENER, fd);
	ends[fd].target = *target;
	CALL(NR_setsockopt, fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one), 0); /* connections inherit it */
	watch(EPOLL_CTL_ADD, fd, EPOLLIN);
	return fd;
}

/* Close a listening socket and its connections; afterwards the port is free. */
static long stop_listening(int listener)
{
	for (int fd = 0; fd <= highest; fd++)
		if (fd != listener && ends[fd].kind >= CONNECTED && ends[fd].listener == listener)
			close_pair(fd);
	if (ends[listener].kind == EXHAUSTED)
		exhausted--;
	watch(EPOLL_CTL_DEL, listener, 0); /* others have copies */
	close_fd(listener);
	return 0;
}

/* ---------------------------------------------------------------- the supervisor */

/* struct msghdr and struct cmsghdr with room for one descriptor. */
struct message {
	void *name;
	u64 name_bytes;
	void *vector;
	u64 vectors;
	void *control;
	u64 control_bytes;
	u64 flags;
};
struct control {
	u64 bytes;
	int level;
	int type;
	int fd;
	int padding;
};

static void obey(void)
{
	struct request request;
	struct control control = {0};
	struct {
		void *start;
		u64 bytes;
	} vector = {&request, sizeof(request)};
	struct message message = {0, 0, &vector, 1, &control, sizeof(control), 0};
	long got = CALL3(NR_recvmsg, CONTROL, &message, MSG_CMSG_CLOEXEC);
	int is_passed = control.level == SOL_SOCKET && control.type == SCM_RIGHTS;
	int answer = -EAGAIN;

	if (got != sizeof(request)) /* it has ended */
		leave(0);
	if (request.what == LISTEN && is_passed)
		answer = listen_to(control.fd, &request.target);
	else if (request.socket > 0 && request.socket <= highest && ends[request.socket].kind != UNUSED) {
		answer = 0;
		if (request.what == RETARGET)
			ends[request.socket].target = request.target;
		else if (request.what == CLOSE)
			answer = stop_listening(request.socket);
	}
	CALL(NR_sendto, CONTROL, &answer, sizeof(answer), MSG_NOSIGNAL, 0, 0);
}

/* As many descriptors as we may have, and no more than the table has room for. */
static long set_limit(void)
{
	u64 limit[2] = {0, 0};

	CALL(NR_prlimit64, 0, RLIMIT_NOFILE, 0, limit, 0, 0);
	limit[0] = limit[1] < MOST_FDS ? limit[1] : MOST_FDS;
	return CALL(NR_prlimit64, 0, RLIMIT_NOFILE, limit, 0, 0, 0);
}

__attribute__((used)) static _Noreturn void start(void)
{
	static struct event events[EVENTS_A_TURN];
	u64 ignore[4] = {SIG_IGN, 0, 0, 0}; /* struct sigaction as the kernel reads it */
	long table = CALL(NR_mmap, 0, MOST_FDS * sizeof(struct end), PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS_NORESERVE, -1, 0);

	CALL(NR_rt_sigaction, SIGPIPE, ignore, 0, sizeof(u64), 0, 0); /* splice has no MSG_NOSIGNAL */
	polled = CALL3(NR_epoll_create1, O_CLOEXEC, 0, 0);
	if (set_limit() < 0 || polled < 0 || (table < 0 && table > -4096))
		leave(1);
	ends = (struct end *)table;
	watch(EPOLL_CTL_ADD, CONTROL, EPOLLIN);
	for (;;) {
		long count = CALL(NR_epoll_pwait, polled, events, EVENTS_A_TURN, exhausted ? EXHAUSTED_MS : -1, 0, 0);

		if (exhausted)
			listen_again();
		for (long i = 0; i < count; i++) {
			int fd = (u32)events[i].whose;

			if (events[i].whose >> 32 != ends[fd].serial)
				continue; /* of what was closed a moment ago */
			if (fd == CONTROL)
				obey();
			else if (ends[fd].kind == LISTENER)
				accept_some(fd);
			else if (ends[fd].kind >= CONNECTED)
				ready(fd, events[i].events);
		}
	}
}

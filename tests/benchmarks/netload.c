/* Load for tests/benchmarks/net.py: one static program for every end, so that both engines are measured with the same.
 *
 *   netload serve PORT                            takes what comes; answers a connection that says 'c', and closes it
 *   netload send ADDRESS PORT SECONDS             one connection: Gbit/s
 *   netload connect NAME PORT SECONDS WORKERS     a connection after the other, a lookup before each name: per second
 *   netload ask NAME RATE SECONDS                 questions for an A record, RATE a second, 0 for 20 outstanding ones:
 *                                                 answered per second, lost, median and 99th percentile in µs
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { BLOCK = 256 * 1024, OUTSTANDING = 20, MOST = 1 << 20, A = 1, AAAA = 28 };
static const char *const SERVER = "127.0.0.11";

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static socklen_t address(const char *text, int port, struct sockaddr_storage *to) {
    memset(to, 0, sizeof *to);
    struct sockaddr_in6 *six = (void *)to;
    struct sockaddr_in *four = (void *)to;
    if (inet_pton(AF_INET6, text, &six->sin6_addr) == 1) {
        six->sin6_family = AF_INET6;
        six->sin6_port = htons(port);
        return sizeof *six;
    }
    if (inet_pton(AF_INET, text, &four->sin_addr) != 1) return 0;
    four->sin_family = AF_INET;
    four->sin_port = htons(port);
    return sizeof *four;
}

static size_t question(uint8_t *out, uint16_t id, const char *name, int type) {
    uint8_t *p = out;
    *p++ = id >> 8, *p++ = id;
    memcpy(p, "\1\0\0\1\0\0\0\0\0\0", 10), p += 10;
    for (const char *label = name; *label;) {
        size_t n = strcspn(label, ".");
        *p++ = n;
        memcpy(p, label, n), p += n;
        label += n + (label[n] == '.');
    }
    *p++ = 0, *p++ = 0, *p++ = type, *p++ = 0, *p++ = 1;
    return p - out;
}

static int to_server(void) {
    struct sockaddr_storage to;
    socklen_t n = address(SERVER, 53, &to);
    int s = socket(AF_INET, SOCK_DGRAM, 0);
    if (s < 0 || connect(s, (void *)&to, n)) fail("dns");
    return s;
}

/* As glibc does it: A and AAAA at once, a socket for each lookup. */
static void lookup(const char *name, char *out) {
    uint8_t data[1500];
    int s = to_server(), left = 2;
    struct timeval wait = {.tv_sec = 5};
    setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    send(s, data, question(data, 1, name, A), 0);
    send(s, data, question(data, 2, name, AAAA), 0);
    while (left) {
        ssize_t n = recv(s, data, sizeof data, 0);
        if (n < 12) fail("no answer");
        left--;
        if (data[1] == 1 && data[7] > 0) inet_ntop(AF_INET, data + n - 4, out, INET_ADDRSTRLEN);
    }
    close(s);
}

static int dial(const char *name, int port) {
    struct sockaddr_storage to;
    char found[INET_ADDRSTRLEN] = "";
    socklen_t n = address(name, port, &to);
    if (!n) {
        lookup(name, found);
        n = address(found, port, &to);
    }
    int s = socket(to.ss_family, SOCK_STREAM, 0);
    if (s < 0 || connect(s, (void *)&to, n)) fail(name);
    return s;
}

static void serve(int port) {
    int one = 1, s = socket(AF_INET6, SOCK_STREAM, 0);
    struct sockaddr_storage at;
    socklen_t n = address("::", port, &at);
    if (s < 0) { /* no IPv6 in this namespace */
        s = socket(AF_INET, SOCK_STREAM, 0);
        n = address("0.0.0.0", port, &at);
    }
    setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(s, (void *)&at, n) || listen(s, 1024)) fail("serve");
    signal(SIGCHLD, SIG_IGN);
    for (;;) {
        char word;
        int c = accept(s, NULL, NULL);
        if (c < 0) continue;
        if (read(c, &word, 1) == 1 && word == 'c') {
            (void)!write(c, &word, 1);
        } else if (!fork()) {
            static char block[BLOCK];
            while (read(c, block, sizeof block) > 0) {}
            _exit(0);
        }
        close(c);
    }
}

static void send_all(const char *to, int port, double seconds) {
    static char block[BLOCK];
    double bytes = 0, start = now(), end = start + seconds;
    int s = dial(to, port);
    while (now() < end) {
        ssize_t n = write(s, block, sizeof block);
        if (n < 0) fail("send");
        bytes += n;
    }
    printf("%.3f\n", bytes * 8 / (now() - start) / 1e9);
}

static void connect_often(const char *to, int port, double seconds, int workers) {
    double *count = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    double start = now(), end = start + seconds, total = 0;
    struct linger reset = {.l_onoff = 1};
    for (int w = 0; w < workers; w++)
        if (!fork()) {
            while (now() < end) {
                char word = 'c';
                int s = dial(to, port);
                if (write(s, &word, 1) != 1 || read(s, &word, 1) != 1) fail("connection");
                setsockopt(s, SOL_SOCKET, SO_LINGER, &reset, sizeof reset); /* no TIME_WAIT: ports would run out */
                close(s);
                count[w]++;
            }
            _exit(0);
        }
    for (int status; wait(&status) > 0;)
        if (status) exit(1); /* connections that fail are no result */
    for (int w = 0; w < workers; w++) total += count[w];
    printf("%.0f\n", total / (now() - start));
}

static int ascending(const void *a, const void *b) {
    double d = *(const double *)a - *(const double *)b;
    return (d > 0) - (d < 0);
}

static void ask(const char *name, double rate, double seconds) {
    static double sent_at[1 << 16], took[MOST];
    uint8_t data[1500];
    int s = to_server(), size = 1 << 20;
    long sent = 0, got = 0;
    double start = now(), end = start + seconds;
    setsockopt(s, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    for (;;) {
        double t = now();
        int more = t < end && got < MOST;
        if (!more && (sent == got || t > end + 1)) break;
        while (more && (rate > 0 ? sent < (t - start) * rate : sent - got < OUTSTANDING)) {
            size_t n = question(data, sent, name, A);
            sent_at[sent & 0xFFFF] = now();
            if (send(s, data, n, 0) < 0) break;
            sent++;
        }
        struct pollfd p = {.fd = s, .events = POLLIN};
        struct timespec pause = {.tv_nsec = rate > 0 ? 100000 : 50000000};
        if (ppoll(&p, 1, &pause, NULL) <= 0) {
            if (rate <= 0 && now() - t > 0.04) sent = got; /* lost: ask anew */
            continue;
        }
        while (recv(s, data, sizeof data, MSG_DONTWAIT) >= 12)
            if (got < MOST) took[got++] = now() - sent_at[data[0] << 8 | data[1]];
    }
    double elapsed = now() - start;
    qsort(took, got, sizeof *took, ascending);
    if (!got) fail("nothing was answered");
    printf("%.0f %ld %.1f %.1f\n", got / elapsed, sent - got, took[got / 2] * 1e6, took[got * 99 / 100] * 1e6);
}

int main(int n, char **word) {
    if (n == 3 && !strcmp(word[1], "serve")) serve(atoi(word[2]));
    else if (n == 5 && !strcmp(word[1], "send")) send_all(word[2], atoi(word[3]), atof(word[4]));
    else if (n == 6 && !strcmp(word[1], "connect")) connect_often(word[2], atoi(word[3]), atof(word[4]), atoi(word[5]));
    else if (n == 5 && !strcmp(word[1], "ask")) ask(word[2], atof(word[3]), atof(word[4]));
    else return 2;
}

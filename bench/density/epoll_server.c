/* The least that a server of this protocol can cost: one process, one epoll set, OpenSSL, no records.
 *
 *   epoll_server CA KEY CERTIFICATE WELCOME PORT
 *
 * Mutual TLS 1.3 as the master has it. Of each link it reads frames (4 bytes of length, a kind), answers
 * an agent's hello with the frame in the file WELCOME, counts beats and acknowledges them; it decodes
 * nothing but a beat's sequence number. Prints "listening on 127.0.0.1:PORT". Errors end it. */

#define _GNU_SOURCE /* accept4 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

enum {
    BACKLOG = 4096,
    EVENTS = 512,
    FRAME_LIMIT = 256 * 1024,
    HELLO = 6, /* kinds of frames: docs/protocol.md */
    BEAT = 16,
    ACK = 17,
    LENGTH = 4,
    READ_AT_ONCE = 16 * 1024,
};

struct link {
    SSL *tls;
    int descriptor;
    int is_secured;
    size_t used, room; /* of what is in `rest`: the beginning of a frame */
    unsigned char *rest;
};

static unsigned char welcome[4096];
static size_t welcome_length;
static unsigned long long beats;

static void fail(const char *what)
{
    perror(what);
    ERR_print_errors_fp(stderr);
    exit(1);
}

static SSL_CTX *context(const char *ca, const char *key, const char *certificate)
{
    SSL_CTX *made = SSL_CTX_new(TLS_server_method());
    if (!made || !SSL_CTX_set_min_proto_version(made, TLS1_3_VERSION)) fail("TLS");
    if (SSL_CTX_use_certificate_file(made, certificate, SSL_FILETYPE_PEM) != 1) fail(certificate);
    if (SSL_CTX_use_PrivateKey_file(made, key, SSL_FILETYPE_PEM) != 1) fail(key);
    if (SSL_CTX_load_verify_locations(made, ca, NULL) != 1) fail(ca);
    SSL_CTX_set_verify(made, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(made),
                                X509_V_FLAG_X509_STRICT | X509_V_FLAG_NO_CHECK_TIME);
    SSL_CTX_set_num_tickets(made, 0);
    SSL_CTX_set_mode(made, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                               SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_AUTO_RETRY);
    return made;
}

static int listen_on(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    socklen_t length = sizeof address;
    int yes = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (listener < 0) fail("socket");
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(listener, (struct sockaddr *)&address, sizeof address)) fail("bind");
    if (listen(listener, BACKLOG)) fail("listen");
    if (getsockname(listener, (struct sockaddr *)&address, &length)) fail("getsockname");
    printf("listening on 127.0.0.1:%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return listener;
}

/* The length in bytes of the MessagePack integer at `at`: what a beat's sequence number takes. */
static size_t integer_length(unsigned char first)
{
    switch (first) {
    case 0xcc: return 2;
    case 0xcd: return 3;
    case 0xce: return 5;
    case 0xcf: return 9;
    default: return 1;
    }
}

static int say(struct link *link, const unsigned char *frame, size_t length)
{
    /* An answer is small and the kernel's buffer is not: a peer that does not read is cut. */
    return SSL_write(link->tls, frame, (int)length) == (int)length;
}

static int acknowledge(struct link *link, const unsigned char *body, size_t length)
{
    unsigned char frame[LENGTH + 2 + 18] = {0, 0, 0, 0, ACK, 0x92};
    if (length < 10) return 0;
    size_t size = integer_length(body[1]); /* behind the array's own header */
    memcpy(frame + 6, body + 1, size);
    memcpy(frame + 6 + size, body + 1, size);
    frame[3] = (unsigned char)(2 + 2 * size);
    beats++;
    return say(link, frame, 6 + 2 * size);
}

/* Answers every whole frame; returns how many bytes those were, or -1 for a peer to be cut. */
static long answer(struct link *link, const unsigned char *data, size_t length)
{
    size_t at = 0;
    while (length - at >= LENGTH + 1) {
        const unsigned char *head = data + at;
        size_t size = (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
        if (size == 0 || size > FRAME_LIMIT) return -1;
        if (length - at < LENGTH + size) break;
        if (head[LENGTH] == BEAT && !acknowledge(link, head + LENGTH + 1, size - 1)) return -1;
        if (head[LENGTH] == HELLO && !say(link, welcome, welcome_length)) return -1;
        at += LENGTH + size;
    }
    return (long)at;
}

static int make_room(struct link *link, size_t room)
{
    if (room > link->room) {
        unsigned char *larger = realloc(link->rest, room);
        if (!larger) return 0;
        link->rest = larger;
        link->room = room;
    }
    return 1;
}

/* Takes what was read, and keeps the beginning of a frame; 0 for a peer to be cut. */
static int take(struct link *link, const unsigned char *data, size_t length)
{
    long answered;
    if (link->used) {
        if (!make_room(link, link->used + length)) return 0;
        memcpy(link->rest + link->used, data, length);
        data = link->rest;
        length += link->used;
    }
    answered = answer(link, data, length);
    if (answered < 0) return 0;
    link->used = length - (size_t)answered;
    if (link->used) {
        if (!make_room(link, link->used)) return 0;
        memmove(link->rest, data + answered, link->used);
    } else {
        free(link->rest);
        link->rest = NULL;
        link->room = 0;
    }
    return 1;
}

/* Does all that can be done; 0 when the link is over. */
static int ready(struct link *link)
{
    static unsigned char data[READ_AT_ONCE];
    int got, reason;
    ERR_clear_error();
    if (!link->is_secured) {
        got = SSL_accept(link->tls);
        if (got != 1) {
            reason = SSL_get_error(link->tls, got);
            return reason == SSL_ERROR_WANT_READ || reason == SSL_ERROR_WANT_WRITE;
        }
        link->is_secured = 1;
    }
    while ((got = SSL_read(link->tls, data, sizeof data)) > 0)
        if (!take(link, data, (size_t)got)) return 0;
    reason = SSL_get_error(link->tls, got);
    return reason == SSL_ERROR_WANT_READ || reason == SSL_ERROR_WANT_WRITE;
}

static void end(struct link *link)
{
    SSL_free(link->tls);
    close(link->descriptor);
    free(link->rest);
    free(link);
}

static void welcome_all(int listener, int set, SSL_CTX *tls)
{
    for (int burst = 0; burst < 64; burst++) {
        struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET};
        int yes = 1, descriptor = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
        if (descriptor < 0) {
            if (errno != EAGAIN && errno != ECONNABORTED) fail("accept");
            return;
        }
        setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        struct link *link = calloc(1, sizeof *link);
        if (!link || !(link->tls = SSL_new(tls))) fail("memory");
        link->descriptor = descriptor;
        SSL_set_fd(link->tls, descriptor);
        SSL_set_accept_state(link->tls);
        event.data.ptr = link;
        if (epoll_ctl(set, EPOLL_CTL_ADD, descriptor, &event)) fail("epoll");
    }
}

int main(int count, char **given)
{
    struct epoll_event events[EVENTS];
    struct rlimit limit;
    if (count != 6) {
        fprintf(stderr, "usage: epoll_server CA KEY CERTIFICATE WELCOME PORT\n");
        return 2;
    }
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    FILE *file = fopen(given[4], "rb");
    if (!file) fail(given[4]);
    welcome_length = fread(welcome, 1, sizeof welcome, file);
    fclose(file);
    SSL_CTX *tls = context(given[1], given[2], given[3]);
    int set = epoll_create1(0), listener = listen_on(atoi(given[5]));
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    if (set < 0 || epoll_ctl(set, EPOLL_CTL_ADD, listener, &event)) fail("epoll");
    for (;;) {
        int found = epoll_wait(set, events, EVENTS, -1);
        for (int place = 0; place < found; place++) {
            struct link *link = events[place].data.ptr;
            if (!link) welcome_all(listener, set, tls);
            else if (!ready(link)) end(link);
        }
    }
}

/* The smallest reader of a channel's bus: attach, follow its rings, write slices to stdout. cc -O2 -o attach attach.c
   ./attach /run/channeld/bus/live1.sock | mpv -
   docs/bus-format.md says what everything here means. It ends with the connection; a real one connects again unless told `closed`. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { RING = 1, HEAD, ENDED, CLOSED, REFUSED };
struct request { char magic[8]; uint32_t version, wants; };
struct told { uint32_t kind, reason; uint64_t generation, head; char text[200]; };
struct record { uint64_t position; uint32_t length, flags; int64_t dts; uint32_t duration, zero; uint64_t published_ns; };

static volatile const uint64_t *words; /* the header; and the whole ring, byte by byte */
static const char *ring;
static uint64_t capacity, slots, page, mapped, next_slice, position; /* of the next byte to write */

static void fail(const char *what) { fprintf(stderr, "%s\n", what); exit(1); }

static void map(int fd) {
    struct stat facts;
    int seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0 || !(seals & F_SEAL_SHRINK) || fstat(fd, &facts)) fail("not sealed");
    if (ring) munmap((void *)ring, mapped);
    mapped = facts.st_size;
    ring = mmap(NULL, mapped, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    words = (volatile const uint64_t *)ring;
    if (ring == MAP_FAILED || memcmp(ring, "CHNLBUS1", 8)) fail("no ring of this layout");
    page = sysconf(_SC_PAGESIZE), capacity = words[2], slots = words[3];
}

static struct record record_of(uint64_t slice) {
    struct record found;
    memcpy(&found, ring + 8 * page + slice % slots * sizeof found, sizeof found);
    return found;
}

static uint64_t newest_random_access(uint64_t head) {
    for (uint64_t slice = head; slice && slice >= words[24]; slice--)
        if (record_of(slice).flags & 1) return slice;
    return head + 1;
}

static void write_all(const char *bytes, size_t count) {
    for (ssize_t done; count; bytes += done, count -= done)
        if ((done = write(1, bytes, count)) <= 0) exit(0); /* whoever read it went away */
}

static void read_up_to(uint64_t head) {
    static char copy[1 << 24];
    uint64_t data = (8 * page + slots * sizeof(struct record) + page - 1) / page * page;
    while (next_slice <= head) {
        struct record slice = record_of(next_slice);
        uint64_t start = slice.position % capacity, length = slice.length < sizeof copy ? slice.length : sizeof copy;
        uint64_t first = length < capacity - start ? length : capacity - start;
        memcpy(copy, ring + data + start, first);
        memcpy(copy + first, ring + data, length - first);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (next_slice < words[24]) { /* written over while we copied: what we have may be torn */
            if (head < words[24]) return; /* so is the head that we know of; a newer one is on its way */
            next_slice = newest_random_access(head);
            slice = record_of(next_slice <= head ? next_slice : head);
            uint64_t to = next_slice <= head ? slice.position : slice.position + slice.length;
            fprintf(stderr, "overrun: %llu bytes lost\n", (unsigned long long)(to - position));
            position = to;
            continue;
        }
        write_all(copy, length);
        position = slice.position + length;
        next_slice++;
    }
}

int main(int count, char **arguments) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct request request = {"CHNLATT1", 1, 1};
    int end = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (count != 2 || strlen(arguments[1]) >= sizeof address.sun_path) fail("usage: attach SOCKET");
    strcpy(address.sun_path, arguments[1]);
    if (connect(end, (struct sockaddr *)&address, sizeof address)) fail("nobody listens there, or we may not");
    send(end, &request, sizeof request, MSG_NOSIGNAL);
    for (;;) {
        struct told told = {0};
        union { char bytes[CMSG_SPACE(sizeof(int))]; struct cmsghdr align; } beside;
        struct iovec part = {&told, sizeof told};
        struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &beside, .msg_controllen = sizeof beside};
        ssize_t length = recvmsg(end, &message, MSG_CMSG_CLOEXEC);
        struct cmsghdr *found = CMSG_FIRSTHDR(&message);
        if (length < 24) fail("the connection ended");
        if (told.kind == CLOSED) return 0;
        if (told.kind == REFUSED) fprintf(stderr, "%.*s\n", (int)(length - 24), told.text), exit(1);
        if (told.kind == RING && found) {
            int is_first = !ring;
            map(*(int *)CMSG_DATA(found));
            next_slice = is_first ? newest_random_access(told.head) : 1; /* of a new ring everything */
            position = next_slice == 1 || next_slice > told.head ? 0 : record_of(next_slice).position;
        }
        if (ring && told.generation == words[1]) read_up_to(told.head);
    }
}

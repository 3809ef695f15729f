/* Put before docs/attach.c (cc -include): when each slice was there to be written, and how long it is, in place of its bytes. */
#include <stdint.h>
#include <time.h>
#include <unistd.h>

static ssize_t note_write(int fd, const void *bytes, size_t count) {
    struct timespec now;
    (void)bytes;
    clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t told[2] = {(uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec, count};
    return write(fd, told, sizeof told) == sizeof told ? (ssize_t)count : -1;
}
#define write note_write

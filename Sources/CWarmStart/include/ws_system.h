// System calls that Swift's Glibc does not import, or imports only as variadic functions.
#ifndef WS_SYSTEM_H
#define WS_SYSTEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Each returns 0 (or what is said) or, on failure, -errno.

// Fills `length` bytes with the kernel's random numbers; EINTR is waited out.
int ws_random_bytes(void *buffer, size_t length);

typedef struct {
  uint64_t size;                  // bytes
  int64_t modified_nanoseconds;   // since 1970
  uint64_t device, inode;
  uint32_t links;
  bool regular, directory;
} ws_status;

int ws_status_of(int descriptor, ws_status *status);

// Opens `name` below `directory` with O_CLOEXEC and the given flags; never blocks on a FIFO.
int ws_open_at(int directory, const char *name, int flags, uint32_t mode);

// Begins to write out `count` bytes of a file from `start` on, and does not wait until they are written; but it may
// have to wait until the disk takes more.
int ws_write_out(int descriptor, int64_t start, int64_t count);

// The calling thread gets the processor and the disk after others. Without permission it does not.
void ws_lower_priority(void);

// Calls `visit` with each name in the directory but "." and "..", from the start; stops early when
// it returns false.
int ws_list(int directory, bool (*visit)(void *context, const char *name), void *context);

#endif

#include "ws_system.h"
#include "ws_fork.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

int ws_random_bytes(void *buffer, size_t length) {
  uint8_t *p = buffer;
  while (length > 0) {
    ssize_t got = getrandom(p, length, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return -errno;
    p += got;
    length -= (size_t)got;
  }
  return 0;
}

// The C library's own fstat takes the way over a path, an empty one, and a tenth longer. Every lookup comes here.
static int status_of(int descriptor, struct stat *status) {
#if defined(__x86_64__) && !defined(__ILP32__)
  return (int)syscall(SYS_fstat, descriptor, status);  // whose struct is the C library's here
#else
  return fstat(descriptor, status);
#endif
}

int ws_status_of(int descriptor, ws_status *status) {
  struct stat s;
  if (status_of(descriptor, &s) != 0) return -errno;
  status->size = (uint64_t)s.st_size;
  status->modified_nanoseconds = (int64_t)s.st_mtim.tv_sec * 1000000000 + s.st_mtim.tv_nsec;
  status->device = (uint64_t)s.st_dev;
  status->inode = (uint64_t)s.st_ino;
  status->links = (uint32_t)s.st_nlink;
  status->regular = S_ISREG(s.st_mode);
  status->directory = S_ISDIR(s.st_mode);
  return 0;
}

int ws_open_at(int directory, const char *name, int flags, uint32_t mode) {
  for (;;) {
    int descriptor = openat(directory, name, flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, mode);
    if (descriptor >= 0) return descriptor;
    if (errno != EINTR) return -errno;
  }
}

struct entry {  // linux_dirent64
  uint64_t inode;
  int64_t offset;
  uint16_t length;
  uint8_t type;
  char name[];
};

int ws_list(int directory, bool (*visit)(void *context, const char *name), void *context) {
  // A descriptor of its own: the position in a directory belongs to the open file description.
  int own = ws_descriptor_open(directory, ".", O_RDONLY | O_DIRECTORY, 0);
  uint32_t generation = ws_fork_generation();
  if (own < 0) return own;
  char buffer[32768] __attribute__((aligned(8)));
  int result = 0;
  for (;;) {
    long got = syscall(SYS_getdents64, own, buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) result = -errno;
    if (got <= 0) break;
    for (long at = 0; at < got;) {
      struct entry *e = (struct entry *)(buffer + at);
      at += e->length;
      if (strcmp(e->name, ".") == 0 || strcmp(e->name, "..") == 0) continue;
      if (!visit(context, e->name)) goto done;
    }
  }
done:
  ws_descriptor_close(own, generation);
  return result;
}

void ws_lower_priority(void) {
  // IOPRIO_CLASS_BE at its lowest level; the C library has no name for any of it.
  enum { who_process = 1, best_effort = 2 << 13, lowest = 7, nice_by = 5 };
  pid_t thread = (pid_t)syscall(SYS_gettid);
  errno = 0;
  int nice_now = getpriority(PRIO_PROCESS, (id_t)thread);
  if (errno == 0) setpriority(PRIO_PROCESS, (id_t)thread, nice_now + nice_by);
  syscall(SYS_ioprio_set, who_process, 0, best_effort | lowest);
}

int ws_write_out(int descriptor, int64_t start, int64_t count) {
  return sync_file_range(descriptor, start, count, SYNC_FILE_RANGE_WRITE) == 0 ? 0 : -errno;
}

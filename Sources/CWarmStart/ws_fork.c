#include "ws_fork.h"
#include "ws_system.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

// Threads that have a part of a lock, each counted where no other thread writes, as a rule: threads that read together
// would otherwise wait for one another's line of the cache.
enum { part_count = ws_thread_numbers };
typedef struct {
  _Alignas(64) atomic_uint holders;
} ws_part;

// Biased towards readers, until somebody wants all of it: D. Dice and A. Kogan, "BRAVO: biased locking for
// reader-writer locks", USENIX ATC 2019. While nobody reads, who writes pays one look at a flag for it.
struct ws_lock {
  pthread_mutex_t mutex;
  ws_lock *next, **link;
  atomic_bool is_shared;
  bool shall_be_shared;  // guarded by the mutex
  ws_part *_Atomic parts;  // made when first shared
};

struct ws_condition {
  pthread_cond_t condition;
  ws_condition *next, **link;
};

static pthread_mutex_t registry = PTHREAD_MUTEX_INITIALIZER;
static ws_lock *locks;
static ws_condition *conditions;
static int *descriptors;
static size_t descriptor_count, descriptor_room;
static atomic_uint generation;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void must(int failed, const char *what) {
  if (!failed) return;
  fprintf(stderr, "WarmStart: %s failed (%d)\n", what, failed);
  abort();
}

// Most locks are held for some microseconds. Who finds one taken looks again for a moment before sleeping, since to
// fall asleep and to be woken takes longer than that.
static int lock_init(pthread_mutex_t *mutex) {
#ifdef PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP
  *mutex = (pthread_mutex_t)PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP;
  return 0;
#else
  return pthread_mutex_init(mutex, NULL);
#endif
}

static void before_fork(void) { pthread_mutex_lock(&registry); }
static void in_parent(void) { pthread_mutex_unlock(&registry); }

static void in_child(void) {
  for (size_t i = 0; i < descriptor_count; i++) close(descriptors[i]);
  descriptor_count = 0;
  for (ws_lock *lock = locks; lock; lock = lock->next) {
    lock_init(&lock->mutex);
    atomic_store(&lock->is_shared, false);
    lock->shall_be_shared = false;
    ws_part *parts = atomic_load(&lock->parts);
    for (int i = 0; parts && i < part_count; i++) atomic_store(&parts[i].holders, 0);
  }
  for (ws_condition *c = conditions; c; c = c->next) pthread_cond_init(&c->condition, NULL);
  pthread_mutex_init(&registry, NULL);
  atomic_fetch_add(&generation, 1);
}

static void install(void) {
  must(pthread_atfork(before_fork, in_parent, in_child), "pthread_atfork");
}

static void *new_item(size_t size) {
  pthread_once(&once, install);
  void *item = malloc(size);
  must(item ? 0 : ENOMEM, "malloc");
  return item;
}

#define LIST(item, head)                       \
  do {                                         \
    pthread_mutex_lock(&registry);             \
    (item)->next = (head);                     \
    (item)->link = &(head);                    \
    if (head) (head)->link = &(item)->next;    \
    (head) = (item);                           \
    pthread_mutex_unlock(&registry);           \
  } while (0)

#define UNLIST(item)                                       \
  do {                                                     \
    pthread_mutex_lock(&registry);                         \
    *(item)->link = (item)->next;                          \
    if ((item)->next) (item)->next->link = (item)->link;   \
    pthread_mutex_unlock(&registry);                       \
  } while (0)

ws_lock *ws_lock_create(void) {
  ws_lock *lock = new_item(sizeof *lock);
  must(lock_init(&lock->mutex), "pthread_mutex_init");
  atomic_init(&lock->is_shared, false);
  atomic_init(&lock->parts, NULL);
  lock->shall_be_shared = false;
  LIST(lock, locks);
  return lock;
}

void ws_lock_destroy(ws_lock *lock) {
  UNLIST(lock);
  pthread_mutex_destroy(&lock->mutex);
  free(atomic_load(&lock->parts));
  free(lock);
}

// With the mutex: nobody takes a part any more, and who had one has given it up.
static void take_back_parts(ws_lock *lock) {
  // In one total order with what a reader does: either it sees this, or its part is seen below.
  atomic_store(&lock->is_shared, false);
  ws_part *parts = atomic_load(&lock->parts);
  for (int i = 0; i < part_count; i++)
    for (int looks = 0; atomic_load(&parts[i].holders); looks++)
      // It may not run, and need this processor, and be of less priority.
      if (looks > 2000) nanosleep(&(struct timespec){.tv_nsec = 50000}, NULL);
      else if (looks > 1000) sched_yield();
}

void ws_lock_acquire(ws_lock *lock) {
  must(pthread_mutex_lock(&lock->mutex), "pthread_mutex_lock");
  if (atomic_load_explicit(&lock->is_shared, memory_order_relaxed)) take_back_parts(lock);
}

void ws_lock_release(ws_lock *lock) {
  if (lock->shall_be_shared) {
    lock->shall_be_shared = false;
    atomic_store_explicit(&lock->is_shared, true, memory_order_release);
  }
  must(pthread_mutex_unlock(&lock->mutex), "pthread_mutex_unlock");
}

unsigned ws_thread_number(void) {
  static atomic_uint threads;
  static _Thread_local unsigned number;
  if (!number) number = atomic_fetch_add(&threads, 1) % ws_thread_numbers + 1;
  return number - 1;
}

static ws_part *part_of_this_thread(ws_part *parts) { return parts + ws_thread_number(); }

void ws_lock_share(ws_lock *lock) {
  if (!atomic_load_explicit(&lock->parts, memory_order_relaxed)) {
    ws_part *parts = aligned_alloc(_Alignof(ws_part), part_count * sizeof *parts);
    if (!parts) return;
    for (int i = 0; i < part_count; i++) atomic_init(&parts[i].holders, 0);
    atomic_store(&lock->parts, parts);
  }
  lock->shall_be_shared = true;
}

bool ws_lock_try_shared(ws_lock *lock) {
  if (!atomic_load_explicit(&lock->is_shared, memory_order_acquire)) return false;
  ws_part *part =
      part_of_this_thread(atomic_load_explicit(&lock->parts, memory_order_relaxed));
  atomic_fetch_add(&part->holders, 1);
  if (atomic_load(&lock->is_shared)) return true;
  atomic_fetch_sub(&part->holders, 1);
  return false;
}

void ws_lock_release_shared(ws_lock *lock) {
  ws_part *part =
      part_of_this_thread(atomic_load_explicit(&lock->parts, memory_order_relaxed));
  atomic_fetch_sub_explicit(&part->holders, 1, memory_order_release);
}

ws_condition *ws_condition_create(void) {
  ws_condition *condition = new_item(sizeof *condition);
  must(pthread_cond_init(&condition->condition, NULL), "pthread_cond_init");
  LIST(condition, conditions);
  return condition;
}

void ws_condition_destroy(ws_condition *condition) {
  UNLIST(condition);
  pthread_cond_destroy(&condition->condition);
  free(condition);
}

void ws_condition_wait(ws_condition *condition, ws_lock *lock) {
  must(pthread_cond_wait(&condition->condition, &lock->mutex), "pthread_cond_wait");
  if (atomic_load_explicit(&lock->is_shared, memory_order_relaxed)) take_back_parts(lock);
}

void ws_condition_wake_all(ws_condition *condition) {
  must(pthread_cond_broadcast(&condition->condition), "pthread_cond_broadcast");
}

uint32_t ws_fork_generation(void) { return atomic_load_explicit(&generation, memory_order_relaxed); }

int ws_descriptor_open(int directory, const char *name, int flags, uint32_t mode) {
  pthread_once(&once, install);
  // Opened under the lock: a fork between opening and listing would leave the child a descriptor
  // nobody knows, and with it the parent's lock on the file.
  pthread_mutex_lock(&registry);
  int descriptor = ws_open_at(directory, name, flags, mode);
  if (descriptor >= 0) {
    if (descriptor_count == descriptor_room) {
      descriptor_room = descriptor_room ? 2 * descriptor_room : 64;
      descriptors = realloc(descriptors, descriptor_room * sizeof *descriptors);
      must(descriptors ? 0 : ENOMEM, "realloc");
    }
    descriptors[descriptor_count++] = descriptor;
  }
  pthread_mutex_unlock(&registry);
  return descriptor;
}

int ws_descriptor_close(int descriptor, uint32_t opened_in) {
  if (opened_in != ws_fork_generation()) return 0;
  int failed = 0;
  pthread_mutex_lock(&registry);
  for (size_t i = descriptor_count; i-- > 0;)
    if (descriptors[i] == descriptor) {
      descriptors[i] = descriptors[--descriptor_count];
      break;
    }
  // Closed under the lock: a fork between the two would leave the child a descriptor nobody knows.
  if (close(descriptor) != 0) failed = errno;
  pthread_mutex_unlock(&registry);
  return failed;
}

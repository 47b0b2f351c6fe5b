#include "ws_fork.h"
#include "ws_system.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct ws_lock {
  pthread_mutex_t mutex;
  ws_lock *next, **link;
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
  for (ws_lock *lock = locks; lock; lock = lock->next) lock_init(&lock->mutex);
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
  LIST(lock, locks);
  return lock;
}

void ws_lock_destroy(ws_lock *lock) {
  UNLIST(lock);
  pthread_mutex_destroy(&lock->mutex);
  free(lock);
}

void ws_lock_acquire(ws_lock *lock) { must(pthread_mutex_lock(&lock->mutex), "pthread_mutex_lock"); }
void ws_lock_release(ws_lock *lock) {
  must(pthread_mutex_unlock(&lock->mutex), "pthread_mutex_unlock");
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

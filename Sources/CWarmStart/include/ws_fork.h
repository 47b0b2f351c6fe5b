// Locks, conditions and descriptors that are put right in the child of a fork; and numbers for threads.
//
// A fork copies one thread and every descriptor, lock and mutex in whatever state it is. The child
// must neither keep the parent's file locks alive nor wait for threads that it does not have. So
// every lock, condition and descriptor of the store is listed here; a handler that runs in the child
// closes the listed descriptors, makes the locks and conditions new, and counts up the generation,
// by which the store sees that what it holds was its parent's. Nothing is ever unlocked: closing the
// child's copy leaves the parent's lock on the file as it was.
#ifndef WS_FORK_H
#define WS_FORK_H

#include <stdbool.h>
#include <stdint.h>

typedef struct ws_lock ws_lock;
typedef struct ws_condition ws_condition;

// Never NULL: running out of memory for a lock ends the process.
ws_lock *ws_lock_create(void);
void ws_lock_destroy(ws_lock *);
void ws_lock_acquire(ws_lock *);
void ws_lock_release(ws_lock *);

// Takes part of the lock, with others that do the same, if it can be had without waiting: not while somebody has
// all of it, and only if ws_lock_share was called since somebody had. Must be given up by the same thread, soon:
// who wants all of the lock looks again and again until then.
bool ws_lock_try_shared(ws_lock *);
void ws_lock_release_shared(ws_lock *);
// By who has all of it: from its release on parts may be had, if there is memory to count them in.
void ws_lock_share(ws_lock *);

ws_condition *ws_condition_create(void);
void ws_condition_destroy(ws_condition *);
// Waits with the lock held, as pthread_cond_wait does: it may wake for no reason.
void ws_condition_wait(ws_condition *, ws_lock *);
void ws_condition_wake_all(ws_condition *);

// The number of the calling thread, of so many, given out in turn: for what few threads should share.
enum { ws_thread_numbers = 16 };
unsigned ws_thread_number(void);

// Counts the forks between the first process of this line and the calling one.
uint32_t ws_fork_generation(void);

// As ws_open_at; the descriptor is closed in every child that a fork makes from its first moment on.
int ws_descriptor_open(int directory, const char *name, int flags, uint32_t mode);
// Takes it off the list and closes it, unless `generation` is of a parent: then the child's handler
// closed it already, and the number may belong to someone else. Returns 0 or errno.
int ws_descriptor_close(int descriptor, uint32_t generation);

#endif

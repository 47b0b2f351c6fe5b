// Memory that threads change while others look at it, each by itself and in no order.
#ifndef WS_SHARED_H
#define WS_SHARED_H

#include <stddef.h>
#include <stdint.h>

static inline uint32_t ws_shared_load(const uint32_t *at) {
  return __atomic_load_n(at, __ATOMIC_RELAXED);
}

static inline void ws_shared_store(uint32_t *at, uint32_t value) {
  __atomic_store_n(at, value, __ATOMIC_RELAXED);
}

// Makes it the value, unless it is that or more.
static inline void ws_shared_raise(uint32_t *at, uint32_t value) {
  uint32_t present = ws_shared_load(at);
  while (present < value &&
         !__atomic_compare_exchange_n(at, &present, value, 1, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
  }
}

// Memory for a table that is read at random: of large ones in the processor's large pages, where the system has them,
// since it can look up the places of few small ones at once. Never NULL: running out of memory ends the process, as it
// does wherever Swift takes memory.
void *ws_table_create(size_t length);

// Gives it more bytes than it had; where it is then. A large one is not copied: its pages get other addresses.
void *ws_table_grow(void *table, size_t length, size_t larger);

// Gives back memory of as many bytes as it was created with, or has grown to.
void ws_table_free(void *table, size_t length);

// Memory for so many elements, all zero; where they are many, those that are never written to take none. For free(). Never NULL.
void *ws_table_of_zeros(size_t count, size_t stride);

// That memory will be read soon. It need not be there.
static inline void ws_prefetch(const void *at) { __builtin_prefetch(at); }

#endif

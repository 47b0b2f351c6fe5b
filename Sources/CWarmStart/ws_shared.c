#include "ws_shared.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { large_page = 2 << 20 };

static int is_large(size_t length) { return length >= 2 * large_page; }

static size_t rounded(size_t length) {
  return (length + large_page - 1) / large_page * large_page;
}

// Addresses that begin with a large page; NULL if there are none.
static void *place_for(size_t length) {
  size_t room = length + large_page;
  char *start = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (start == MAP_FAILED) return NULL;
  size_t before = (large_page - (uintptr_t)start % large_page) % large_page;
  if (before) munmap(start, before);
  munmap(start + before + length, room - before - length);
  return start + before;
}

static void *never_null(void *memory, size_t length) {
  if (memory) return memory;
  fprintf(stderr, "WarmStart: no memory for a table of %zu bytes\n", length);
  abort();
}

void *ws_table_of_zeros(size_t count, size_t stride) {
  return never_null(calloc(count, stride), count * stride);
}

void *ws_table_create(size_t length) {
  void *memory =
      never_null(is_large(length) ? place_for(rounded(length)) : malloc(length), length);
  // No more than a wish.
  if (is_large(length)) madvise(memory, rounded(length), MADV_HUGEPAGE);
  return memory;
}

void ws_table_free(void *table, size_t length) {
  if (is_large(length)) munmap(table, rounded(length));
  else free(table);
}

void *ws_table_grow(void *table, size_t length, size_t larger) {
  if (is_large(length) && rounded(larger) == rounded(length)) return table;
  void *place = ws_table_create(larger);
  if (is_large(length)) {
    int flags = MREMAP_MAYMOVE | MREMAP_FIXED;
    if (mremap(table, rounded(length), rounded(larger), flags, place) == place) return place;
    // The system may have given up these addresses before it failed, and another thread may have them by now: so
    // they are not given back.
    place = ws_table_create(larger);
  }
  memcpy(place, table, length);
  ws_table_free(table, length);
  return place;
}

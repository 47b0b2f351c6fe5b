#include "ws_shared.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { large_page = 2 << 20 };

void *ws_table_create(size_t length) {
  int is_large = length >= 2 * large_page;
  size_t rounded = (length + large_page - 1) / large_page * large_page;
  void *memory = is_large ? aligned_alloc(large_page, rounded) : malloc(length);
  if (!memory) {
    fprintf(stderr, "WarmStart: no memory for a table of %zu bytes\n", length);
    abort();
  }
  // No more than a wish.
  if (is_large) madvise(memory, rounded, MADV_HUGEPAGE);
  return memory;
}

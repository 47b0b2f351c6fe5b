#include "ws_shared.h"

#include <stdlib.h>
#include <sys/mman.h>

enum { large_page = 2 << 20 };

void *ws_table_create(size_t length) {
  if (length < 2 * large_page) return malloc(length);
  size_t rounded = (length + large_page - 1) / large_page * large_page;
  void *memory = aligned_alloc(large_page, rounded);
  // No more than a wish.
  if (memory) madvise(memory, rounded, MADV_HUGEPAGE);
  return memory;
}

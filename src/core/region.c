#include "core/region.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_BYTES = 16384, ALIGNMENT = 16 };

struct dt_region_block {
  struct dt_region_block *older;
  size_t used, bytes;
  _Alignas(ALIGNMENT) char data[];
};

dt_status dt_region_alloc(dt_region *region, size_t bytes, void *out_pointer) {
  size_t need = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
  struct dt_region_block *block = region->block;
  if (block == NULL || block->bytes - block->used < need) {
    size_t size = need > BLOCK_BYTES ? need : BLOCK_BYTES;
    DT_TRY(dt_alloc(1, sizeof *block + size, &block));
    block->older = region->block;
    block->bytes = size;
    region->block = block;
  }
  void *memory = block->data + block->used;
  block->used += need;
  memcpy(out_pointer, &memory, sizeof memory);
  return DT_OK;
}

dt_status dt_region_vformat(dt_region *region, const char **out, const char *format, va_list args) {
  va_list again;
  va_copy(again, args);
  size_t length = (size_t)vsnprintf(NULL, 0, format, args);
  char *text;
  dt_status status = dt_region_alloc(region, length + 1, &text);
  if (status == DT_OK) {
    vsnprintf(text, length + 1, format, again);
    *out = text;
  }
  va_end(again);
  return status;
}

dt_status dt_region_format(dt_region *region, const char **out, const char *format, ...) {
  va_list args;
  va_start(args, format);
  dt_status status = dt_region_vformat(region, out, format, args);
  va_end(args);
  return status;
}

void dt_region_free(dt_region *region) {
  while (region->block != NULL) {
    struct dt_region_block *older = region->block->older;
    free(region->block);
    region->block = older;
  }
}

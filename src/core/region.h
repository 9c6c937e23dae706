/* A region: memory that is handed out in small pieces and freed all at once. Graphs and programs keep their names and attrs
 * in one. */
#ifndef DT_CORE_REGION_H
#define DT_CORE_REGION_H

#include <stdarg.h>

#include "core/status.h"

typedef struct dt_region {
  struct dt_region_block *block; /* newest first */
} dt_region;

/* Zeroed, aligned to 16 bytes. DT_MEMORY. */
dt_status dt_region_alloc(dt_region *region, size_t bytes, void *out_pointer);
/* A formatted text in the region. DT_MEMORY. */
dt_status dt_region_format(dt_region *region, const char **out, const char *format, ...) __attribute__((format(printf, 3, 4)));
dt_status dt_region_vformat(dt_region *region, const char **out, const char *format, va_list args)
    __attribute__((format(printf, 3, 0)));
void dt_region_free(dt_region *region);

#endif

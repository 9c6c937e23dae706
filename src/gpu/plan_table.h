/* A plan table: choices among a library's engines that were made by timing, once and ahead, kept as text.
 *
 *   # a comment
 *   [NVIDIA H200, sm_90, 132 multiprocessors, cuDNN 9.19.0, cuBLASLt 13.2.1]
 *   conv_fwd bf16 x 64x56x56x64 w 64x3x3x64 stride 1x1 pad 1x1 = engine 46 k2=11 k12=0 # 61.3 us, heuristics 71.2 us
 *
 * A line in brackets names the GPU and the libraries that the lines below it are for, and they count nowhere else. */
#ifndef DT_GPU_PLAN_TABLE_H
#define DT_GPU_PLAN_TABLE_H

#include <stdbool.h>

#include "core/status.h"

enum { DT_GPU_MACHINE_TEXT = 384, DT_GPU_WHAT_TEXT = 256, DT_GPU_CHOICE_TEXT = 448 };

typedef struct dt_gpu_plan_entry {
  const char *what, *choice, *note; /* the note follows '#'; NULL for none */
  const char *file;                 /* where it was read */
  int line;
} dt_gpu_plan_entry;

typedef struct dt_gpu_plan_table dt_gpu_plan_table;

/* Reads a file, or all files *.txt of a folder in the order of their names, and keeps what is for `machine`. needed: it is an
 * error if that is nothing. *out is NULL when there is nothing. DT_USAGE with place and remedy, DT_MEMORY. */
dt_status dt_gpu_plan_table_open(const char *path, const char *machine, bool needed, dt_gpu_plan_table **out);
/* NULL when there is none; table may be NULL. */
const dt_gpu_plan_entry *dt_gpu_plan_table_find(const dt_gpu_plan_table *table, const char *what);
void dt_gpu_plan_table_close(dt_gpu_plan_table **table);

/* Writes a file with these entries for `machine`; what else was in it stays. DT_USAGE, DT_ENVIRONMENT, DT_MEMORY. */
dt_status dt_gpu_plan_table_save(const char *path, const char *machine, const dt_gpu_plan_entry *entry, int count);

#endif

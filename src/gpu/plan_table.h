/* A plan table: choices among a library's engines that were made by timing, once and ahead, kept as text.
 *
 *   # a comment
 *   [NVIDIA H200, sm_90, 132 multiprocessors, cuDNN 9.19.0, cuBLASLt 13.1.0]
 *   linear_dgrad bf16 samples 64 inputs 2048 outputs 1000 = algorithm EIGHT-WORDS # 9.10 us, the heuristics' choice
 *   conv_dgrad bf16 x 64x8x8x64 y 8x8x64 kernel 3x3 stride 1x1 pad 1x1 dilation 1x1 groups 1 = engine 46 k2=11 # 6.13 us
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

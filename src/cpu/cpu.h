/* Inside the cpu device: layout, threads, and the table of vector kernels.
 *
 * Layout. A shard is ceil(shard_capacity / 16) blocks; a VALUE is [shard][block][C][H][W][16] floats, sample b*16+l of the
 * shard in lane l of block b; places beyond the shard's filled count hold zeros where a sum could see them. INDEX is the same
 * in bytes. SHARD is [shard][shape]. Parameters and gradients are in logical order (core/program/graph.h); kernels pack what
 * they need into WORK.
 *
 * Order of sums, so that bits depend on nothing but our code. Within a sample: as each kernel states, by fma. Convolution and
 * bias gradients: each block's sum over its positions in scan order, lane by lane, then v16_sum; blocks of a shard, then
 * shards, by the tree (core/tree.h). Linear weight gradients: over a shard's samples in order, then shards by the tree. What is
 * longer than a run (cpu/simd/sums.h) leaves floats for doubles.
 * Threads take whole blocks or whole tiles of the output and never share a sum. */
#ifndef DT_CPU_CPU_H
#define DT_CPU_CPU_H

#include "core/device.h"

typedef struct dt_threads dt_threads;

/* Starts so many threads (the caller is one of them). spin: wait by spinning for a while before sleeping; without it, waiting
 * threads sleep at once, for ranks that share cores. Returns new. */
dt_status dt_threads_create(int threads, bool spin, dt_threads **out);
void dt_threads_destroy(dt_threads **threads);
int dt_threads_count(const dt_threads *threads);
/* Runs task(context, index, thread) for index in [0, count), dealt out dynamically; returns when all are done. thread is in
 * [0, threads): for per-thread scratch. A single task, or one thread, runs on the caller at once. */
typedef void dt_task(void *context, int index, int thread);
void dt_threads_run(dt_threads *threads, int count, dt_task *task, void *context);

typedef struct dt_cpu_kernels dt_cpu_kernels; /* cpu/simd/kernels.h */

typedef struct dt_cpu dt_cpu;
struct dt_cpu {
  dt_device base;
  dt_threads *threads;
  struct dt_blas *blas; /* cpu/blas.h; NULL unless math: blas */
  const dt_cpu_kernels *kernels;
  const char *isa; /* "avx512", "avx2", "plain" */
};

/* Addresses for kernels: the memory of a buffer in this run, for the micro-batch's partial sum where it is a gradient. NULL for
 * absent. */
float *dt_cpu_buffer(const dt_run *run, const dt_micro_batch *micro, int buffer);
static inline float *dt_cpu_arg(const dt_run *run, const dt_instr *instr, const dt_micro_batch *micro, dt_arg arg) {
  return dt_cpu_buffer(run, micro, instr->arg[arg]);
}
static inline int dt_cpu_shard_blocks(const dt_program *program) {
  return (int)((program->shard_capacity + 15) / 16);
}

#endif

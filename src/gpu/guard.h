/* Guards, for looking for kernels that read or write beyond their buffers: all buffers lie in one arena, where neither CUDA nor
 * compute-sanitizer tells them apart. With DTRAIN_GPU_GUARDS=1 each has bytes behind it that belong to nobody, and is filled
 * with them - NaN in every float type - when its life begins, so that what is read before it was written, or beyond the end,
 * shows in the numbers; a guard that was written ends the run. The bits of a run without a mistake stay the same. */
#ifndef DT_GPU_GUARD_H
#define DT_GPU_GUARD_H

#include "gpu/gpu.h"

enum { DT_GPU_GUARD_BYTES = 4096 }; /* a multiple of DT_GPU_ALIGN */

#ifdef __cplusplus
extern "C" {
#endif

bool dt_gpu_guards(void);
/* DT_ENVIRONMENT where the variable is neither 0 nor 1. */
dt_status dt_gpu_guards_check(void);
/* What gpu->base.buffer_bytes and work_bytes add to a buffer that is not empty. */
static inline size_t dt_gpu_guarded(size_t bytes) {
  return bytes > 0 && dt_gpu_guards() ? bytes + DT_GPU_GUARD_BYTES : bytes;
}
/* Before an instruction's kernel: fills the buffers whose life it begins. Asynchronous, on the instruction's stream. */
dt_status dt_gpu_guard_begin(dt_run *run, const dt_instr *instr);
/* Behind it: looks at the guards of buffers whose life it ends; a kernel traps where one was written. Likewise. */
dt_status dt_gpu_guard_end(dt_run *run, const dt_instr *instr);

#ifdef __cplusplus
}
#endif

#endif

/* Engines that must not compute although cuDNN's notes say nothing against them: what has been reported of them, as data. */
#ifndef DT_GPU_ERRATA_H
#define DT_GPU_ERRATA_H

#include "gpu/libraries.h"

typedef struct dt_gpu_erratum {
  dt_op op; /* DT_OP_COUNT: every convolution */
  int engine;
  const char *knobs;                     /* only with these: " k2=2 k4=3"; NULL: whatever they are */
  size_t cudnn_first, cudnn_end;         /* versions [first, end), as cudnnGetVersion gives them; end 0: all later ones */
  size_t cublas_end;                     /* only with a cuBLASLt before this version; 0: with any */
  int capability_first, capability_last; /* 860 is 8.6; last 0: all later ones */
  const char *why, *source;
} dt_gpu_erratum;

/* What is known against a choice ("engine 5 fused k2=1") for an operation on this GPU with these libraries; NULL: nothing. */
const dt_gpu_erratum *dt_gpu_erratum_find(const dt_gpu *gpu, dt_op op, const char *choice);

#endif

/* A convolution by cuDNN's graph API: the graph of one instruction, and the execution plan chosen for it. */
#ifndef DT_GPU_CONV_PLAN_H
#define DT_GPU_CONV_PLAN_H

#include "gpu/conv_direct.h"
#include "gpu/libraries.h"

enum { DT_GPU_CONV_PARTS = 20 };

typedef struct dt_gpu_conv_plan {
  dt_gpu_plan base; /* not found: the direct kernels compute it */
  dt_gpu_conv conv; /* what it computes */
  cudnnBackendDescriptor_t plan;
  cudnnBackendDescriptor_t part[DT_GPU_CONV_PARTS]; /* what the plan is made of, destroyed with it */
  int part_count;
  cudnnStatus_t refusal; /* the last that an engine gave */
} dt_gpu_conv_plan;

/* Finds the plan for a convolution or makes it: of one shard as the plan table says or else as the heuristics do, of several
 * with the choice of one shard's. The list in gpu->libraries keeps it. DT_ENVIRONMENT, DT_MEMORY; DT_USAGE for an entry of the
 * table that can't be used. */
dt_status dt_gpu_conv_plan_get(const dt_gpu *gpu, const dt_gpu_conv *conv, dt_gpu_conv_plan **out);

/* dt_gpu_library's rows for a convolution that is known. */
void dt_gpu_conv_plan_what(const dt_gpu *gpu, const dt_gpu_conv *conv, char *text);
dt_status dt_gpu_conv_plan_make(const dt_gpu *gpu, const dt_gpu_conv *conv, const char *choice, dt_gpu_plan **out);
dt_status dt_gpu_conv_plan_offer(const dt_gpu *gpu, const dt_gpu_conv *conv, dt_gpu_offers *offers);
void dt_gpu_conv_plan_destroy(dt_gpu_plan *plan);

/* Device memory of a convolution; what the operation does not have is NULL. X and Y are DX and DY in the backward. */
typedef struct dt_gpu_conv_data {
  const void *x, *w, *y, *bias;
} dt_gpu_conv_data;
/* Enqueues a plan of cuDNN's. workspace: plan->base.workspace bytes. */
dt_status dt_gpu_conv_execute(const dt_gpu *gpu, const dt_gpu_conv_plan *plan, const dt_gpu_conv_data *data, void *workspace,
                              cudaStream_t stream);

#endif

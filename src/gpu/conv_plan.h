/* A convolution by cuDNN's graph API: the graph of one instruction, and the execution plan chosen for it. */
#ifndef DT_GPU_CONV_PLAN_H
#define DT_GPU_CONV_PLAN_H

#include "gpu/conv_direct.h"
#include "gpu/libraries.h"

enum { DT_GPU_CONV_PARTS = 16 };

struct dt_gpu_conv_plan {
  dt_gpu_conv_plan *next;
  dt_gpu_conv conv;              /* what it computes */
  cudnnBackendDescriptor_t plan; /* NULL: cuDNN has none, the direct kernels compute it */
  bool fused;                    /* bias and relu are in the plan, as far as the instruction has them */
  size_t workspace;
  char text[DT_GPU_CHOICE_TEXT];
  cudnnBackendDescriptor_t part[DT_GPU_CONV_PARTS]; /* what the plan is made of, destroyed with it */
  int part_count;
};

/* Finds the plan for a convolution or makes it; the list in gpu->libraries keeps it. DT_ENVIRONMENT, DT_MEMORY. */
dt_status dt_gpu_conv_plan_get(const dt_gpu *gpu, const dt_gpu_conv *conv, const dt_gpu_conv_plan **out);

/* Device memory of a convolution; what the operation does not have is NULL. X and Y are DX and DY in the backward. */
typedef struct dt_gpu_conv_data {
  const void *x, *w, *y, *bias;
} dt_gpu_conv_data;
/* Enqueues a plan of cuDNN's. workspace: plan->workspace bytes. */
dt_status dt_gpu_conv_execute(const dt_gpu *gpu, const dt_gpu_conv_plan *plan, const dt_gpu_conv_data *data, void *workspace,
                              cudaStream_t stream);

#endif

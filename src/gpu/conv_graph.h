/* A convolution as a graph of cuDNN's backend: its tensors, the operation, and after a forward one bias and relu. */
#ifndef DT_GPU_CONV_GRAPH_H
#define DT_GPU_CONV_GRAPH_H

#include "gpu/conv_plan.h"

/* What the tensors of a graph are called, also when it is executed. */
enum { DT_GPU_UID_X = 1, DT_GPU_UID_W, DT_GPU_UID_Y, DT_GPU_UID_BIAS };

/* Building a graph hands cuDNN's code on: some say that cuDNN has nothing for such a convolution, which is no error. */
#define DT_CUDNN_TRY(call)                                   \
  do {                                                       \
    cudnnStatus_t try_code_ = (call);                        \
    if (try_code_ != CUDNN_STATUS_SUCCESS) return try_code_; \
  } while (0)

/* Makes the finalized graph of plan->conv, with bias and relu in it where plan->base.fused says so. It is kept as parts of the
 * plan, whether it succeeds or not. */
cudnnStatus_t dt_gpu_conv_graph(const dt_gpu *gpu, dt_gpu_conv_plan *plan, cudnnBackendDescriptor_t *out);

/* Creates a descriptor that is destroyed with the plan. */
cudnnStatus_t dt_gpu_conv_part(dt_gpu_conv_plan *plan, cudnnBackendDescriptorType_t type, cudnnBackendDescriptor_t *out);
cudnnStatus_t dt_gpu_set_int64(cudnnBackendDescriptor_t to, cudnnBackendAttributeName_t name, int64_t count,
                               const int64_t *value);
cudnnStatus_t dt_gpu_set_descriptor(cudnnBackendDescriptor_t to, cudnnBackendAttributeName_t name,
                                    cudnnBackendDescriptor_t value);

#endif

/* Convolutions by dtrain's own plain kernels: any window, stride, padding, dilation and groups, sums in an order that shapes
 * fix. They compute what cuDNN has no plan for. */
#ifndef DT_GPU_CONV_DIRECT_H
#define DT_GPU_CONV_DIRECT_H

#include "gpu/gpu.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What a convolution computes. Images are [samples][H][W][C], weights [O][KH][KW][I / groups]. */
typedef struct dt_gpu_conv {
  dt_op op;          /* CONV_FWD, CONV_DGRAD, CONV_WGRAD */
  dt_gpu_image x, y; /* DX and DY in the backward */
  dt_window window;
  int groups;
  int shards; /* whose samples these are; of CONV_WGRAD 1 */
  bool bias;  /* CONV_FWD: a bias is added */
  dt_act act; /* CONV_FWD */
} dt_gpu_conv;

/* y = act(conv(x, w) + bias); bias [O] in float, NULL for none. */
dt_status dt_gpu_conv_direct_fwd(dt_gpu_type type, const dt_gpu_conv *conv, const void *x, const void *w, const float *bias,
                                 void *y, cudaStream_t stream);
/* dx = (transpose of conv)(dy, w) */
dt_status dt_gpu_conv_direct_dgrad(dt_gpu_type type, const dt_gpu_conv *conv, const void *dy, const void *w, void *dx,
                                   cudaStream_t stream);
/* dw = sum over samples and positions of dy * x, in float */
dt_status dt_gpu_conv_direct_wgrad(dt_gpu_type type, const dt_gpu_conv *conv, const void *x, const void *dy, float *dw,
                                   cudaStream_t stream);
/* y[row][c] = act(y[row][c] + bias[c]) in place, where a library did not add the bias itself. */
dt_status dt_gpu_apply_bias(dt_gpu_type type, dt_act act, const float *bias, int64_t rows, int64_t columns, void *y,
                            cudaStream_t stream);

#ifdef __cplusplus
}
#endif

#endif

/* A convolution instruction on this device: shapes, blocks and how the work is dealt out. */
#ifndef DT_CPU_SIMD_CONV_JOB_H
#define DT_CPU_SIMD_CONV_JOB_H

#include "cpu/cpu.h"
#include "cpu/simd/conv_sweep.h"

typedef struct conv_shape {
  dt_conv_op op;
  int in[3], out[3];               /* C, H, W of x and of the convolution's own output (before a fused pool) */
  int in_channels, out_channels;   /* of a group */
  ptrdiff_t in_plane, out_plane;   /* floats of one channel of a block */
  size_t weights;                  /* elements of w */
} conv_shape;

static inline conv_shape conv_shape_make(const dt_conv_op *op, const dt_shape *in, int out_channels) {
  conv_shape s = {.op = *op};
  for (int i = 0; i < 3; i++) s.in[i] = (int)in->dim[i];
  s.out[0] = out_channels;
  const dt_window *w = &op->window;
  for (int a = 0; a < 2; a++) {
    s.out[1 + a] = (s.in[1 + a] + 2 * w->pad[a] - w->dilation[a] * (w->kernel[a] - 1) - 1) / w->stride[a] + 1;
  }
  s.in_channels = s.in[0] / op->groups;
  s.out_channels = s.out[0] / op->groups;
  s.in_plane = (ptrdiff_t)s.in[1] * s.in[2] * 16;
  s.out_plane = (ptrdiff_t)s.out[1] * s.out[2] * 16;
  s.weights = (size_t)s.out[0] * (size_t)s.in_channels * (size_t)w->kernel[0] * (size_t)w->kernel[1];
  return s;
}

static inline size_t conv_round64(size_t bytes) {
  return (bytes + 63) / 64 * 64;
}

/* How many parts a block's tiles are cut into, so that every thread has work to the end. Never changes a bit. */
static inline int conv_parts(int blocks, int tiles, int threads) {
  if (blocks % threads == 0) return 1;
  int parts = (4 * threads + blocks - 1) / blocks;
  return parts < tiles ? parts : tiles;
}

#endif

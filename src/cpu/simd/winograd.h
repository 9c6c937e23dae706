/* Convolution of 3x3 with stride 1 by Winograd's F(4x4, 3x3): 36 multiplications for 16 outputs and a channel instead of 144.
 *
 * Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (2016), section 4.3. A 6x6 patch of the input d gives a
 * 4x4 tile of outputs: A^T [sum over input channels of (G g G^T) * (B^T d B)] A. It serves forward and the gradient of the
 * input alike, as both are sweeps over outputs (conv_sweep.h). Error: about 1e-6 of the outputs' size. */
#ifndef DT_CPU_SIMD_WINOGRAD_H
#define DT_CPU_SIMD_WINOGRAD_H

#include "cpu/cpu.h"
#include "cpu/simd/conv_sweep.h"

enum { WINOGRAD_CHANNELS = 12, WINOGRAD_OUTPUT = 4, WINOGRAD_PATCH = 6, WINOGRAD_FREQUENCIES = 36 };

/* Whether a phase goes this way: the only place that decides, by shape alone, so that the same network has the same bits
 * everywhere. Fewer channels leave the transforms too little to save; an image that fills its tiles badly wastes outputs. */
static inline bool winograd_serves(const conv_phase *phase) {
  if (phase->groups != 1 || phase->in_channels < WINOGRAD_CHANNELS || phase->out_channels < WINOGRAD_CHANNELS) return false;
  int64_t tiles = 1, outputs = 1;
  for (int a = 0; a < 2; a++) {
    const conv_axis *axis = &phase->axis[a];
    if (axis->taps != 3 || axis->step != 1 || axis->out_step != 1 || axis->tap_step != 1) return false;
    tiles *= conv_pieces(axis->out, WINOGRAD_OUTPUT);
    outputs *= axis->out;
  }
  return 3 * WINOGRAD_FREQUENCIES * tiles <= 2 * 9 * outputs;
}

/* Bytes of scratch, which lie at phase->packed. */
size_t DT_SIMD(winograd_work)(const conv_phase *phase, int threads);
/* Computes all outputs of the phase; place is that of block 0. */
void DT_SIMD(winograd_run)(dt_threads *threads, const conv_phase *phase, const conv_place *place, int blocks);

#define winograd_work DT_SIMD(winograd_work)
#define winograd_run DT_SIMD(winograd_run)

#endif

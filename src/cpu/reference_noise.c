/* Gaussian noise by the transform of Box and Muller ("A note on the generation of random normal deviates", 1958): of two
 * uniform numbers, u in (0, 1] and v in [0, 1), it makes two normal ones, sqrt(-2 ln u) times the cosine and the sine of 2 pi
 * v. */
#include <math.h>

#include "core/rng.h"
#include "cpu/reference.h"

static double normal(const dt_reference_sample *at, int64_t element) {
  const uint64_t place = (uint64_t)(at->micro->batch->position[at->shard] + at->position);
  const uint64_t stream = (uint64_t)at->instr->noise.layer << 32 | place;
  const dt_rng_block block =
      dt_rng(at->run->seed, DT_RNG_NOISE, (uint64_t)at->run->step->samples_seen, stream, (uint32_t)(element / 4));
  const uint32_t *pair = &block.word[element % 4 / 2 * 2];
  const double u = (double)dt_rng_float(pair[0]) + 0x1p-24, turn = 2 * M_PI * (double)dt_rng_float(pair[1]);
  return sqrt(-2 * log(u)) * (element % 2 == 0 ? cos(turn) : sin(turn));
}

static void add_noise(const dt_reference_sample *at) {
  const double *x = dt_reference_value(at, DT_ARG_X);
  double *y = dt_reference_value(at, DT_ARG_Y);
  const int64_t count = dt_reference_elements(at);
  for (int64_t e = 0; e < count; e++) y[e] = x[e] + at->instr->noise.std * normal(at, e);
}

dt_status dt_reference_noise(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  return dt_reference_map(run, instr, micro, DT_ARG_Y, add_noise);
}

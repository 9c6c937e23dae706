/* Gaussian noise by Box and Muller's transform, as cpu/reference_noise.c has it: y = x + std * z. Every element draws its own
 * block: noise stands on few layers, most of all on the input. */
#include <math.h>

#include "gpu/draw.cuh"

struct noise_job {
  dt_drawer by;
  float std;
  int64_t samples, channels, plane;
};

/* Cosine of v turns, v from 0 to 1, or the sine: the math library's own would keep a stack for large angles. As in
 * cpu/simd/noise.c. */
static __device__ float wave(float v, bool sine) {
  const float quarters = 4 * v, q = rintf(quarters), r = (quarters - q) * 1.57079632679f, z = r * r;
  const float s = r + r * z * (-1.6666654611e-1f + z * (8.3321608736e-3f - z * 1.9515295891e-4f));
  const float c = 1 - 0.5f * z + z * z * (4.166664568298827e-2f + z * (-1.388731625493765e-3f + z * 2.443315711809948e-5f));
  const int quarter = ((int)q + (sine ? 3 : 0)) % 4; /* a sine is the cosine a quarter later */
  return quarter == 0 ? c : quarter == 1 ? -s : quarter == 2 ? -c : s;
}

/* The normal number of element e of a sample, counted in the order [C, H, W]. */
static __device__ float normal(const noise_job &job, int64_t sample, int64_t e) {
  const dt_rng_block random = dt_draw(job.by, sample, (uint32_t)(e / 4));
  const uint32_t first = e % 4 < 2 ? random.word[0] : random.word[2], second = e % 4 < 2 ? random.word[1] : random.word[3];
  const float u = (float)(first >> 8) * 0x1p-24f + 0x1p-24f, turns = (float)(second >> 8) * 0x1p-24f;
  return sqrtf(-2 * logf(u)) * wave(turns, e % 2 != 0);
}

template <class T>
static __global__ void add_noise(noise_job job, const T *x, T *y) {
  const int64_t count = job.samples * job.plane * job.channels;
  for (int64_t i = dt_thread_index(); i < count; i += dt_thread_count()) {
    const int64_t pixel = dt_quotient(i, job.channels), sample = dt_quotient(pixel, job.plane);
    const int64_t e = (i - pixel * job.channels) * job.plane + pixel - sample * job.plane;
    const bool filled = dt_is_filled(job.by.shards, sample);
    y[i] = dt_from_float<T>(filled ? dt_to_float(x[i]) + job.std * normal(job, sample, e) : 0);
  }
}

template <class T>
static dt_status run_noise(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  const dt_gpu_values values = dt_gpu_values_of(run, instr, micro, DT_ARG_Y);
  noise_job job = {};
  job.by = dt_drawer_of(run, micro, DT_RNG_NOISE, instr->noise.layer);
  job.std = (float)instr->noise.std;
  job.samples = values.samples;
  job.channels = values.channels;
  job.plane = values.inner;
  DT_LAUNCH(add_noise<T>, dt_grid(job.samples * job.channels * job.plane), dim3(DT_BLOCK), dt_gpu_stream(run, instr), job,
            static_cast<const T *>(dt_gpu_arg(run, instr, micro, DT_ARG_X)),
            static_cast<T *>(dt_gpu_arg(run, instr, micro, DT_ARG_Y)));
  return DT_OK;
}

dt_status dt_gpu_noise(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  DT_WITH_TYPE(dt_gpu_of(run)->type, return run_noise<T>(run, instr, micro));
  return DT_OK;
}

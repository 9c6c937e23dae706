/* Dropout: y = x / (1 - p) where the element is kept, else 0; backward draws the same choice again and may add and mask. Four
 * elements that follow each other in the order [C, H, W] share a Philox block, in memory they are four of a vector, or four
 * pixels of a channel. */
#include <math.h>

#include "gpu/draw.cuh"
#include "gpu/elementwise.cuh"

enum { QUAD = 4 };

typedef struct dropout_job {
  dt_drawer by;
  float factor, limit; /* 1 / (1 - p); the smallest float that keeps */
  int64_t samples, channels, plane;
} dropout_job;

/* x / (1 - p) or 0, by a word that was drawn; dt_rng_float's number in [0, 1). */
static __device__ float choose(const dropout_job &job, uint32_t word, float x) {
  return (float)(word >> 8) * 0x1p-24f < job.limit ? 0 : x * job.factor;
}

/* For samples whose memory is in the order [C, H, W]. N is QUAD where it divides a sample, else 1. */
template <class T, int N>
static __global__ void drop_runs(const T *in, dt_fused<T> fused, T *out, dropout_job job) {
  const int64_t elements = job.channels * job.plane, quads = dt_quotient(elements + QUAD - 1, QUAD);
  const int64_t count = job.samples * quads;
  for (int64_t i = dt_thread_index(); i < count; i += dt_thread_count()) {
    const int64_t sample = dt_quotient(i, quads), quad = i - sample * quads;
    const dt_rng_block random = dt_draw(job.by, sample, (uint32_t)quad);
    const int64_t first = sample * elements;
    for (int j = 0; j < QUAD; j += N) {
      const int64_t e = quad * QUAD + j;
      if (e >= elements) continue;
      float value[N];
      dt_read(in + first + e, value);
      for (int k = 0; k < N; k++) value[k] = choose(job, random.word[j + k], value[k]);
      dt_finish(fused, first + e, value);
      dt_write(out + first + e, value);
    }
  }
}

/* For images [H, W, C] whose planes quads fit into: neighbouring threads take neighbouring channels of the same four pixels. */
template <class T>
static __global__ void drop_planes(const T *in, dt_fused<T> fused, T *out, dropout_job job) {
  const int64_t quads = dt_quotient(job.plane, QUAD), count = job.samples * quads * job.channels;
  for (int64_t i = dt_thread_index(); i < count; i += dt_thread_count()) {
    const int64_t row = dt_quotient(i, job.channels), channel = i - row * job.channels, sample = dt_quotient(row, quads);
    const dt_rng_block random = dt_draw(job.by, sample, (uint32_t)(channel * quads + row - sample * quads));
    for (int j = 0; j < QUAD; j++) {
      const int64_t at = (row * QUAD + j) * job.channels + channel;
      float value[1] = {choose(job, random.word[j], dt_to_float(in[at]))};
      dt_finish(fused, at, value);
      dt_write(out + at, value);
    }
  }
}

/* For the other images: every element draws its quad. */
template <class T>
static __global__ void drop_elements(const T *in, dt_fused<T> fused, T *out, dropout_job job) {
  const int64_t count = job.samples * job.plane * job.channels;
  for (int64_t i = dt_thread_index(); i < count; i += dt_thread_count()) {
    const int64_t pixel = dt_quotient(i, job.channels), sample = dt_quotient(pixel, job.plane);
    const int64_t e = (i - pixel * job.channels) * job.plane + pixel - sample * job.plane;
    const dt_rng_block random = dt_draw(job.by, sample, (uint32_t)(e / QUAD));
    const uint32_t low = e % 2 == 0 ? random.word[0] : random.word[1], high = e % 2 == 0 ? random.word[2] : random.word[3];
    float value[1] = {choose(job, e % QUAD < 2 ? low : high, dt_to_float(in[i]))};
    dt_finish(fused, i, value);
    dt_write(out + i, value);
  }
}

/* The smallest float that is not below p: u >= p for a float u is u >= this. */
static float limit_of(double p) {
  const float limit = (float)p;
  return (double)limit < p ? nextafterf(limit, 1.0f) : limit;
}

static dropout_job job_of(const dt_run *run, const dt_instr *instr, const dt_micro_batch *micro, dt_arg to) {
  const dt_gpu_values values = dt_gpu_values_of(run, instr, micro, to);
  dropout_job job = {};
  job.by = dt_drawer_of(run, micro, DT_RNG_DROPOUT, instr->dropout.layer);
  job.factor = (float)(1 / (1 - instr->dropout.p));
  job.limit = limit_of(instr->dropout.p);
  job.samples = values.samples;
  job.channels = values.channels;
  job.plane = values.inner;
  return job;
}

template <class T>
static dt_status drop(const T *in, dt_fused<T> fused, T *out, const dropout_job *job, cudaStream_t stream) {
  const int64_t elements = job->channels * job->plane, count = job->samples * elements;
  const dim3 quads = dt_grid(job->samples * ((elements + QUAD - 1) / QUAD)), block(DT_BLOCK);
  const bool ordered = job->channels == 1 || job->plane == 1;
  if (ordered && elements % QUAD == 0) {
    DT_LAUNCH((drop_runs<T, QUAD>), quads, block, stream, in, fused, out, *job);
  } else if (ordered) {
    DT_LAUNCH((drop_runs<T, 1>), quads, block, stream, in, fused, out, *job);
  } else if (job->plane % QUAD == 0) {
    DT_LAUNCH(drop_planes<T>, quads, block, stream, in, fused, out, *job);
  } else {
    DT_LAUNCH(drop_elements<T>, dt_grid(count), block, stream, in, fused, out, *job);
  }
  return DT_OK;
}

template <class T>
static dt_status run_dropout(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro, dt_arg from, dt_arg to) {
  const dropout_job job = job_of(run, instr, micro, to);
  return drop(static_cast<const T *>(dt_gpu_arg(run, instr, micro, from)), dt_fused_of<T>(run, instr, micro),
              static_cast<T *>(dt_gpu_arg(run, instr, micro, to)), &job, dt_gpu_stream(run, instr));
}

dt_status dt_gpu_dropout_fwd(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  DT_WITH_TYPE(dt_gpu_of(run)->type, return run_dropout<T>(run, instr, micro, DT_ARG_X, DT_ARG_Y));
  return DT_OK;
}

dt_status dt_gpu_dropout_bwd(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  DT_WITH_TYPE(dt_gpu_of(run)->type, return run_dropout<T>(run, instr, micro, DT_ARG_DY, DT_ARG_DX));
  return DT_OK;
}

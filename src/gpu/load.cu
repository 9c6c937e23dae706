/* LOAD: y = raw * scale[c] + shift[c] in [H, W, C], from samples [C, H, W] that came with the batch, or gathered by index from
 * the data set in device memory. There each pixel of y is followed back through the sample's augmentations to the one that it
 * shows; what comes in from outside the image is a raw 0, as when the loader makes the augmentations. */
#include "gpu/elementwise.cuh"

enum { CHANNELS = 4 }; /* of a thread, at most */

typedef struct load_job {
  dt_gpu_shards shards;
  const int64_t *index;                /* NULL: sample s stands at place s of `raw` */
  const dt_augmentation *augmentation; /* [samples][augmentations] */
  int augmentations;
  const float *scale, *shift;
  int64_t samples, channels, plane;
  int height, width;
} load_job;

/* The pixel of the source that pixel p of y shows, -1 for one outside of it. */
static __device__ int64_t source_pixel(const load_job &job, int64_t sample, int64_t p) {
  int y = (int)dt_quotient(p, job.width), x = (int)(p - (int64_t)y * job.width);
  for (int i = job.augmentations - 1; i >= 0; i--) {
    const dt_augmentation move = job.augmentation[sample * job.augmentations + i];
    y += move.dy;
    x += move.dx;
    if (y < 0 || y >= job.height || x < 0 || x >= job.width) return -1;
    if (move.flip & DT_FLIP_HORIZONTAL) x = job.width - 1 - x;
    if (move.flip & DT_FLIP_VERTICAL) y = job.height - 1 - y;
  }
  return (int64_t)y * job.width + x;
}

/* A thread takes up to CHANNELS channels of a pixel: those of an image, or a piece of a long vector. */
template <class Raw, class T>
static __global__ void load(const Raw *raw, load_job job, T *y) {
  const int64_t groups = dt_quotient(job.channels + CHANNELS - 1, CHANNELS), count = job.samples * job.plane * groups;
  for (int64_t i = dt_thread_index(); i < count; i += dt_thread_count()) {
    const int64_t at = dt_quotient(i, groups), sample = dt_quotient(at, job.plane), p = at - sample * job.plane;
    const int64_t first = (i - at * groups) * CHANNELS;
    const int64_t end = first + CHANNELS < job.channels ? first + CHANNELS : job.channels;
    const bool valid = dt_is_filled(job.shards, sample);
    const int64_t from = valid ? source_pixel(job, sample, p) : -1;
    const int64_t place = valid && job.index != NULL ? job.index[sample] : sample;
    const Raw *pixel = raw + place * job.channels * job.plane + (from < 0 ? 0 : from);
    for (int64_t c = first; c < end; c++) {
      const float value = from < 0 ? 0 : (float)pixel[c * job.plane];
      y[at * job.channels + c] = dt_from_float<T>(valid ? fmaf(value, job.scale[c], job.shift[c]) : 0);
    }
  }
}

static load_job job_of(const dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  const dt_gpu_input input = dt_gpu_input_of(run, micro);
  const int field = dt_instr_field_index(run->program, instr, DT_ARG_X);
  const bool cached = dt_gpu_caches(run, field), augmentations = cached && dt_field_is_image(&run->program->field[field]);
  const dt_gpu_values values = dt_gpu_values_of(run, instr, micro, DT_ARG_Y);
  load_job job = {};
  job.shards = input.shards;
  job.index = cached ? input.index : NULL;
  job.augmentation = input.augmentation;
  job.augmentations = augmentations ? input.augmentations : 0;
  job.scale = dt_gpu_scale(run) + instr->channel;
  job.shift = dt_gpu_shift(run) + instr->channel;
  job.samples = values.samples;
  job.channels = values.channels;
  job.plane = values.inner;
  job.height = 1;
  job.width = (int)values.inner;
  if (job.augmentations > 0) {
    const dt_gpu_image image = dt_gpu_image_of(run, instr, micro, DT_ARG_Y);
    job.height = (int)image.height;
    job.width = (int)image.width;
  }
  return job;
}

template <class Raw, class T>
static dt_status run_load(const void *raw, const load_job *job, T *y, cudaStream_t stream) {
  const int64_t count = job->samples * job->plane * ((job->channels + CHANNELS - 1) / CHANNELS);
  DT_LAUNCH((load<Raw, T>), dt_grid(count), dim3(DT_BLOCK), stream, static_cast<const Raw *>(raw), *job, y);
  return DT_OK;
}

dt_status dt_gpu_load(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  const int field = dt_instr_field_index(run->program, instr, DT_ARG_X);
  const void *raw = dt_gpu_field(run, micro, field, DT_PART_VALUES);
  const load_job job = job_of(run, instr, micro);
  void *y = dt_gpu_arg(run, instr, micro, DT_ARG_Y);
  cudaStream_t stream = dt_gpu_stream(run, instr);
  if (run->program->field[field].dtype == DT_U8) {
    DT_WITH_TYPE(dt_gpu_of(run)->type, return run_load<uint8_t>(raw, &job, static_cast<T *>(y), stream));
  } else {
    DT_WITH_TYPE(dt_gpu_of(run)->type, return run_load<float>(raw, &job, static_cast<T *>(y), stream));
  }
  return DT_OK;
}

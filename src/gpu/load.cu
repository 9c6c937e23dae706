/* LOAD: y = raw * scale[c] + shift[c] in [H, W, C], from samples [C, H, W] that came with the batch, or gathered by index from
 * the data set in device memory. There each pixel of y is followed back through the sample's moves to the one that it shows;
 * what comes in from outside the image is a raw 0, as when the loader makes the moves. */
#include "gpu/elementwise.cuh"

enum { CHANNELS = 4 }; /* of a thread, at most */

typedef struct load_job {
  const int32_t *filled;
  const int64_t *index; /* NULL: sample s stands at place s of `raw` */
  const dt_move *move;  /* [samples][moves] */
  int moves;
  const float *scale, *shift;
  int64_t samples, channels, plane;
  int height, width;
} load_job;

/* The pixel of the source that pixel p of y shows, -1 for one outside of it. */
static __device__ int64_t source_pixel(const load_job &job, int64_t sample, int64_t p) {
  int y = (int)dt_quotient(p, job.width), x = (int)(p - (int64_t)y * job.width);
  for (int i = job.moves - 1; i >= 0; i--) {
    const dt_move move = job.move[sample * job.moves + i];
    y += move.dy;
    x += move.dx;
    if (y < 0 || y >= job.height || x < 0 || x >= job.width) return -1;
    if (move.flip) x = job.width - 1 - x;
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
    const bool filled = sample < job.filled[0];
    const int64_t from = filled ? source_pixel(job, sample, p) : -1;
    const int64_t place = filled && job.index != NULL ? job.index[sample] : sample;
    const Raw *pixel = raw + place * job.channels * job.plane + (from < 0 ? 0 : from);
    for (int64_t c = first; c < end; c++) {
      const float value = from < 0 ? 0 : (float)pixel[c * job.plane];
      y[at * job.channels + c] = dt_from_float<T>(filled ? fmaf(value, job.scale[c], job.shift[c]) : 0);
    }
  }
}

static load_job job_of(const dt_run *run, const dt_instr *instr, const dt_gpu_input *input) {
  const dt_gpu_image image = dt_gpu_image_of(run, instr, DT_ARG_Y);
  const bool held = input->held != NULL;
  load_job job = {};
  job.filled = input->filled;
  job.index = held ? input->index : NULL;
  job.move = input->move;
  job.moves = held ? input->moves : 0;
  job.scale = dt_gpu_scale(run);
  job.shift = dt_gpu_shift(run);
  job.samples = image.samples;
  job.channels = image.channels;
  job.plane = image.height * image.width;
  job.height = (int)image.height;
  job.width = (int)image.width;
  return job;
}

template <class Raw, class T>
static dt_status run_load(const void *raw, const load_job *job, T *y, cudaStream_t stream) {
  const int64_t count = job->samples * job->plane * ((job->channels + CHANNELS - 1) / CHANNELS);
  DT_LAUNCH((load<Raw, T>), dt_grid(count), dim3(DT_BLOCK), stream, static_cast<const Raw *>(raw), *job, y);
  return DT_OK;
}

dt_status dt_gpu_load(dt_run *run, const dt_instr *instr, const dt_pass *pass) {
  const dt_gpu_input input = dt_gpu_input_of(run, pass);
  const load_job job = job_of(run, instr, &input);
  const bool bytes = input.held != NULL ? !input.held_values : input.pixels != NULL;
  const void *sent = bytes ? static_cast<const void *>(input.pixels) : input.values;
  const void *raw = input.held != NULL ? input.held : sent;
  void *y = dt_gpu_arg(run, instr, pass, DT_ARG_Y);
  cudaStream_t stream = dt_gpu_stream(run, instr);
  if (bytes) {
    DT_WITH_TYPE(dt_gpu_of(run)->type, return run_load<uint8_t>(raw, &job, static_cast<T *>(y), stream));
  } else {
    DT_WITH_TYPE(dt_gpu_of(run)->type, return run_load<float>(raw, &job, static_cast<T *>(y), stream));
  }
  return DT_OK;
}

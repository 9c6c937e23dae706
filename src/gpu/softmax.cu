/* SOFTMAX, LOSS and SCORE: softmax and cross-entropy over the classes; see core/program.h for the formulas. A row of logits
 * belongs to as many lanes of a warp as can keep it in registers, or to all 32; they take its elements in turns and join by
 * shuffles, so that sums are in an order of the shapes alone. The largest logit is taken out of the exponents first. */
#include <math.h>

#include "gpu/kernel.cuh"

enum {
  WARP = 32,
  KEPT = 8,             /* logits of a lane that are on their way at once; of a row that needs no more, they are kept */
  BLOCK = 512,          /* threads; sums over samples assume it */
  ALONE = 2,            /* rows of a thread up to which LOSS is one block, and so one launch */
  SCORE_UNIT_LOG2 = 20, /* dt_score's unit of loss */
};

static constexpr unsigned ALL_LANES = 0xffffffffu;

template <class T>
struct rows {
  const T *x;
  int64_t samples;
  int classes, lanes; /* a row's lanes */
};

/* The part of a batch that LOSS and SCORE read. */
typedef struct labels {
  const int32_t *filled, *label;
} labels;

/* Where a thread stands: its row, among the rows that its warp takes at once, and its lane of that row. */
typedef struct seat {
  int64_t first, step; /* the first row, and the distance to the next */
  int lane;
} seat;

static __device__ seat seat_of(int lanes) {
  return {dt_thread_index() / lanes, dt_thread_count() / lanes, (int)threadIdx.x % lanes};
}

/* All lanes of a row get the same sum. */
static __device__ float sum_lanes(float value, int lanes) {
  for (int distance = lanes / 2; distance > 0; distance /= 2) value += __shfl_xor_sync(ALL_LANES, value, distance);
  return value;
}

typedef struct measured {
  float peak, sum; /* the largest logit, and the sum of exp(x - peak) */
  int best;        /* the first class that has it */
} measured;

/* A NaN is never larger, nor is anything larger than a NaN that comes first; the sum is NaN in either case. */
static __device__ void keep_larger(measured *row, float logit, int index) {
  if (logit > row->peak || (logit == row->peak && index < row->best)) {
    row->peak = logit;
    row->best = index;
  }
}

/* Classes that the lanes of a row take at once. */
template <class T>
static inline __host__ __device__ int stride_of(const rows<T> &of) {
  return KEPT * of.lanes;
}

/* A lane's logits of the classes first, first + lanes, ...; what stands beyond the last class is no logit. */
template <class T>
static __device__ void read_logits(const rows<T> &of, const T *x, int first, float (&logit)[KEPT]) {
  DT_UNROLL for (int i = 0; i < KEPT; i++) {
    const int k = first + i * of.lanes;
    logit[i] = k < of.classes ? dt_to_float(x[k]) : 0;
  }
}

/* Where a row is longer than what lanes keep, its logits are read again for every use. */
template <class T>
static __device__ void read_again(const rows<T> &of, const T *x, int first, float (&logit)[KEPT]) {
  if (of.classes > stride_of(of)) read_logits(of, x, first, logit);
}

/* Leaves the logits that read_again does not read in `logit`. */
template <class T>
static __device__ measured measure(const rows<T> &of, const T *x, int lane, float (&logit)[KEPT]) {
  measured row = {dt_to_float(x[0]), 0, 0};
  for (int first = lane; first < of.classes; first += stride_of(of)) {
    read_logits(of, x, first, logit);
    DT_UNROLL for (int i = 0; i < KEPT; i++) {
      if (first + i * of.lanes < of.classes) keep_larger(&row, logit[i], first + i * of.lanes);
    }
  }
  for (int distance = of.lanes / 2; distance > 0; distance /= 2) {
    const float peak = __shfl_xor_sync(ALL_LANES, row.peak, distance);
    const int best = __shfl_xor_sync(ALL_LANES, row.best, distance);
    keep_larger(&row, peak, best);
  }
  for (int first = lane; first < of.classes; first += stride_of(of)) {
    read_again(of, x, first, logit);
    DT_UNROLL for (int i = 0; i < KEPT; i++) {
      if (first + i * of.lanes < of.classes) row.sum += expf(logit[i] - row.peak);
    }
  }
  row.sum = sum_lanes(row.sum, of.lanes);
  return row;
}

/* -log p[label]; NaN for a label that is no class. */
template <class T>
static __device__ float loss_of(const T *x, int classes, const measured &row, int label) {
  if (label < 0 || label >= classes) return NAN;
  return row.peak - dt_to_float(x[label]) + logf(row.sum);
}

/* --- SOFTMAX --- */

/* Lanes of rows beyond the last one go along with the last, since a warp shuffles as a whole, and write nothing. */
template <class T>
static __global__ void softmax(rows<T> of, T *y) {
  const seat at = seat_of(of.lanes);
  const int64_t ends = (of.samples + at.step - 1) / at.step * at.step;
  for (int64_t s = at.first; s < ends; s += at.step) {
    const int64_t at_row = (s < of.samples ? s : of.samples - 1) * of.classes;
    const T *x = of.x + at_row;
    float logit[KEPT];
    const measured row = measure(of, x, at.lane, logit);
    for (int first = at.lane; first < of.classes && s < of.samples; first += stride_of(of)) {
      read_again(of, x, first, logit);
      DT_UNROLL for (int i = 0; i < KEPT; i++) {
        const int k = first + i * of.lanes;
        if (k < of.classes) y[at_row + k] = dt_from_float<T>(expf(logit[i] - row.peak) / row.sum);
      }
    }
  }
}

/* --- LOSS --- */

typedef struct loss_job {
  labels to;
  const float *scale;  /* dt_gpu_loss_scale */
  const dt_step *step; /* its flags go into the tail; NULL for zeros */
  float *loss;         /* [samples] */
  int8_t *correct;     /* [samples] */
  float *tail;
} loss_job;

/* dx, and this sample's loss and whether it is correct. */
template <class T>
static __device__ void loss_row(const rows<T> &of, const loss_job &job, T *dx, int64_t s, int lane) {
  const bool exists = s < of.samples, filled = s < job.to.filled[0];
  const int64_t sample = exists ? s : of.samples - 1;
  const T *x = of.x + sample * of.classes;
  const int label = job.to.label[sample];
  const float scale = job.scale != NULL ? job.scale[DT_LOSS_SCALE_NEXT] : 1;
  float logit[KEPT];
  const measured row = measure(of, x, lane, logit);
  for (int first = lane; first < of.classes && exists; first += stride_of(of)) {
    read_again(of, x, first, logit);
    DT_UNROLL for (int i = 0; i < KEPT; i++) {
      const int k = first + i * of.lanes;
      if (k >= of.classes) break;
      const float gradient = expf(logit[i] - row.peak) / row.sum - (k == label ? 1.0f : 0.0f);
      dx[sample * of.classes + k] = dt_from_float<T>(filled ? gradient * scale : 0);
    }
  }
  if (lane != 0 || !filled || !exists) return;
  job.loss[s] = loss_of(x, of.classes, row, label);
  job.correct[s] = row.best == label;
}

/* The block's sum of each thread's value, in thread 0. */
static __device__ float sum_block(float value) {
  __shared__ float warp_sum[BLOCK / WARP];
  value = sum_lanes(value, WARP);
  __syncthreads();
  if (threadIdx.x % WARP == 0) warp_sum[threadIdx.x / WARP] = value;
  __syncthreads();
  float sum = 0;
  for (int w = 0; w < BLOCK / WARP && threadIdx.x == 0; w++) sum += warp_sum[w];
  return sum;
}

/* One block of BLOCK threads: thread t takes samples t, t + BLOCK, ... */
static __device__ void sum_tail(const loss_job &job) {
  float loss = 0, correct = 0, samples = 0, nonfinite = 0;
  for (int s = (int)threadIdx.x; s < job.to.filled[0]; s += BLOCK) {
    loss += job.loss[s];
    correct += job.correct[s];
    samples += 1;
    nonfinite += isfinite(job.loss[s]) ? 0 : 1;
  }
  loss = sum_block(loss);
  correct = sum_block(correct);
  samples = sum_block(samples);
  nonfinite = sum_block(nonfinite);
  if (threadIdx.x != 0) return;
  for (int i = DT_TAIL_STOP; i <= DT_TAIL_FAIL; i++) job.tail[i] = job.step != NULL ? (float)job.step->flags[i] : 0;
  job.tail[DT_TAIL_LOSS] = loss;
  job.tail[DT_TAIL_CORRECT] = correct;
  job.tail[DT_TAIL_SAMPLES] = samples;
  job.tail[DT_TAIL_NONFINITE] = nonfinite;
}

/* A block that is alone sums the tail too. */
template <class T>
static __global__ void loss_rows(rows<T> of, loss_job job, T *dx) {
  const seat at = seat_of(of.lanes);
  const int64_t ends = (of.samples + at.step - 1) / at.step * at.step;
  for (int64_t s = at.first; s < ends; s += at.step) loss_row(of, job, dx, s, at.lane);
  if (gridDim.x > 1) return;
  __syncthreads();
  sum_tail(job);
}

static __global__ void loss_tail(loss_job job) {
  sum_tail(job);
}

/* --- SCORE --- */

/* Integers, so that the order of the atomics does not matter; a thread adds its rows up first. */
template <class T>
static __global__ void score_rows(rows<T> of, labels to, dt_score *score) {
  const seat at = seat_of(of.lanes);
  const int64_t ends = (of.samples + at.step - 1) / at.step * at.step;
  dt_score own = {};
  for (int64_t s = at.first; s < ends; s += at.step) {
    const int64_t sample = s < of.samples ? s : of.samples - 1;
    const T *x = of.x + sample * of.classes;
    float logit[KEPT];
    const measured row = measure(of, x, at.lane, logit);
    if (at.lane != 0 || s >= to.filled[0]) continue;
    const float loss = loss_of(x, of.classes, row, to.label[sample]);
    own.samples++;
    own.correct += row.best == to.label[sample];
    if (isfinite(loss)) {
      own.loss += llround((double)loss * (1 << SCORE_UNIT_LOG2));
    } else {
      own.nonfinite++;
    }
  }
  if (own.samples == 0) return;
  atomicAdd(reinterpret_cast<unsigned long long *>(&score->samples), (unsigned long long)own.samples);
  atomicAdd(reinterpret_cast<unsigned long long *>(&score->correct), (unsigned long long)own.correct);
  atomicAdd(reinterpret_cast<unsigned long long *>(&score->loss), (unsigned long long)own.loss);
  atomicAdd(reinterpret_cast<unsigned long long *>(&score->nonfinite), (unsigned long long)own.nonfinite);
}

/* --- the operations --- */

template <class T>
static rows<T> rows_of(const dt_run *run, const dt_instr *instr, const dt_pass *pass) {
  rows<T> of = {};
  of.x = static_cast<const T *>(dt_gpu_arg(run, instr, pass, DT_ARG_X));
  of.samples = run->program->shard_slots;
  of.classes = (int)dt_gpu_count(run->program, instr, DT_ARG_X);
  for (of.lanes = 1; of.lanes < WARP && stride_of(of) < of.classes;) of.lanes *= 2;
  return of;
}

template <class T>
static dim3 grid_of(const rows<T> *of) {
  const int64_t blocks = (of->samples * of->lanes + BLOCK - 1) / BLOCK;
  return dim3((unsigned)(blocks < 1 << 20 ? blocks : 1 << 20));
}

static labels labels_of(const dt_gpu_input *input) {
  return {input->filled, input->labels};
}

template <class T>
static dt_status run_softmax(dt_run *run, const dt_instr *instr, const dt_pass *pass) {
  const rows<T> of = rows_of<T>(run, instr, pass);
  DT_LAUNCH(softmax<T>, grid_of(&of), dim3(BLOCK), dt_gpu_stream(run, instr), of,
            static_cast<T *>(dt_gpu_arg(run, instr, pass, DT_ARG_Y)));
  return DT_OK;
}

dt_status dt_gpu_softmax(dt_run *run, const dt_instr *instr, const dt_pass *pass) {
  DT_WITH_TYPE(dt_gpu_of(run)->type, return run_softmax<T>(run, instr, pass));
  return DT_OK;
}

/* A loss and a byte a sample. */
dt_status dt_gpu_loss_work(const dt_gpu *gpu, const dt_program *program, const dt_instr *instr, size_t *out) {
  *out = (size_t)program->shard_slots * (sizeof(float) + sizeof(int8_t));
  return DT_OK;
}

static loss_job loss_job_of(const dt_run *run, const dt_instr *instr, const dt_pass *pass) {
  const dt_gpu_input input = dt_gpu_input_of(run, pass);
  loss_job job = {};
  job.to = labels_of(&input);
  job.scale = dt_gpu_loss_scale(run);
  job.step = pass->index == 0 ? input.step : NULL;
  job.loss = static_cast<float *>(dt_gpu_arg(run, instr, pass, DT_ARG_WORK));
  job.correct = reinterpret_cast<int8_t *>(job.loss + run->program->shard_slots);
  job.tail = static_cast<float *>(dt_gpu_arg(run, instr, pass, DT_ARG_STAT));
  return job;
}

template <class T>
static dt_status run_loss(dt_run *run, const dt_instr *instr, const dt_pass *pass) {
  const rows<T> of = rows_of<T>(run, instr, pass);
  const loss_job job = loss_job_of(run, instr, pass);
  const dim3 grid = of.samples * of.lanes <= ALONE * BLOCK ? dim3(1) : grid_of(&of);
  DT_LAUNCH(loss_rows<T>, grid, dim3(BLOCK), dt_gpu_stream(run, instr), of, job,
            static_cast<T *>(dt_gpu_arg(run, instr, pass, DT_ARG_DX)));
  if (grid.x > 1) DT_LAUNCH(loss_tail, dim3(1), dim3(BLOCK), dt_gpu_stream(run, instr), job);
  return DT_OK;
}

dt_status dt_gpu_loss(dt_run *run, const dt_instr *instr, const dt_pass *pass) {
  DT_WITH_TYPE(dt_gpu_of(run)->type, return run_loss<T>(run, instr, pass));
  return DT_OK;
}

template <class T>
static dt_status run_score(dt_run *run, const dt_instr *instr, const dt_pass *pass) {
  const dt_gpu_input input = dt_gpu_input_of(run, pass);
  const rows<T> of = rows_of<T>(run, instr, pass);
  DT_LAUNCH(score_rows<T>, grid_of(&of), dim3(BLOCK), dt_gpu_stream(run, instr), of, labels_of(&input), dt_gpu_scores(run));
  return DT_OK;
}

dt_status dt_gpu_score(dt_run *run, const dt_instr *instr, const dt_pass *pass) {
  DT_WITH_TYPE(dt_gpu_of(run)->type, return run_score<T>(run, instr, pass));
  return DT_OK;
}

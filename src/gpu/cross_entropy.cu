/* SOFTMAX and CROSS_ENTROPY: softmax and cross-entropy over the classes; see core/program/ops.def for the formulas. A row of
 * logits belongs to as many lanes of a warp as can keep it in registers, or to all 32; they take its elements in turns and join
 * by shuffles, so that sums are in an order of the shapes alone. The largest logit is taken out of the exponents first. */
#include <math.h>

#include "gpu/kernel.cuh"

enum {
  WARP = 32,
  KEPT = 8,    /* logits of a lane that are on their way at once; of a row that needs no more, they are kept */
  BLOCK = 512, /* threads */
};

static constexpr unsigned ALL_LANES = 0xffffffffu;

template <class T>
struct rows {
  const T *x;
  int64_t samples;
  int classes, lanes; /* a row's lanes */
};

/* The part of a batch that CROSS_ENTROPY reads: one of them is NULL. */
typedef struct labels {
  dt_gpu_shards shards;
  const int32_t *label;
  const void *soft; /* [samples][classes]: floats or bytes */
  bool bytes;
  float scale; /* of soft */
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

/* --- CROSS_ENTROPY --- */

typedef struct loss_job {
  labels to;
  const float *scale; /* dt_gpu_loss_scale */
  float weight, smoothing;
  float *terms; /* [samples][columns], from the first column on */
  int columns;
} loss_job;

/* This sample's loss, whether it is correct, and, where it is wanted, dx. */
template <class T>
static __device__ void loss_row(const rows<T> &of, const loss_job &job, T *dx, int64_t s, int lane) {
  const bool exists = s < of.samples, valid = exists && dt_is_filled(job.to.shards, s);
  const int64_t sample = exists ? s : of.samples - 1;
  const T *x = of.x + sample * of.classes;
  const int label = job.to.label[sample];
  const float scale = job.scale != NULL ? job.scale[DT_LOSS_SCALE_NEXT] * job.weight : job.weight;
  float logit[KEPT];
  const measured row = measure(of, x, lane, logit);
  for (int first = lane; first < of.classes && exists && dx != NULL; first += stride_of(of)) {
    read_again(of, x, first, logit);
    DT_UNROLL for (int i = 0; i < KEPT; i++) {
      const int k = first + i * of.lanes;
      if (k >= of.classes) break;
      const float gradient = expf(logit[i] - row.peak) / row.sum - (k == label ? 1.0f : 0.0f);
      dx[sample * of.classes + k] = dt_from_float<T>(valid ? gradient * scale : 0);
    }
  }
  if (lane != 0 || !valid) return;
  job.terms[s * job.columns] = loss_of(x, of.classes, row, label);
  job.terms[s * job.columns + 1] = row.best == label ? 1 : 0;
}

/* Probability of class k, smoothed. */
static __device__ float target_of(const loss_job &job, int64_t sample, int classes, int k) {
  const int64_t at = sample * classes + k;
  float q;
  if (job.to.soft == NULL)
    q = job.to.label[sample] == k ? 1.0f : 0.0f;
  else
    q = job.to.scale *
        (job.to.bytes ? (float)static_cast<const uint8_t *>(job.to.soft)[at] : static_cast<const float *>(job.to.soft)[at]);
  return (1 - job.smoothing) * q + job.smoothing / (float)classes;
}

typedef struct target_sums {
  float total, dot; /* sums of q, and of q * (x - peak) */
  int best;         /* the first class of the largest q */
} target_sums;

/* All lanes of a row get the same. */
template <class T>
static __device__ target_sums measure_target(const rows<T> &of, const loss_job &job, const T *x, int64_t sample, int lane,
                                             float peak) {
  measured most = {target_of(job, sample, of.classes, 0), 0, 0};
  target_sums sums = {0, 0, 0};
  for (int k = lane; k < of.classes; k += of.lanes) {
    const float q = target_of(job, sample, of.classes, k);
    keep_larger(&most, q, k);
    sums.total += q;
    sums.dot += q * (dt_to_float(x[k]) - peak);
  }
  for (int distance = of.lanes / 2; distance > 0; distance /= 2) {
    const float q = __shfl_xor_sync(ALL_LANES, most.peak, distance);
    const int best = __shfl_xor_sync(ALL_LANES, most.best, distance);
    keep_larger(&most, q, best);
  }
  return {sum_lanes(sums.total, of.lanes), sum_lanes(sums.dot, of.lanes), most.best};
}

/* Of targets that are no label alone: loss = sum(q) log(sum) - sum q (x - peak), dx = p sum(q) - q. */
template <class T>
static __device__ void soft_row(const rows<T> &of, const loss_job &job, T *dx, int64_t s, int lane) {
  const bool exists = s < of.samples, valid = exists && dt_is_filled(job.to.shards, s);
  const int64_t sample = exists ? s : of.samples - 1;
  const T *x = of.x + sample * of.classes;
  const float scale = job.scale != NULL ? job.scale[DT_LOSS_SCALE_NEXT] * job.weight : job.weight;
  float logit[KEPT];
  const measured row = measure(of, x, lane, logit);
  const target_sums target = measure_target(of, job, x, sample, lane, row.peak);
  for (int k = lane; k < of.classes && exists && dx != NULL; k += of.lanes) {
    const float p = expf(dt_to_float(x[k]) - row.peak) / row.sum;
    const float gradient = p * target.total - target_of(job, sample, of.classes, k);
    dx[sample * of.classes + k] = dt_from_float<T>(valid ? gradient * scale : 0);
  }
  if (lane != 0 || !valid) return;
  const int label = job.to.soft != NULL ? target.best : job.to.label[sample];
  const bool known = label >= 0 && label < of.classes;
  job.terms[s * job.columns] = known ? target.total * logf(row.sum) - target.dot : NAN;
  job.terms[s * job.columns + 1] = row.best == label ? 1 : 0;
}

template <class T>
static __global__ void measure_soft_rows(rows<T> of, loss_job job, T *dx) {
  const seat at = seat_of(of.lanes);
  const int64_t ends = (of.samples + at.step - 1) / at.step * at.step;
  for (int64_t s = at.first; s < ends; s += at.step) soft_row(of, job, dx, s, at.lane);
}

template <class T>
static __global__ void measure_rows(rows<T> of, loss_job job, T *dx) {
  const seat at = seat_of(of.lanes);
  const int64_t ends = (of.samples + at.step - 1) / at.step * at.step;
  for (int64_t s = at.first; s < ends; s += at.step) loss_row(of, job, dx, s, at.lane);
}

/* --- the operations --- */

template <class T>
static rows<T> rows_of(const dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  rows<T> of = {};
  of.x = static_cast<const T *>(dt_gpu_arg(run, instr, micro, DT_ARG_X));
  of.samples = dt_gpu_places(run, micro);
  of.classes = (int)dt_gpu_count(run->program, instr, DT_ARG_X);
  for (of.lanes = 1; of.lanes < WARP && stride_of(of) < of.classes;) of.lanes *= 2;
  return of;
}

template <class T>
static dim3 grid_of(const rows<T> *of) {
  const int64_t blocks = (of->samples * of->lanes + BLOCK - 1) / BLOCK;
  return dim3((unsigned)(blocks < 1 << 20 ? blocks : 1 << 20));
}

static labels labels_of(const dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  const void *target = dt_gpu_field(run, micro, dt_instr_field_index(run->program, instr, DT_ARG_TARGET), DT_PART_VALUES);
  labels to = {};
  to.shards = dt_gpu_input_of(run, micro).shards;
  const dt_dtype type = dt_instr_field(run->program, instr, DT_ARG_TARGET)->dtype;
  to.soft = type != DT_I32 ? target : NULL;
  to.label = type == DT_I32 ? static_cast<const int32_t *>(target) : NULL;
  to.bytes = type == DT_U8;
  to.scale = (float)instr->loss.target_scale;
  return to;
}

template <class T>
static dt_status run_softmax(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  const rows<T> of = rows_of<T>(run, instr, micro);
  DT_LAUNCH(softmax<T>, grid_of(&of), dim3(BLOCK), dt_gpu_stream(run, instr), of,
            static_cast<T *>(dt_gpu_arg(run, instr, micro, DT_ARG_Y)));
  return DT_OK;
}

dt_status dt_gpu_softmax(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  DT_WITH_TYPE(dt_gpu_of(run)->type, return run_softmax<T>(run, instr, micro));
  return DT_OK;
}

static loss_job loss_job_of(const dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  loss_job job = {};
  job.to = labels_of(run, instr, micro);
  job.scale = dt_gpu_loss_scale(run);
  job.weight = (float)instr->loss.weight;
  job.smoothing = (float)instr->loss.param[0];
  job.columns = run->program->columns;
  job.terms = static_cast<float *>(dt_gpu_arg(run, instr, micro, DT_ARG_TERMS)) + instr->loss.column;
  return job;
}

template <class T>
static dt_status run_cross_entropy(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  const rows<T> of = rows_of<T>(run, instr, micro);
  const loss_job job = loss_job_of(run, instr, micro);
  T *dx = static_cast<T *>(dt_gpu_arg(run, instr, micro, DT_ARG_DX));
  if (job.to.soft != NULL || job.smoothing > 0)
    DT_LAUNCH(measure_soft_rows<T>, grid_of(&of), dim3(BLOCK), dt_gpu_stream(run, instr), of, job, dx);
  else
    DT_LAUNCH(measure_rows<T>, grid_of(&of), dim3(BLOCK), dt_gpu_stream(run, instr), of, job, dx);
  return DT_OK;
}

dt_status dt_gpu_cross_entropy(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  DT_WITH_TYPE(dt_gpu_of(run)->type, return run_cross_entropy<T>(run, instr, micro));
  return DT_OK;
}

/* RANK, SCORE_BIN, MOMENTS and LABEL_COUNTS; see core/program/ops.def. A thread takes a sample: only evaluations that ask for
 * them have them, but for the last two, of few outputs. */
#include <math.h>

#include "gpu/kernel.cuh"

struct judged {
  dt_gpu_shards shards;
  const void *target;                 /* [samples][width] */
  float *terms;                       /* [samples][columns], from the first column on */
  int64_t samples, count, width, own; /* own: the class of SCORE_BIN */
  int columns;
  bool labels, bytes; /* targets are labels; or numbers in bytes */
  float target_scale;
};

static __device__ float target_at(const judged &j, int64_t sample, int64_t e) {
  const int64_t at = sample * j.width + e;
  return j.target_scale *
         (j.bytes ? (float)static_cast<const uint8_t *>(j.target)[at] : static_cast<const float *>(j.target)[at]);
}

static __device__ int64_t label_at(const judged &j, int64_t sample) {
  return static_cast<const int32_t *>(j.target)[sample];
}

struct rank_of {
  template <class T>
  static __device__ void judge(const judged &j, int64_t s, const T *x, float *term) {
    const int64_t label = label_at(j, s);
    int64_t before = 0;
    term[0] = -1;
    if (label < 0 || label >= j.count) return;
    const float own = dt_to_float(x[label]);
    for (int64_t k = 0; k < j.count; k++) {
      const float other = dt_to_float(x[k]);
      before += k != label && !(own > other || (own == other && label < k));
    }
    term[0] = (float)before;
  }
};

struct score_bin_of {
  template <class T>
  static __device__ float score(const judged &j, const T *x) {
    float peak = -INFINITY, sum = 0;
    if (j.count == 1) return dt_to_float(x[0]);
    for (int64_t k = 0; k < j.count; k++) {
      const float value = dt_to_float(x[k]);
      if (k != j.own && !(value <= peak)) peak = value;
    }
    for (int64_t k = 0; k < j.count; k++) {
      if (k != j.own) sum += expf(dt_to_float(x[k]) - peak);
    }
    return dt_to_float(x[j.own]) - (peak + logf(sum));
  }

  /* Floats in the order of numbers are unsigned integers in order once negative ones are turned over and the others put above.
   */
  template <class T>
  static __device__ void judge(const judged &j, int64_t s, const T *x, float *term) {
    constexpr int dropped = 14;
    const float value = score(j, x) + 0.0f; /* -0 is 0 */
    const unsigned raw = __float_as_uint(value), ordered = raw >> 31 ? ~raw : raw | 0x80000000u;
    const bool own = j.labels ? label_at(j, s) == j.own : target_at(j, s, 0) > 0.5f;
    term[0] = value != value ? -1.0f : 2 * (float)(ordered >> dropped) + (own ? 1.0f : 0.0f);
  }
};

struct moments_of {
  template <class T>
  static __device__ void judge(const judged &j, int64_t s, const T *x, float *term) {
    const float target = target_at(j, s, 0), apart = dt_to_float(x[0]) - target, square = target * target;
    term[0] = apart * apart;
    term[1] = target;
    term[2] = square;
    term[3] = (float)((double)target * target - square); /* exact but for its last rounding */
  }
};

struct label_counts_of {
  template <class T>
  static __device__ void judge(const judged &j, int64_t s, const T *x, float *term) {
    int right = 0, too_many = 0, missed = 0;
    for (int64_t e = 0; e < j.count; e++) {
      const bool yes = dt_to_float(x[e]) > 0, meant = target_at(j, s, e) > 0.5f;
      right += yes && meant;
      too_many += yes && !meant;
      missed += meant && !yes;
    }
    term[0] = (float)right;
    term[1] = (float)too_many;
    term[2] = (float)missed;
  }
};

template <class T, class F>
static __global__ void measure(judged j, const T *x) {
  for (int64_t s = dt_thread_index(); s < j.samples; s += dt_thread_count()) {
    if (dt_is_filled(j.shards, s)) F::judge(j, s, x + s * j.count, j.terms + s * j.columns);
  }
}

template <class F>
static dt_status run_measure(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  const dt_field *field = dt_instr_field(run->program, instr, DT_ARG_TARGET);
  const int64_t named = (int64_t)instr->loss.param[0];
  judged j = {};
  j.shards = dt_gpu_input_of(run, micro).shards;
  j.target = dt_gpu_field(run, micro, dt_instr_field_index(run->program, instr, DT_ARG_TARGET), DT_PART_VALUES);
  j.terms = static_cast<float *>(dt_gpu_arg(run, instr, micro, DT_ARG_TERMS)) + instr->loss.column;
  j.samples = dt_gpu_places(run, micro);
  j.count = dt_gpu_count(run->program, instr, DT_ARG_X);
  j.labels = field->dtype == DT_I32;
  j.bytes = field->dtype == DT_U8;
  j.width = j.labels ? 1 : j.count;
  j.own = named >= 0 ? named : j.count - 1;
  j.columns = run->program->columns;
  j.target_scale = (float)instr->loss.target_scale;
  const void *x = dt_gpu_arg(run, instr, micro, DT_ARG_X);
  DT_WITH_TYPE(dt_gpu_of(run)->type, DT_LAUNCH((measure<T, F>), dt_grid(j.samples), dim3(DT_BLOCK), dt_gpu_stream(run, instr),
                                               j, static_cast<const T *>(x)));
  return DT_OK;
}

dt_status dt_gpu_rank(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  return run_measure<rank_of>(run, instr, micro);
}

dt_status dt_gpu_score_bin(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  return run_measure<score_bin_of>(run, instr, micro);
}

dt_status dt_gpu_moments(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  return run_measure<moments_of>(run, instr, micro);
}

dt_status dt_gpu_label_counts(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  return run_measure<label_counts_of>(run, instr, micro);
}

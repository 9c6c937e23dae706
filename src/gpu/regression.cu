/* SQUARED_ERROR, HUBER, BINARY_CROSS_ENTROPY, ABSOLUTE_ERROR, ACTIVITY_L1 and ACTIVITY_L2, element by element; see
 * core/program/ops.def for the formulas. A sample belongs to one warp, whose lanes take its elements in turns and join by
 * shuffles, so that sums are in an order of the shapes alone. Sums of many elements are in doubles. */
#include <math.h>

#include "gpu/kernel.cuh"

static constexpr unsigned ALL_LANES = 0xffffffffu;

struct pairs {
  const void *target; /* [samples][elements] in the order [C, H, W]: floats or bytes; NULL: zeros */
  dt_gpu_shards shards;
  const float *scale; /* dt_gpu_loss_scale */
  float *terms;       /* [samples][columns], from the first column on */
  int64_t samples, elements, channels, positions;
  int columns;
  bool bytes;
  float weight;              /* of the loss, over the elements */
  float target_scale, param; /* loss.param[0] */
};

/* What one element adds to the terms, and its gradient before it is scaled. */
struct element {
  float loss, right, gradient;
};

struct square {
  static constexpr int sums = 1;
  static __device__ element of(float x, float t, float) {
    const float apart = x - t;
    return {apart * apart, 0, 2 * apart};
  }
};

struct huber {
  static constexpr int sums = 1;
  static __device__ element of(float x, float t, float delta) {
    const float apart = x - t;
    const float cut = apart > delta ? delta : apart < -delta ? -delta : apart; /* a NaN stays one */
    return {cut * (apart - cut / 2), 0, cut};
  }
};

struct absolute {
  static constexpr int sums = 1;
  static __device__ element of(float x, float t, float) {
    return {fabsf(x - t), 0, 0};
  }
};

struct magnitude {
  static constexpr int sums = 1;
  static __device__ element of(float x, float, float) {
    return {fabsf(x), 0, x > 0 ? 1.0f : x < 0 ? -1.0f : 0.0f};
  }
};

struct logistic {
  static constexpr int sums = 2;
  static __device__ element of(float x, float t, float) {
    const float e = expf(-fabsf(x)), p = x >= 0 ? 1 / (1 + e) : e / (1 + e);
    const float above = x < 0 ? 0 : x; /* a NaN stays one */
    return {above - x * t + log1pf(e), (x > 0) == (t > 0.5f) ? 1.0f : 0.0f, p - t};
  }
};

static __device__ double sum_warp(double value) {
  for (int distance = DT_WARP / 2; distance > 0; distance /= 2) value += __shfl_xor_sync(ALL_LANES, value, distance);
  return value;
}

/* The target of the element that lies at place e of the sample: values have their channels last, fields have them first. */
static __device__ float target_of(const pairs &p, int64_t sample, int64_t e) {
  const int64_t at = sample * p.elements + e % p.channels * p.positions + e / p.channels;
  return p.target_scale *
         (p.bytes ? (float)static_cast<const uint8_t *>(p.target)[at] : static_cast<const float *>(p.target)[at]);
}

template <class T, class F>
static __global__ void compare(pairs p, const T *x, T *dx) {
  const int lane = (int)threadIdx.x % DT_WARP;
  const int64_t step = dt_thread_count() / DT_WARP;
  const float scale = p.scale != NULL ? p.scale[DT_LOSS_SCALE_NEXT] * p.weight : p.weight;
  for (int64_t s = dt_thread_index() / DT_WARP; s < p.samples; s += step) {
    const bool valid = dt_is_filled(p.shards, s);
    double loss = 0, right = 0;
    for (int64_t e = lane; e < p.elements; e += DT_WARP) {
      element found = {0, 0, 0};
      if (valid) found = F::of(dt_to_float(x[s * p.elements + e]), p.target != NULL ? target_of(p, s, e) : 0, p.param);
      loss += found.loss;
      right += found.right;
      if (dx != NULL) dx[s * p.elements + e] = dt_from_float<T>(found.gradient * scale);
    }
    loss = sum_warp(loss);
    right = sum_warp(right);
    if (lane != 0 || !valid) continue;
    p.terms[s * p.columns] = (float)(loss / (double)p.elements);
    if (F::sums > 1) p.terms[s * p.columns + 1] = (float)right;
  }
}

static pairs pairs_of(const dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  const dt_gpu_values values = dt_gpu_values_of(run, instr, micro, DT_ARG_X);
  pairs p = {};
  if (instr->arg[DT_ARG_TARGET] >= 0) {
    p.target = dt_gpu_field(run, micro, dt_instr_field_index(run->program, instr, DT_ARG_TARGET), DT_PART_VALUES);
    p.bytes = dt_instr_field(run->program, instr, DT_ARG_TARGET)->dtype == DT_U8;
  }
  p.shards = dt_gpu_input_of(run, micro).shards;
  p.scale = dt_gpu_loss_scale(run);
  p.terms = static_cast<float *>(dt_gpu_arg(run, instr, micro, DT_ARG_TERMS)) + instr->loss.column;
  p.samples = values.samples;
  p.channels = values.channels;
  p.positions = values.inner;
  p.elements = p.channels * p.positions;
  p.columns = run->program->columns;
  p.weight = (float)(instr->loss.weight / (double)p.elements);
  p.target_scale = (float)instr->loss.target_scale;
  p.param = (float)instr->loss.param[0];
  return p;
}

template <class T, class F>
static dt_status run_compare(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  const pairs p = pairs_of(run, instr, micro);
  DT_LAUNCH((compare<T, F>), dt_grid(p.samples * DT_WARP), dim3(DT_BLOCK), dt_gpu_stream(run, instr), p,
            static_cast<const T *>(dt_gpu_arg(run, instr, micro, DT_ARG_X)),
            static_cast<T *>(dt_gpu_arg(run, instr, micro, DT_ARG_DX)));
  return DT_OK;
}

dt_status dt_gpu_squared_error(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  DT_WITH_TYPE(dt_gpu_of(run)->type, return run_compare<T, square>(run, instr, micro));
  return DT_OK;
}

dt_status dt_gpu_huber(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  DT_WITH_TYPE(dt_gpu_of(run)->type, return run_compare<T, huber>(run, instr, micro));
  return DT_OK;
}

dt_status dt_gpu_absolute_error(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  DT_WITH_TYPE(dt_gpu_of(run)->type, return run_compare<T, absolute>(run, instr, micro));
  return DT_OK;
}

dt_status dt_gpu_binary_cross_entropy(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  DT_WITH_TYPE(dt_gpu_of(run)->type, return run_compare<T, logistic>(run, instr, micro));
  return DT_OK;
}

dt_status dt_gpu_activity_l1(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  DT_WITH_TYPE(dt_gpu_of(run)->type, return run_compare<T, magnitude>(run, instr, micro));
  return DT_OK;
}

dt_status dt_gpu_activity_l2(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  DT_WITH_TYPE(dt_gpu_of(run)->type, return run_compare<T, square>(run, instr, micro));
  return DT_OK;
}

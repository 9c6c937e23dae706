/* CORRECT and CONFUSION: whether, and what, the first largest output is; see core/program/ops.def. A thread takes a sample:
 * only evaluations that ask for them have them. */
#include "gpu/kernel.cuh"

struct outputs {
  dt_gpu_shards shards;
  const int32_t *target;
  float *terms; /* [samples][columns], from the metric's column on */
  int64_t samples;
  int classes, columns;
  bool pairs; /* the term is label * classes + class, else whether they are the same */
};

/* A NaN is never larger, nor is anything larger than a NaN that comes first. */
template <class T>
static __global__ void judge(outputs o, const T *x) {
  for (int64_t s = dt_thread_index(); s < o.samples; s += dt_thread_count()) {
    if (!dt_is_filled(o.shards, s)) continue;
    const T *row = x + s * o.classes;
    const int label = o.target[s];
    float peak = dt_to_float(row[0]);
    int best = 0;
    for (int k = 1; k < o.classes; k++) {
      const float value = dt_to_float(row[k]);
      if (!(value > peak)) continue;
      peak = value;
      best = k;
    }
    const bool known = label >= 0 && label < o.classes;
    o.terms[s * o.columns] = !o.pairs ? (best == label ? 1.0f : 0.0f) : known ? (float)(label * o.classes + best) : -1.0f;
  }
}

static dt_status run_judge(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro, bool pairs) {
  outputs o = {};
  o.target = static_cast<const int32_t *>(
      dt_gpu_field(run, micro, dt_instr_field_index(run->program, instr, DT_ARG_TARGET), DT_PART_VALUES));
  o.shards = dt_gpu_input_of(run, micro).shards;
  o.samples = dt_gpu_places(run, micro);
  o.terms = static_cast<float *>(dt_gpu_arg(run, instr, micro, DT_ARG_TERMS)) + instr->loss.column;
  o.classes = (int)dt_gpu_count(run->program, instr, DT_ARG_X);
  o.columns = run->program->columns;
  o.pairs = pairs;
  const void *x = dt_gpu_arg(run, instr, micro, DT_ARG_X);
  DT_WITH_TYPE(dt_gpu_of(run)->type, DT_LAUNCH(judge<T>, dt_grid(o.samples), dim3(DT_BLOCK), dt_gpu_stream(run, instr), o,
                                               static_cast<const T *>(x)));
  return DT_OK;
}

dt_status dt_gpu_correct(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  return run_judge(run, instr, micro, false);
}

dt_status dt_gpu_confusion(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  return run_judge(run, instr, micro, true);
}

/* Metrics of classes: whether, and what, the first largest output is; see core/program/ops.def. */
#include "cpu/simd/common.h"

typedef struct outputs {
  const float *x; /* [blocks][classes][16] */
  float *terms;   /* [blocks][columns][16], from the metric's column on */
  const int32_t *target, *valid;
  int64_t classes, shard_capacity, columns;
  int shard_blocks;
  bool pairs; /* the term is label * classes + class, else whether they are the same */
} outputs;

/* The class of the first largest output of each lane; NaN is never larger. */
VEC v16 find_best(const float *x, int64_t classes) {
  v16 peak = v16_load(x), best = v16_zero();
  for (int64_t k = 1; k < classes; k++) {
    const v16 value = v16_load(x + k * 16);
    const m16 larger = v16_gt(value, peak);
    peak = v16_select(larger, value, peak);
    best = v16_select(larger, v16_set1((float)k), best);
  }
  return best;
}

static float term_of(const outputs *o, int32_t label, float best) {
  if (!o->pairs) return best == (float)label ? 1.0f : 0.0f;
  return label >= 0 && label < o->classes ? (float)(label * o->classes) + best : -1.0f;
}

static void judge_task(void *context, int index, int thread) {
  const outputs *o = context;
  const int block = index % o->shard_blocks, shard = index / o->shard_blocks;
  const int32_t *label = o->target + shard * o->shard_capacity + block * 16;
  float *term = o->terms + index * o->columns * 16;
  _Alignas(64) float best[16];
  v16_store(best, find_best(o->x + index * o->classes * 16, o->classes));
  for (int i = 0; i < block_filled(o->valid[shard], block); i++) term[i] = term_of(o, label[i], best[i]);
}

static dt_status judge(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro, bool pairs) {
  outputs o = {.x = dt_cpu_arg(run, instr, micro, DT_ARG_X),
               .terms = dt_cpu_arg(run, instr, micro, DT_ARG_TERMS) + instr->loss.column * 16,
               .target = dt_host_field(run, micro, dt_instr_field_index(run->program, instr, DT_ARG_TARGET), DT_PART_VALUES),
               .valid = micro->batch->valid,
               .classes = arg_count(run, instr, DT_ARG_X),
               .shard_capacity = run->program->shard_capacity,
               .columns = run->program->columns,
               .shard_blocks = dt_cpu_shard_blocks(run->program),
               .pairs = pairs};
  dt_threads_run(run_threads(run), micro_batch_blocks(run, micro), judge_task, &o);
  return DT_OK;
}

dt_status DT_SIMD(dt_cpu_correct)(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  return judge(run, instr, micro, false);
}

dt_status DT_SIMD(dt_cpu_confusion)(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  return judge(run, instr, micro, true);
}

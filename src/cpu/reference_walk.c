/* How kernels find their arguments, walk the samples of a micro-batch, and sum over its shards. */
#include <string.h>

#include "cpu/reference.h"

const dt_shape *dt_reference_shape(const dt_run *run, const dt_instr *instr, dt_arg arg) {
  DT_ASSERT(instr->arg[arg] >= 0);
  return &run->program->buffer[instr->arg[arg]].shape;
}

/* Where a kind of flat block begins. */
static double *flat_block(const dt_run *run, dt_buffer_kind kind, const dt_micro_batch *micro) {
  switch (kind) {
    case DT_BUF_PARAM:
      return run->blocks.param;
    case DT_BUF_STATE:
      return run->blocks.state;
    case DT_BUF_GRAD:
      return (double *)run->blocks.grad + (micro == NULL ? 0 : micro->partial * run->program->grad_elements);
    default:
      return NULL;
  }
}

void *dt_reference_buffer(const dt_run *run, const dt_instr *instr, const dt_micro_batch *micro, dt_arg arg) {
  if (instr->arg[arg] < 0) return NULL;
  const dt_buffer *b = &run->program->buffer[instr->arg[arg]];
  while (b->alias_of >= 0) b = &run->program->buffer[b->alias_of];
  double *flat = flat_block(run, b->kind, micro);
  return flat != NULL ? (void *)(flat + b->offset) : (char *)run->blocks.arena + b->offset;
}

double *dt_reference_block(const dt_run *run, const dt_instr *instr, const dt_micro_batch *micro, dt_arg arg) {
  return dt_reference_buffer(run, instr, micro, arg);
}

/* Among all places of the micro-batch. */
static int64_t place_of(const dt_reference_sample *at) {
  return at->shard * at->run->program->shard_capacity + at->position;
}

/* Elements of a VALUE or INDEX buffer that stand before a sample's. */
static int64_t sample_offset(const dt_reference_sample *at, dt_arg arg) {
  return place_of(at) * dt_shape_count(dt_reference_shape(at->run, at->instr, arg));
}

double *dt_reference_value(const dt_reference_sample *at, dt_arg arg) {
  double *value = dt_reference_buffer(at->run, at->instr, at->micro, arg);
  return value == NULL ? NULL : value + sample_offset(at, arg);
}

uint8_t *dt_reference_index(const dt_reference_sample *at, dt_arg arg) {
  uint8_t *index = dt_reference_buffer(at->run, at->instr, at->micro, arg);
  return index == NULL ? NULL : index + sample_offset(at, arg);
}

dt_reference_image dt_reference_image_of(const dt_run *run, const dt_instr *instr, dt_arg arg) {
  const dt_shape *shape = dt_reference_shape(run, instr, arg);
  DT_ASSERT(shape->ndim == 3);
  return (dt_reference_image){.channels = shape->dim[0], .height = shape->dim[1], .width = shape->dim[2]};
}

static void clear_sample(const dt_reference_sample *at, dt_arg out) {
  if (at->instr->arg[out] < 0) return;
  int64_t count = dt_shape_count(dt_reference_shape(at->run, at->instr, out));
  memset(dt_reference_value(at, out), 0, (size_t)count * sizeof(double));
}

dt_status dt_reference_map(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro, dt_arg out,
                           dt_reference_each *each) {
  for (int shard = 0; shard < micro->shard_count; shard++) {
    for (int64_t position = 0; position < run->program->shard_capacity; position++) {
      dt_reference_sample at = {.run = run, .instr = instr, .micro = micro, .shard = shard, .position = position};
      if (position < micro->batch->valid[shard])
        each(&at);
      else
        clear_sample(&at, out);
    }
  }
  return DT_OK;
}

/* Joining neighbours at growing distance is the binary counter's order, for any count of shards. */
void dt_reference_fold(double *partial, int shards, int64_t count) {
  for (int step = 1; step < shards; step *= 2) {
    for (int s = 0; s + step < shards; s += 2 * step) {
      double *into = partial + s * count;
      const double *from = partial + (s + step) * count;
      for (int64_t i = 0; i < count; i++) into[i] += from[i];
    }
  }
}

dt_status dt_reference_sum(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro, dt_reference_gradient *gradient) {
  double *dw = dt_reference_block(run, instr, micro, DT_ARG_DW);
  double *db = dt_reference_block(run, instr, micro, DT_ARG_DB);
  double *work = dt_reference_block(run, instr, micro, DT_ARG_WORK);
  int64_t dw_count = dw == NULL ? 0 : dt_shape_count(dt_reference_shape(run, instr, DT_ARG_DW));
  int64_t db_count = db == NULL ? 0 : dt_shape_count(dt_reference_shape(run, instr, DT_ARG_DB));
  int64_t row = dw_count + db_count;
  memset(work, 0, (size_t)(row * micro->shard_count) * sizeof(double));
  for (int shard = 0; shard < micro->shard_count; shard++) {
    double *shard_dw = dw == NULL ? NULL : work + shard * row;
    double *shard_db = db == NULL ? NULL : work + shard * row + dw_count;
    for (int64_t position = 0; position < micro->batch->valid[shard]; position++) {
      dt_reference_sample at = {.run = run, .instr = instr, .micro = micro, .shard = shard, .position = position};
      gradient(&at, shard_dw, shard_db);
    }
  }
  dt_reference_fold(work, micro->shard_count, row);
  if (dw != NULL) memcpy(dw, work, (size_t)dw_count * sizeof(double));
  if (db != NULL) memcpy(db, work + dw_count, (size_t)db_count * sizeof(double));
  return DT_OK;
}

void dt_reference_require_plain(const dt_instr *instr) {
  DT_ASSERT(instr->act.kind == DT_ACT_NONE);
  DT_ASSERT(instr->arg[DT_ARG_ADDEND] < 0 && instr->arg[DT_ARG_MASK] < 0 && instr->arg[DT_ARG_DADD] < 0);
}

/* --- losses and metrics --- */

int64_t dt_reference_elements(const dt_reference_sample *at) {
  return dt_shape_count(dt_reference_shape(at->run, at->instr, DT_ARG_X));
}

static const void *target_field(const dt_reference_sample *at) {
  return dt_host_field(at->run, at->micro, dt_instr_field_index(at->run->program, at->instr, DT_ARG_TARGET), DT_PART_VALUES);
}

int64_t dt_reference_label(const dt_reference_sample *at) {
  return ((const int32_t *)target_field(at))[place_of(at)];
}

double dt_reference_target(const dt_reference_sample *at, int64_t e) {
  const int64_t i = place_of(at) * dt_reference_elements(at) + e;
  const bool bytes = dt_instr_field(at->run->program, at->instr, DT_ARG_TARGET)->dtype == DT_U8;
  const void *target = target_field(at);
  return at->instr->loss.target_scale * (bytes ? (double)((const uint8_t *)target)[i] : (double)((const float *)target)[i]);
}

double *dt_reference_terms(const dt_reference_sample *at) {
  return dt_reference_value(at, DT_ARG_TERMS) + at->instr->loss.column;
}

/* Buckets and the final list of instructions.
 *
 * Backward finishes the parameters in the order of the block, so a bucket is complete at the last instruction that writes into
 * it, and buckets become complete one after another: the reduction of the first runs while backward still computes the rest. */
#include <stdlib.h>
#include <string.h>

#include "core/program/lowering.h"

/* ready[p]: the micro-batch instruction that writes the gradient of parameter p, in block order. */
static dt_status find_writers(const dt_builder *b, int **out_ready) {
  const dt_program *program = b->program;
  int *ready, *of_buffer;
  DT_TRY(dt_alloc((size_t)program->trained_count, sizeof *ready, &ready));
  *out_ready = ready;
  DT_TRY(dt_alloc((size_t)program->buffer_count, sizeof *of_buffer, &of_buffer));
  for (int i = 0; i < b->micro.count; i++) {
    for (int a = 0; a < DT_ARG_COUNT; a++) {
      if (b->micro.item[i].arg[a] >= 0 && (dt_op_infos[b->micro.item[i].op].writes & (1u << a))) {
        of_buffer[b->micro.item[i].arg[a]] = i;
      }
    }
  }
  for (int p = 0; p < program->trained_count; p++) {
    ready[p] = of_buffer[b->param[program->param[p].index].gradient];
    DT_ASSERT(p == 0 || ready[p] >= ready[p - 1]);
  }
  free(of_buffer);
  return DT_OK;
}

static void cut(dt_program *program, const int *ready, int64_t bucket_elements, int last_ready) {
  dt_bucket *bucket = program->bucket;
  int count = 0;
  int64_t first = 0;
  for (int p = 0; p < program->trained_count; p++) {
    bool last = p + 1 == program->trained_count;
    int64_t end = last ? program->trained_elements : program->param[p + 1].offset;
    if (!last && end - first < bucket_elements) continue;
    bucket[count++] = (dt_bucket){.first = first, .count = end - first, .param_count = end - first, .ready = ready[p]};
    first = end;
  }
  /* What nodes contribute to shared parameters, and statistics, ride on the last bucket, which is complete when backward is. */
  bucket[count - 1].count = program->grad_elements - bucket[count - 1].first;
  if (bucket[count - 1].ready < last_ready) bucket[count - 1].ready = last_ready;
  program->bucket_count = count;
}

static dt_status append_bucket_op(dt_instr_list *list, dt_op op, int bucket, dt_stream stream) {
  dt_instr instr = dt_instr_make(op, -1);
  if (bucket >= 0) instr.bucket = bucket;
  instr.stream = stream;
  return dt_instr_list_append(list, &instr);
}

static dt_status make_micro_batch_section(const dt_builder *b, dt_instr_list *list) {
  dt_program *program = b->program;
  int next = 0;
  for (int i = 0; i < b->micro.count; i++) {
    DT_TRY(dt_instr_list_append(list, &b->micro.item[i]));
    int place = list->count - 1;
    for (; next < program->bucket_count && program->bucket[next].ready == i; next++) {
      program->bucket[next].ready = place;
      DT_TRY(append_bucket_op(list, DT_OP_COMBINE, next, DT_STREAM_COMPUTE));
      DT_TRY(append_bucket_op(list, DT_OP_REDUCE_BEGIN, next, DT_STREAM_COMM));
    }
  }
  program->micro_batch_end = list->count;
  return DT_OK;
}

static dt_status append_all(dt_instr_list *list, const dt_instr_list *from) {
  for (int i = 0; i < from->count; i++) DT_TRY(dt_instr_list_append(list, &from->item[i]));
  return DT_OK;
}

static dt_status append_update(dt_instr_list *list, int bucket, int tensor_buffer) {
  dt_instr instr = dt_instr_make(DT_OP_UPDATE, -1);
  instr.bucket = bucket;
  instr.arg[DT_ARG_X] = tensor_buffer;
  return dt_instr_list_append(list, &instr);
}

/* A bucket is updated as soon as it has arrived, while others are still on their way, and the norm is only recorded; with
 * clipping, or a loss scale that may make gradients overflow, every update needs the norm of all of them. The gradient of a
 * parameter that nodes share is whole when the last bucket has arrived. Where a step is several batches, each of them ends with
 * the sum, and the last one goes on; where it is two passes over one, the first ends with the ascent. What the optimizer emits
 * of its own looks at all gradients. Penalties of parameters are part of what training makes small: whoever looks at gradients
 * has to find theirs in them, but for the ascent, which is the losses' (Foret et al. add weight decay outside of it). */
static dt_status make_step_section(dt_builder *b, dt_step_form form, dt_instr_list *list) {
  int buckets = b->program->bucket_count, tensor_buffer = -1;
  bool early = !form.norm_first && !form.penalises && !form.clips_units && !form.accumulates && !form.ascends &&
               form.emit == NULL && b->additions.count == 0;
  for (int k = 0; k < buckets; k++) {
    DT_TRY(append_bucket_op(list, DT_OP_REDUCE_END, k, DT_STREAM_COMM));
    if (form.accumulates) DT_TRY(append_bucket_op(list, DT_OP_ACCUMULATE, k, DT_STREAM_COMPUTE));
    if (early) DT_TRY(append_update(list, k, -1));
  }
  if (form.ascends) DT_TRY(append_all(list, &b->additions)); /* both passes need all of the gradient */
  b->program->partial_begin = form.accumulates || form.ascends ? list->count : b->program->micro_batch_end;
  if (form.ascends) DT_TRY(append_bucket_op(list, DT_OP_ASCEND, -1, DT_STREAM_COMPUTE));
  b->program->update_begin = form.accumulates || form.ascends ? list->count : b->program->micro_batch_end;
  if (form.ascends) DT_TRY(append_bucket_op(list, DT_OP_RETURN, -1, DT_STREAM_COMPUTE));
  if (!form.ascends) DT_TRY(append_all(list, &b->additions));
  if (form.penalises) DT_TRY(append_bucket_op(list, DT_OP_PENALTY, -1, DT_STREAM_COMPUTE));
  DT_TRY(append_bucket_op(list, DT_OP_GRAD_NORM, -1, DT_STREAM_COMPUTE));
  if (form.clips_units) DT_TRY(append_bucket_op(list, DT_OP_CLIP_UNITS, -1, DT_STREAM_COMPUTE));
  if (form.emit != NULL) DT_TRY(form.emit(b, &tensor_buffer));
  DT_TRY(b->status);
  DT_TRY(append_all(list, &b->optimizer));
  for (int k = 0; !early && k < buckets; k++) DT_TRY(append_update(list, k, tensor_buffer));
  if (form.bounds) DT_TRY(append_bucket_op(list, DT_OP_MAX_NORM, -1, DT_STREAM_COMPUTE));
  return append_all(list, &b->step);
}

static dt_status schedule_training(dt_builder *b, dt_step_form form, dt_instr_list *list) {
  dt_program *program = b->program;
  int *ready = NULL;
  int64_t bucket_elements = program->bucket_bytes / (int64_t)dt_dtype_bytes(b->device->ops->dtype);
  DT_TRY(dt_alloc((size_t)program->trained_count, sizeof *program->bucket, &program->bucket));
  dt_status status = find_writers(b, &ready);
  if (status == DT_OK) cut(program, ready, bucket_elements, b->micro.count - 1);
  free(ready);
  DT_TRY(status);
  DT_TRY(make_micro_batch_section(b, list));
  return make_step_section(b, form, list);
}

dt_status dt_schedule_buckets(dt_builder *b, dt_step_form form) {
  dt_instr_list list = {0};
  dt_status status;
  if (b->mode == DT_PROGRAM_TRAIN) {
    status = schedule_training(b, form, &list);
  } else {
    list = b->micro;
    b->micro = (dt_instr_list){0};
    b->program->micro_batch_end = b->program->partial_begin = b->program->update_begin = list.count;
    status = DT_OK;
  }
  b->program->instr = list.item;
  b->program->count = list.count;
  return status;
}

/* The program as text: what `describe --program` shows, and what ranks hash and compare before step 0. */
#include <inttypes.h>
#include <stdlib.h>
#include <xxhash.h>

#include "core/program/program.h"

static const char *const arg_names[DT_ARG_COUNT] = {
    [DT_ARG_X] = "x",         [DT_ARG_W] = "w",           [DT_ARG_B] = "b",           [DT_ARG_Y] = "y",
    [DT_ARG_DY] = "dy",       [DT_ARG_DX] = "dx",         [DT_ARG_DW] = "dw",         [DT_ARG_DB] = "db",
    [DT_ARG_AUX] = "aux",     [DT_ARG_ADDEND] = "addend", [DT_ARG_FACTOR] = "factor", [DT_ARG_MASK] = "mask",
    [DT_ARG_BITS] = "bits",   [DT_ARG_DADD] = "dadd",     [DT_ARG_STATE] = "state",   [DT_ARG_STAT] = "stat",
    [DT_ARG_TERMS] = "terms", [DT_ARG_WORK] = "work",     [DT_ARG_TARGET] = "target",
};
static const char *const mode_names[] = {
    [DT_PROGRAM_TRAIN] = "train", [DT_PROGRAM_EVAL] = "eval", [DT_PROGRAM_PREDICT] = "predict"};
static const char *const stream_names[] = {
    [DT_STREAM_COMPUTE] = "compute", [DT_STREAM_COMM] = "comm", [DT_STREAM_COPY] = "copy", [DT_STREAM_SIDE] = "side"};
static const char *const block_marks[] = {
    [DT_BUF_VALUE] = "@",  [DT_BUF_INDEX] = "@",  [DT_BUF_BITS] = "@",  [DT_BUF_TERMS] = "@",
    [DT_BUF_SHARD] = "@",  [DT_BUF_PARAM] = "@p", [DT_BUF_GRAD] = "@g", [DT_BUF_STATE] = "@s",
    [DT_BUF_TENSOR] = "@", [DT_BUF_WORK] = "@",   [DT_BUF_FIELD] = "@f"};

static bool in_arena(dt_buffer_kind kind) {
  return kind == DT_BUF_VALUE || kind == DT_BUF_INDEX || kind == DT_BUF_BITS || kind == DT_BUF_TERMS || kind == DT_BUF_SHARD ||
         kind == DT_BUF_TENSOR || kind == DT_BUF_WORK;
}

/* What ranks must agree on of a field besides its name and shape. */
static void print_field(const dt_field *field, FILE *out) {
  fputs(dt_dtype_name(field->dtype), out);
  if (field->layout == DT_FIELD_RAGGED) fputs(" ragged", out);
  if (field->layout == DT_FIELD_SPARSE) fprintf(out, " sparse %" PRId64, field->entries);
}

static void print_arg(const dt_program *program, const dt_instr *instr, int a, bool places, FILE *out) {
  const dt_buffer *buffer = &program->buffer[instr->arg[a]];
  char shape[DT_SHAPE_TEXT];
  if (buffer->kind == DT_BUF_WORK && !places) return;
  fprintf(out, " %s=", arg_names[a]);
  if (buffer->kind == DT_BUF_WORK) {
    fprintf(out, "%zu bytes", buffer->bytes);
  } else {
    fprintf(out, "{%s}%s", buffer->name, dt_shape_text(&buffer->shape, shape));
  }
  if (buffer->kind == DT_BUF_FIELD) print_field(&program->field[buffer->offset], out);
  if (places || !in_arena(buffer->kind)) fprintf(out, "%s%" PRId64, block_marks[buffer->kind], buffer->offset);
}

/* "5x5" */
static void print_axes(const int *value, int ndim, FILE *out) {
  for (int axis = 0; axis < ndim && axis < DT_WINDOW_DIMS; axis++) fprintf(out, "%s%d", axis > 0 ? "x" : "", value[axis]);
}

static void print_window(const char *what, const dt_window *w, FILE *out) {
  fprintf(out, " %s=", what);
  print_axes(w->kernel, w->ndim, out);
  fputc('/', out);
  print_axes(w->stride, w->ndim, out);
  fprintf(out, " pad=");
  print_axes(w->pad, w->ndim, out);
  fprintf(out, " dilation=");
  print_axes(w->dilation, w->ndim, out);
}

/* --- attributes: one printer each, which an op's row names --- */

static void print_none(const dt_instr *instr, FILE *out) {
}

static void print_pooling(const dt_pool_op *pool, FILE *out) {
  print_window(pool->average ? "mean" : "max", &pool->window, out);
}

static void print_pool(const dt_instr *instr, FILE *out) {
  print_pooling(&instr->pool, out);
}

static void print_conv(const dt_instr *instr, FILE *out) {
  print_window("window", &instr->conv.window, out);
  if (instr->conv.groups != 1) fprintf(out, " groups=%d", instr->conv.groups);
  if (instr->conv.pool.window.kernel[0] > 0) print_pooling(&instr->conv.pool, out);
}

static void print_norm(const dt_instr *instr, FILE *out) {
  fprintf(out, " eps=%.17g momentum=%.17g", instr->norm.eps, instr->norm.momentum);
}

static void print_dropout(const dt_instr *instr, FILE *out) {
  fprintf(out, " p=%.17g layer=%" PRId64, instr->dropout.p, instr->dropout.layer);
}

static void print_noise(const dt_instr *instr, FILE *out) {
  fprintf(out, " std=%.17g layer=%" PRId64, instr->noise.std, instr->noise.layer);
}

static void print_channel(const dt_instr *instr, FILE *out) {
  fprintf(out, " channel=%d", instr->channel);
}

/* The last ones that are zeros are left out, and say no more than their absence. */
static void print_loss_params(const double param[DT_LOSS_PARAMS], FILE *out) {
  int count = DT_LOSS_PARAMS;
  while (count > 0 && param[count - 1] == 0) count--;
  for (int i = 0; i < count; i++) fprintf(out, "%s%.17g", i == 0 ? " param=(" : ", ", param[i]);
  if (count > 0) fputc(')', out);
}

static void print_loss(const dt_instr *instr, FILE *out) {
  fprintf(out, " column=%" PRId64 " weight=%.17g", instr->loss.column, instr->loss.weight);
  if (instr->loss.target_scale != 1) fprintf(out, " target_scale=%.17g", instr->loss.target_scale);
  print_loss_params(instr->loss.param, out);
}

static void print_bucket(const dt_instr *instr, FILE *out) {
  fprintf(out, " bucket=%d", instr->bucket);
}

typedef void attr_printer(const dt_instr *instr, FILE *out);
static attr_printer *const attr_printers[DT_OP_COUNT] = {
#define DT_OP(OP, name, section, attr, reference, cpu, gpu, reads, writes) [DT_OP_##OP] = print_##attr,
#include "core/program/ops.def"
#undef DT_OP
};

static void print_act(const dt_act *act, FILE *out) {
  const dt_act_info *info = &dt_act_infos[act->kind];
  fprintf(out, " act=%s", info->name);
  for (int i = 0; i < info->params; i++) fprintf(out, "%s%.9g", i == 0 ? "(" : ", ", (double)act->param[i]);
  if (info->params > 0) fputc(')', out);
}

static void print_instr(const dt_program *program, int i, bool places, FILE *out) {
  const dt_instr *instr = &program->instr[i];
  const char *node = instr->node >= 0 ? program->graph->node[instr->node].name : "";
  fprintf(out, "%5d  %-12s %-20s", i, dt_op_infos[instr->op].name, node);
  for (int a = 0; a < DT_ARG_COUNT; a++) {
    if (instr->arg[a] >= 0) print_arg(program, instr, a, places, out);
  }
  if (instr->act.kind != DT_ACT_NONE) print_act(&instr->act, out);
  attr_printers[instr->op](instr, out);
  if (instr->stream != DT_STREAM_COMPUTE) fprintf(out, " stream=%s", stream_names[instr->stream]);
  fputc('\n', out);
}

static void print_head(const dt_program *program, bool places, FILE *out) {
  fprintf(out, "program      %s\n", mode_names[program->mode]);
  fprintf(out, "batch        %" PRId64 " samples in %d shards of at most %" PRId64 ", at most %d in a micro-batch\n",
          program->global_batch, program->shards, program->shard_capacity, program->micro_batch_shards);
  fprintf(out, "parameters   %d tensors, %" PRId64 " elements\n", program->param_count, program->param_elements);
  if (program->trained_count < program->param_count) {
    fprintf(out, "frozen       %d of them, %" PRId64 " elements\n", program->param_count - program->trained_count,
            program->param_elements - program->trained_elements);
  }
  fprintf(out, "states       %d tensors, %" PRId64 " elements\n", program->state_count, program->state_elements);
  fprintf(out, "gradients    %" PRId64 " elements, step statistics at %" PRId64 "\n", program->grad_elements,
          program->statistics);
  if (places) fprintf(out, "arena        %zu bytes\n", program->arena_bytes);
  for (int k = 0; k < program->bucket_count; k++) {
    const dt_bucket *bucket = &program->bucket[k];
    fprintf(out, "bucket %-5d elements %" PRId64 " to %" PRId64 ", %" PRId64 " of parameters, complete after %d\n", k,
            bucket->first, bucket->first + bucket->count, bucket->param_count, bucket->ready);
  }
}

/* A network that is one segment of its own accord has nothing to tell. */
static void print_segments(const dt_program *program, FILE *out) {
  const dt_segment *first = program->segment;
  if (dt_program_is_uniform(program) && first->lr_scale == 1 && first->decay) return;
  for (int s = 0; s < program->segment_count; s++) {
    const dt_segment *segment = &program->segment[s];
    fprintf(out, "segment %-4d elements %" PRId64 " to %" PRId64 ", lr x %.17g%s\n", s, segment->first,
            segment->first + segment->count, segment->lr_scale, segment->decay ? "" : ", no weight decay");
  }
}

void dt_program_print(const dt_program *program, bool places, FILE *out) {
  print_head(program, places, out);
  print_segments(program, out);
  fprintf(out, "each micro-batch\n");
  for (int i = 0; i < program->micro_batch_end; i++) print_instr(program, i, places, out);
  if (program->micro_batch_end < program->count) fprintf(out, "each step\n");
  for (int i = program->micro_batch_end; i < program->count; i++) {
    if (i == program->partial_begin && i < program->update_begin) fprintf(out, "each first pass over a batch\n");
    if (i == program->update_begin && i > program->partial_begin) fprintf(out, "each last pass over a batch\n");
    if (i == program->update_begin && i == program->partial_begin && i > program->micro_batch_end)
      fprintf(out, "each last batch of a step\n");
    print_instr(program, i, places, out);
  }
}

uint64_t dt_program_hash(const dt_program *program) {
  char *text = NULL;
  size_t bytes = 0;
  FILE *out = open_memstream(&text, &bytes);
  DT_ASSERT(out != NULL);
  dt_program_print(program, false, out);
  fclose(out);
  uint64_t hash = XXH3_64bits(text, bytes);
  free(text);
  return hash;
}

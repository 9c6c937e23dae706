/* The program as text: what `describe --program` shows, and what ranks hash and compare before step 0. */
#include <inttypes.h>
#include <stdlib.h>
#include <xxhash.h>

#include "core/program.h"

static const char *const arg_names[DT_ARG_COUNT] = {
    [DT_ARG_X] = "x",         [DT_ARG_W] = "w",           [DT_ARG_B] = "b",       [DT_ARG_Y] = "y",
    [DT_ARG_DY] = "dy",       [DT_ARG_DX] = "dx",         [DT_ARG_DW] = "dw",     [DT_ARG_DB] = "db",
    [DT_ARG_AUX] = "aux",     [DT_ARG_ADDEND] = "addend", [DT_ARG_MASK] = "mask", [DT_ARG_DADD] = "dadd",
    [DT_ARG_STATE] = "state", [DT_ARG_STAT] = "stat",     [DT_ARG_WORK] = "work",
};
static const char *const act_names[] = {
    [DT_ACT_NONE] = "none", [DT_ACT_RELU] = "relu", [DT_ACT_SIGMOID] = "sigmoid", [DT_ACT_TANH] = "tanh"};
static const char *const mode_names[] = {
    [DT_PROGRAM_TRAIN] = "train", [DT_PROGRAM_EVAL] = "eval", [DT_PROGRAM_PREDICT] = "predict"};
static const char *const stream_names[] = {
    [DT_STREAM_COMPUTE] = "compute", [DT_STREAM_COMM] = "comm", [DT_STREAM_COPY] = "copy"};
static const char *const block_marks[] = {
    [DT_BUF_VALUE] = "@", [DT_BUF_INDEX] = "@",  [DT_BUF_SHARD] = "@", [DT_BUF_PARAM] = "@p",
    [DT_BUF_GRAD] = "@g", [DT_BUF_STATE] = "@s", [DT_BUF_WORK] = "@"};

static bool in_arena(dt_buffer_kind kind) {
  return kind == DT_BUF_VALUE || kind == DT_BUF_INDEX || kind == DT_BUF_SHARD || kind == DT_BUF_WORK;
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
  if (places || !in_arena(buffer->kind)) fprintf(out, "%s%" PRId64, block_marks[buffer->kind], buffer->offset);
}

static void print_window(const char *what, const dt_window *w, FILE *out) {
  fprintf(out, " %s=%dx%d/%dx%d pad=%dx%d", what, w->kernel[0], w->kernel[1], w->stride[0], w->stride[1], w->pad[0], w->pad[1]);
  if (w->dilation[0] != 1 || w->dilation[1] != 1) fprintf(out, " dilation=%dx%d", w->dilation[0], w->dilation[1]);
}

static bool has_channel(dt_op op) {
  return op == DT_OP_CONCAT || op == DT_OP_SLICE;
}

static void print_attrs(const dt_instr *instr, FILE *out) {
  if (instr->act != DT_ACT_NONE) fprintf(out, " act=%s", act_names[instr->act]);
  if (instr->conv.groups > 0) print_window("window", &instr->conv.window, out);
  if (instr->conv.groups > 1) fprintf(out, " groups=%d", instr->conv.groups);
  if (instr->pool.window.kernel[0] > 0) print_window(instr->pool.average ? "mean" : "max", &instr->pool.window, out);
  if (instr->bn.eps > 0) fprintf(out, " eps=%.17g momentum=%.17g", instr->bn.eps, instr->bn.momentum);
  if (instr->op == DT_OP_DROPOUT_FWD || instr->op == DT_OP_DROPOUT_BWD) {
    fprintf(out, " p=%.17g layer=%d", instr->dropout.p, instr->dropout.layer);
  }
  if (has_channel(instr->op)) fprintf(out, " channel=%d", instr->channel);
  if (instr->bucket >= 0) fprintf(out, " bucket=%d", instr->bucket);
  if (instr->stream != DT_STREAM_COMPUTE) fprintf(out, " stream=%s", stream_names[instr->stream]);
}

static void print_instr(const dt_program *program, int i, bool places, FILE *out) {
  const dt_instr *instr = &program->instr[i];
  const char *node = instr->node >= 0 ? program->graph->node[instr->node].name : "";
  fprintf(out, "%5d  %-12s %-20s", i, dt_op_infos[instr->op].name, node);
  for (int a = 0; a < DT_ARG_COUNT; a++) {
    if (instr->arg[a] >= 0) print_arg(program, instr, a, places, out);
  }
  print_attrs(instr, out);
  fputc('\n', out);
}

static void print_head(const dt_program *program, bool places, FILE *out) {
  fprintf(out, "program      %s\n", mode_names[program->mode]);
  fprintf(out, "batch        %" PRId64 " samples in %d shards of at most %" PRId64 ", at most %d in a pass\n",
          program->global_batch, program->shards, program->shard_slots, program->pass_shards);
  fprintf(out, "parameters   %d tensors, %" PRId64 " elements\n", program->param_count, program->param_elements);
  fprintf(out, "states       %d tensors, %" PRId64 " elements\n", program->state_count, program->state_elements);
  fprintf(out, "gradients    %" PRId64 " elements, tail at %" PRId64 "\n", program->grad_elements, program->tail);
  if (places) fprintf(out, "arena        %zu bytes\n", program->arena_bytes);
  for (int k = 0; k < program->bucket_count; k++) {
    const dt_bucket *bucket = &program->bucket[k];
    fprintf(out, "bucket %-5d elements %" PRId64 " to %" PRId64 ", %" PRId64 " of parameters, complete after %d\n", k,
            bucket->first, bucket->first + bucket->count, bucket->param_count, bucket->ready);
  }
}

void dt_program_print(const dt_program *program, bool places, FILE *out) {
  print_head(program, places, out);
  fprintf(out, "each pass\n");
  for (int i = 0; i < program->pass_end; i++) print_instr(program, i, places, out);
  if (program->pass_end < program->count) fprintf(out, "each step\n");
  for (int i = program->pass_end; i < program->count; i++) print_instr(program, i, places, out);
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

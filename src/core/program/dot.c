#include "core/program/dot.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/program/lowering.h"

typedef enum section { FORWARD, LOSS, BACKWARD, EXCHANGE, STEP, SECTIONS } section;

static const struct {
  const char *name, *color;
} sections[SECTIONS] = {
    [FORWARD] = {"forward", "#cfe2f3"},   [LOSS] = {"loss", "#f4cccc"}, [BACKWARD] = {"backward", "#fce5cd"},
    [EXCHANGE] = {"exchange", "#d9ead3"}, [STEP] = {"step", "#d9d2e9"},
};

typedef struct drawing {
  const dt_program *program;
  FILE *out;
  int *writer; /* [buffer_count] the last instruction so far that wrote the root; -1 = none */
  int *before; /* [count] the one that wrote the same root before this instruction, in pieces; -1 = none */
} drawing;

/* Elements of the gradient block. */
typedef struct stretch {
  int64_t first, end;
} stretch;

static bool reads(const dt_instr *instr, int a) {
  return instr->arg[a] >= 0 && a != DT_ARG_WORK && (dt_op_infos[instr->op].reads & (1u << a));
}

static bool writes(const dt_instr *instr, int a) {
  return instr->arg[a] >= 0 && a != DT_ARG_WORK && (dt_op_infos[instr->op].writes & (1u << a));
}

static bool is_gradient(const dt_program *program, int buffer) {
  const dt_buffer *b = &program->buffer[buffer];
  return b->kind == DT_BUF_VALUE && strncmp(b->name, "d ", 2) == 0;
}

/* Backward is what reads a gradient; the loss makes the first one. */
static section section_of(const dt_program *program, int i) {
  const dt_instr *instr = &program->instr[i];
  section found = FORWARD;
  if (instr->op == DT_OP_COMBINE || instr->op == DT_OP_REDUCE_BEGIN || instr->op == DT_OP_REDUCE_END) return EXCHANGE;
  if (i >= program->micro_batch_end) return STEP;
  for (int a = 0; a < DT_ARG_COUNT; a++) {
    if (reads(instr, a) && is_gradient(program, instr->arg[a])) return BACKWARD;
    if (writes(instr, a) && is_gradient(program, instr->arg[a])) found = LOSS;
  }
  return found;
}

/* Text between quotes. */
static void print_text(const char *text, FILE *out) {
  for (; *text != '\0'; text++) {
    if (*text == '"' || *text == '\\') fputc('\\', out);
    fputc(*text, out);
  }
}

static void print_instr(const drawing *d, int i) {
  const dt_instr *instr = &d->program->instr[i];
  char shape[DT_SHAPE_TEXT];
  fprintf(d->out, "  i%d [label=\"%s", i, dt_op_infos[instr->op].name);
  if (instr->node >= 0) {
    fputs("\\n", d->out);
    print_text(d->program->graph->node[instr->node].name, d->out);
  }
  if (dt_instr_bucket(instr) >= 0) fprintf(d->out, "\\nbucket %d", dt_instr_bucket(instr));
  for (int a = 0; a < DT_ARG_COUNT; a++) {
    if (writes(instr, a)) fprintf(d->out, "\\n%s", dt_shape_text(&d->program->buffer[instr->arg[a]].shape, shape));
  }
  fprintf(d->out, "\", fillcolor=\"%s\"];\n", sections[section_of(d->program, i)].color);
}

static void print_param(const drawing *d, int p) {
  const dt_param *param = &d->program->param[p];
  char shape[DT_SHAPE_TEXT];
  fprintf(d->out, "  p%" PRId64 " [shape=ellipse, fillcolor=\"%s\", label=\"", param->offset,
          param->frozen ? "#cccccc" : "white");
  print_text(param->name, d->out);
  fprintf(d->out, "\\n%s%s\"];\n", dt_shape_text(&param->shape, shape), param->frozen ? "\\nfrozen" : "");
}

static void print_edge(const drawing *d, int from, int to) {
  fprintf(d->out, "  i%d -> i%d;\n", from, to);
}

/* What the step section reads of the gradient are sums, which other instructions have made of what was written. */
static bool is_sum(const dt_program *program, int i, const dt_buffer *buffer) {
  return i >= program->micro_batch_end && buffer->kind == DT_BUF_GRAD;
}

static void print_reads(const drawing *d, int i) {
  const dt_instr *instr = &d->program->instr[i];
  for (int a = 0; a < DT_ARG_COUNT; a++) {
    if (!reads(instr, a)) continue;
    int root = dt_buffer_root(d->program, instr->arg[a]);
    const dt_buffer *buffer = &d->program->buffer[root];
    if (is_sum(d->program, i, buffer)) continue;
    if (buffer->kind == DT_BUF_PARAM) fprintf(d->out, "  p%" PRId64 " -> i%d [style=dashed];\n", buffer->offset, i);
    for (int w = d->writer[root]; w >= 0; w = d->before[w]) print_edge(d, w, i);
  }
}

/* The bucket of an element of the gradient block. */
static int bucket_of(const dt_program *program, int64_t element) {
  int k = 0;
  while (k + 1 < program->bucket_count && element >= program->bucket[k].first + program->bucket[k].count) k++;
  return k;
}

/* From what has written into the bucket of a COMBINE. */
static void print_parts(const drawing *d, int i) {
  const dt_program *program = d->program;
  for (int w = 0; w < i; w++) {
    for (int a = 0; a < DT_ARG_COUNT; a++) {
      const dt_instr *writer = &program->instr[w];
      if (!writes(writer, a) || program->buffer[writer->arg[a]].kind != DT_BUF_GRAD) continue;
      if (bucket_of(program, program->buffer[writer->arg[a]].offset) != dt_instr_bucket(&program->instr[i])) continue;
      print_edge(d, w, i);
      break;
    }
  }
}

static stretch bucket_stretch(const dt_program *program, int k) {
  return (stretch){program->bucket[k].first, program->bucket[k].first + program->bucket[k].count};
}

static stretch buffer_stretch(const dt_buffer *buffer) {
  return (stretch){buffer->offset, buffer->offset + dt_shape_count(&buffer->shape)};
}

/* Ops that change all gradients before the first update. */
static bool remakes_all(dt_op op) {
  return op == DT_OP_PENALTY || op == DT_OP_CLIP_UNITS || op == DT_OP_DIRECTION || op == DT_OP_ORTHOGONALISE;
}

/* What the instruction makes of the sums; empty where it makes none. */
static stretch sums_made(const dt_program *program, int i) {
  const dt_instr *instr = &program->instr[i];
  if (instr->op == DT_OP_GRAD_ADD) return buffer_stretch(&program->buffer[instr->arg[DT_ARG_DW]]);
  if (remakes_all(instr->op)) return (stretch){0, program->trained_elements};
  if (dt_instr_bucket(instr) < 0 || instr->op == DT_OP_UPDATE) return (stretch){0, 0};
  return bucket_stretch(program, dt_instr_bucket(instr));
}

/* What it needs of them, at most DT_ARG_COUNT stretches. Returns how many. */
static int sums_needed(const dt_program *program, int i, stretch *out) {
  const dt_instr *instr = &program->instr[i];
  int count = 0;
  if (instr->op == DT_OP_COMBINE) return 0;
  if (instr->op == DT_OP_GRAD_NORM || instr->op == DT_OP_TENSOR_NORM || instr->op == DT_OP_ASCEND || remakes_all(instr->op))
    out[count++] = (stretch){0, program->trained_elements};
  if (dt_instr_bucket(instr) >= 0) out[count++] = bucket_stretch(program, dt_instr_bucket(instr));
  for (int a = 0; a < DT_ARG_COUNT; a++) {
    const dt_buffer *buffer = instr->arg[a] >= 0 ? &program->buffer[instr->arg[a]] : NULL;
    if (buffer != NULL && is_sum(program, i, buffer)) out[count++] = buffer_stretch(buffer);
  }
  return count;
}

static stretch meet(stretch a, stretch b) {
  return (stretch){a.first > b.first ? a.first : b.first, a.end < b.end ? a.end : b.end};
}

/* Whether between w and i an instruction makes all of these sums anew. */
static bool is_remade(const dt_program *program, int w, int i, stretch of) {
  for (int v = w + 1; v < i; v++) {
    const stretch made = sums_made(program, v);
    if (made.first <= of.first && of.end <= made.end) return true;
  }
  return false;
}

static bool takes_sums(const dt_program *program, int w, int i, const stretch *needed, int count) {
  for (int k = 0; k < count; k++) {
    const stretch common = meet(sums_made(program, w), needed[k]);
    if (common.first < common.end && !is_remade(program, w, i, common)) return true;
  }
  return false;
}

/* From what has made the sums that the instruction needs, and from GRAD_NORM, which makes the scale, to what takes it.
 */
static void print_sums(const drawing *d, int i) {
  const dt_program *program = d->program;
  stretch needed[DT_ARG_COUNT];
  const int count = sums_needed(program, i, needed);
  if (program->instr[i].op == DT_OP_COMBINE) print_parts(d, i);
  for (int w = 0; w < i; w++) {
    const bool scale =
        program->instr[w].op == DT_OP_GRAD_NORM && (program->instr[i].op == DT_OP_UPDATE || remakes_all(program->instr[i].op));
    if (scale || takes_sums(program, w, i, needed, count)) print_edge(d, w, i);
  }
}

static void note_writes(const drawing *d, int i) {
  const dt_instr *instr = &d->program->instr[i];
  d->before[i] = -1;
  for (int a = 0; a < DT_ARG_COUNT; a++) {
    if (!writes(instr, a)) continue;
    int root = dt_buffer_root(d->program, instr->arg[a]);
    if (d->writer[root] >= 0) d->before[i] = d->writer[root];
    d->writer[root] = i;
  }
}

static void print_legend(const drawing *d) {
  fputs("  subgraph cluster_legend {\n    label=\"\"; color=\"#999999\";\n", d->out);
  for (int s = 0; s < SECTIONS; s++) {
    fprintf(d->out, "    legend%d [label=\"%s\", fillcolor=\"%s\"];\n", s, sections[s].name, sections[s].color);
  }
  fputs("  }\n", d->out);
}

static void draw(const drawing *d) {
  const dt_program *program = d->program;
  fputs(
      "digraph program {\n  rankdir=TB;\n  node [shape=box, style=filled, fontname=\"sans-serif\", fontsize=10];\n"
      "  edge [arrowsize=0.6];\n",
      d->out);
  print_legend(d);
  for (int p = 0; p < program->param_count; p++) print_param(d, p);
  for (int i = 0; i < program->count; i++) print_instr(d, i);
  for (int i = 0; i < program->count; i++) {
    print_reads(d, i);
    print_sums(d, i);
    note_writes(d, i);
  }
  fputs("}\n", d->out);
}

dt_status dt_program_dot(const dt_program *program, FILE *out) {
  drawing d = {.program = program, .out = out};
  dt_status status = dt_alloc((size_t)program->buffer_count, sizeof *d.writer, &d.writer);
  if (status == DT_OK) status = dt_alloc((size_t)program->count, sizeof *d.before, &d.before);
  if (status == DT_OK) {
    for (int b = 0; b < program->buffer_count; b++) d.writer[b] = -1;
    draw(&d);
  }
  free(d.writer);
  free(d.before);
  return status;
}

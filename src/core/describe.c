#include "core/describe.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/layer.h"
#include "core/memory.h"
#include "core/optimizer.h"
#include "core/schedule.h"

/* --- numbers for people --- */

enum { NUMBER_TEXT = 32 };

/* 1234567 as "1,234,567". */
static const char *grouped(int64_t value, char *text) {
  char digits[NUMBER_TEXT];
  int length = snprintf(digits, sizeof digits, "%" PRId64, value), used = 0;
  for (int i = 0; i < length; i++) {
    if (i > 0 && (length - i) % 3 == 0) text[used++] = ',';
    text[used++] = digits[i];
  }
  text[used] = '\0';
  return text;
}

/* In units of 1000 or 1024, with one digit behind the point. */
static const char *scaled(double value, double step, const char *const *unit, char *text) {
  int u = 0;
  while (value >= step && unit[u + 1] != NULL) {
    value /= step;
    u++;
  }
  snprintf(text, NUMBER_TEXT, u == 0 ? "%.0f %s" : "%.1f %s", value, unit[u]);
  return text;
}

static const char *flops_text(int64_t flops, char *text) {
  static const char *const unit[] = {"", "k", "M", "G", "T", "P", NULL};
  if (flops == 0) return strcpy(text, "-");
  return scaled((double)flops, 1000, unit, text);
}

static const char *bytes_text(double bytes, char *text) {
  static const char *const unit[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", NULL};
  return bytes == 0 ? strcpy(text, "-") : scaled(bytes, 1024, unit, text);
}

/* --- layers --- */

typedef struct layer_row {
  const char *name, *kind;
  char shape[DT_SHAPE_TEXT];
  int64_t params, forward, backward, bytes;
} layer_row;

static const char *kind_name(const dt_node *node) {
  for (const dt_kind *const *kind = dt_layer_kinds; *kind != NULL; kind++) {
    if ((*kind)->impl == node->layer) return (*kind)->name;
  }
  for (const dt_kind *const *kind = dt_loss_kinds; *kind != NULL; kind++) {
    if ((*kind)->impl == node->layer) return (*kind)->name;
  }
  if (node->layer == &dt_layer_add) return "add";
  return node->layer == &dt_layer_concat ? "concat" : "data";
}

static bool ends_forward(dt_op op) {
  return op == DT_OP_LOSS || op == DT_OP_SCORE || op == DT_OP_SOFTMAX;
}

/* Of an activation. */
static int64_t element_bytes(const dt_device *device) {
  enum { SLOTS = 1024 };
  dt_shape one = {.ndim = 1, .dim = {1}};
  return (int64_t)device->ops->buffer_bytes(device, DT_BUF_VALUE, &one, SLOTS, 1) / SLOTS;
}

static int64_t sample_bytes(const dt_program *program, const dt_device *device, int id) {
  if (id < 0) return 0;
  const dt_buffer *buffer = &program->buffer[id];
  if (buffer->kind == DT_BUF_VALUE) return dt_shape_count(&buffer->shape) * element_bytes(device);
  return buffer->kind == DT_BUF_INDEX ? dt_shape_count(&buffer->shape) : 0;
}

/* Activations by the node whose instruction writes them. The pieces of a CONCAT write one buffer: it counts once. */
static void add_activations(const dt_program *program, const dt_device *device, layer_row *row) {
  int before = -1;
  for (int i = 0; i < program->pass_end && !ends_forward(program->instr[i].op); i++) {
    const dt_instr *instr = &program->instr[i];
    int y = instr->arg[DT_ARG_Y];
    if (y != before) row[instr->node].bytes += sample_bytes(program, device, y);
    row[instr->node].bytes += sample_bytes(program, device, instr->arg[DT_ARG_AUX]);
    before = y;
  }
}

static void fill_row(const dt_graph *graph, const bool *trainable, const dt_node *node, layer_row *row) {
  const dt_shape *in[DT_NODE_INPUTS];
  bool needs_dx = false;
  for (int i = 0; i < node->input_count; i++) {
    in[i] = &graph->node[node->input[i]].shape;
    needs_dx |= trainable[node->input[i]];
  }
  row->name = node->name;
  row->kind = kind_name(node);
  dt_shape_text(&node->shape, row->shape);
  for (int i = 0; i < node->param_count; i++) row->params += dt_shape_count(&node->param[i].shape);
  if (node->layer == NULL) return;
  if (node->layer->flops_forward != NULL) row->forward = node->layer->flops_forward(node, in);
  if (node->layer->flops_backward != NULL) row->backward = node->layer->flops_backward(node, in, needs_dx);
}

static void print_row(const layer_row *row, const int *width, FILE *out) {
  char params[NUMBER_TEXT], forward[NUMBER_TEXT], backward[NUMBER_TEXT], bytes[NUMBER_TEXT];
  fprintf(out, "%-*s  %-*s  %-*s  %14s  %10s  %10s  %12s\n", width[0], row->name, width[1], row->kind, width[2], row->shape,
          row->params > 0 ? grouped(row->params, params) : "-", flops_text(row->forward, forward),
          flops_text(row->backward, backward), bytes_text((double)row->bytes, bytes));
}

static void widen(int *width, const char *text) {
  int length = (int)strlen(text);
  if (length > *width) *width = length;
}

static void print_rule(const int *width, FILE *out) {
  for (int i = 0; i < width[0] + width[1] + width[2] + 60; i++) fputc('-', out);
  fputc('\n', out);
}

static void print_layer_table(const layer_row *row, int count, FILE *out) {
  int width[3] = {5, 4, 6};
  layer_row total = {.name = "total", .kind = "", .shape = ""};
  for (int n = 0; n < count; n++) {
    widen(&width[0], row[n].name);
    widen(&width[1], row[n].kind);
    widen(&width[2], row[n].shape);
    total.params = dt_count_add(total.params, row[n].params);
    total.forward = dt_count_add(total.forward, row[n].forward);
    total.backward = dt_count_add(total.backward, row[n].backward);
    total.bytes = dt_count_add(total.bytes, row[n].bytes);
  }
  fprintf(out, "%-*s  %-*s  %-*s  %14s  %10s  %10s  %12s\n", width[0], "layer", width[1], "kind", width[2], "output",
          "parameters", "forward", "backward", "activations");
  fprintf(out, "%*s  %14s  %10s  %10s  %12s\n", width[0] + width[1] + width[2] + 4, "", "", "FLOP", "FLOP", "a sample");
  print_rule(width, out);
  for (int n = 0; n < count; n++) print_row(&row[n], width, out);
  print_rule(width, out);
  print_row(&total, width, out);
}

void dt_describe_layers(const dt_graph *graph, const dt_program *program, const dt_device *device, FILE *out) {
  layer_row *row = calloc((size_t)graph->count, sizeof *row);
  bool *trainable = calloc((size_t)graph->count, sizeof *trainable);
  if (row != NULL && trainable != NULL) {
    dt_graph_find_trainable(graph, trainable);
    for (int n = 0; n < graph->count; n++) fill_row(graph, trainable, &graph->node[n], &row[n]);
    add_activations(program, device, row);
    print_layer_table(row, graph->count, out);
  }
  free(row);
  free(trainable);
}

/* --- memory --- */

static void print_memory(const char *what, const char *how, double bytes, FILE *out) {
  char exact[NUMBER_TEXT], rounded[NUMBER_TEXT];
  fprintf(out, "%-20s  %-44s  %20s  %10s\n", what, how, grouped((int64_t)bytes, exact), bytes_text(bytes, rounded));
}

void dt_describe_memory(dt_device *device, const dt_spec *spec, const dt_tree *tree, const dt_program *train,
                        const dt_program *eval, FILE *out) {
  dt_memory m = dt_memory_of(device, spec, tree, train, eval);
  int slots = ((const dt_optimizer *)spec->optimizer.kind->impl)->slots, nodes = tree->nodes_max;
  char how[128], count[NUMBER_TEXT], naive[NUMBER_TEXT];
  fprintf(out, "%-20s  %-44s  %20s\n", "memory of a rank", "", "bytes");
  snprintf(how, sizeof how, "%s elements of %s", grouped(train->param_elements, count), dt_dtype_name(device->ops->dtype));
  print_memory("parameters", how, (double)m.params, out);
  snprintf(how, sizeof how, "%s elements x %d %s of the tree", grouped(train->grad_elements, count), nodes,
           nodes == 1 ? "node" : "nodes");
  print_memory("gradients", how, (double)m.gradients, out);
  snprintf(how, sizeof how, "%d %s for each parameter", slots, slots == 1 ? "slot" : "slots");
  print_memory("optimizer", how, (double)m.slots, out);
  print_memory("running statistics", "", (double)m.states, out);
  snprintf(how, sizeof how, "%d x %" PRId64 " samples; without sharing %s", train->pass_shards, train->shard_slots,
           bytes_text((double)train->arena_naive_bytes, naive));
  print_memory("activations", how, (double)m.activations, out);
  print_memory("evaluation", m.evaluation > 0 ? "its activations" : "in the memory of activations", (double)m.evaluation, out);
  snprintf(how, sizeof how, "inputs%s%s", spec->data.resident ? " at their most" : "",
           spec->precision == DT_BF16 || spec->precision == DT_FP16 ? ", parameters in half" : "");
  if (m.device > 0) print_memory("device", how, (double)m.device, out);
  if (m.reducer > 0) print_memory("reducer", "gradients of other ranks", (double)m.reducer, out);
  print_memory("total", "", (double)m.total, out);
  if (m.libraries > 0) print_memory("libraries", "an allowance: CUDA, kernels, NCCL", (double)m.libraries, out);
  size_t room, all;
  if (device->ops->memory == NULL || device->ops->memory(device, &room, &all) != DT_OK) return;
  snprintf(how, sizeof how, "%s", device->title != NULL ? device->title : device->ops->name);
  print_memory("of", how, (double)all, out);
}

/* --- schedule --- */

enum { PLOT_WIDTH = 64, PLOT_HEIGHT = 10, EPOCH_STEPS = 100, POINTS = 8 };

static dt_clock make_clock(const dt_spec *spec) {
  int64_t batch = spec->train.global_batch;
  dt_clock clock = {.epoch_samples = batch * EPOCH_STEPS, .batch_samples = batch};
  clock.total_samples = dt_duration_samples(spec->train.length, &clock);
  if (clock.total_samples == INT64_MAX) clock.total_samples = clock.epoch_samples;
  return clock;
}

/* The largest value within a column, so that a short peak is not lost between two points. */
static void sample_curve(const dt_schedule_spec *lr, const dt_clock *clock, double *value) {
  for (int x = 0; x < PLOT_WIDTH; x++) {
    value[x] = 0;
    for (int p = 0; p < POINTS; p++) {
      double at = ((double)x + (double)p / POINTS) / PLOT_WIDTH * (double)clock->total_samples;
      value[x] = fmax(value[x], dt_schedule_value(lr, clock, (int64_t)at));
    }
  }
}

static void plot(const double *value, double top, FILE *out) {
  for (int y = PLOT_HEIGHT; y >= 1; y--) {
    double level = top * y / PLOT_HEIGHT;
    if (y == PLOT_HEIGHT) {
      fprintf(out, "%10.4g |", level);
    } else {
      fprintf(out, "%10s |", "");
    }
    for (int x = 0; x < PLOT_WIDTH; x++) fputc(value[x] > level - top / PLOT_HEIGHT ? '#' : ' ', out);
    fputc('\n', out);
  }
}

static void print_axis(const dt_spec *spec, FILE *out) {
  static const char *const unit[] = {
      [DT_NEVER] = "", [DT_SAMPLES] = "sample", [DT_STEPS] = "step", [DT_EPOCHS] = "epoch", [DT_SECONDS] = "second"};
  const dt_duration *run = &spec->train.length;
  char end[64];
  int length =
      snprintf(end, sizeof end, "%g %s%s", run->amount, unit[run->unit], run->amount == 1 || run->unit == DT_NEVER ? "" : "s");
  fprintf(out, "%10s +", "0");
  for (int x = 0; x < PLOT_WIDTH; x++) fputc('-', out);
  fprintf(out, "\n%*s\n", 12 + (length > PLOT_WIDTH ? length : PLOT_WIDTH), end);
}

void dt_describe_schedule(const dt_spec *spec, FILE *out) {
  dt_clock clock = make_clock(spec);
  dt_schedule_spec lr, momentum, weight_decay;
  double value[PLOT_WIDTH], top = 0;
  if (dt_schedule_prepare(spec, &clock, &lr, &momentum, &weight_decay) != DT_OK) {
    fprintf(out, "learning rate: %s\n", dt_error_text());
    dt_error_clear();
    return;
  }
  sample_curve(&lr, &clock, value);
  for (int x = 0; x < PLOT_WIDTH; x++) top = fmax(top, value[x]);
  fprintf(out, "learning rate, %s\n", lr.decay.kind != NULL ? lr.decay.kind->name : "constant");
  if (top > 0) plot(value, top, out);
  print_axis(spec, out);
}

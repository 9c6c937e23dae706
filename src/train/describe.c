#include "train/describe.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/host_memory.h"
#include "core/layers/layer.h"
#include "core/optim/average.h"
#include "core/optim/optimizer.h"
#include "core/optim/schedule.h"
#include "core/program/flops.h"
#include "core/solver.h"
#include "core/wrap.h"
#include "train/memory.h"

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

enum { INDEX_BYTES = 512, LAYER_COLUMNS = 7 };

typedef struct layer_row {
  const char *name;
  char index[INDEX_BYTES]; /* "2.0", as in model.layers.2.0; "" of what is no item of a list */
  char shape[DT_SHAPE_TEXT];
  int64_t params, forward, backward, bytes;
} layer_row;

/* "64x8x8" */
static void shape_text(const dt_shape *shape, char *text) {
  text[0] = '\0';
  for (int i = 0; i < shape->ndim; i++) {
    size_t used = strlen(text);
    snprintf(text + used, DT_SHAPE_TEXT - used, "%s%" PRId64, i > 0 ? "x" : "", shape->dim[i]);
  }
}

/* The config's layers in the order in which nodes were made of them: nodes that composites add are passed over. */
typedef struct index_walk {
  const dt_graph *graph;
  layer_row *row;
  int next;
} index_walk;

static void index_layers(index_walk *walk, const dt_choices *list, const char *prefix);

/* Of a composite, whose layers are its main option. */
static void index_inner(index_walk *walk, const dt_choice *item, const char *index) {
  const dt_kind *kind = item->kind;
  const dt_option *option = dt_option_find(kind->options, kind->positional, strlen(kind->positional));
  const void *value = (const char *)item->attr + option->offset;
  char prefix[INDEX_BYTES];
  if (option->type == DT_OPT_LIST) {
    index_layers(walk, value, index);
    return;
  }
  const dt_choice_lists *lists = value;
  for (int i = 0; i < lists->count; i++) {
    DT_ASSERT(snprintf(prefix, sizeof prefix, "%s.%d", index, i) < INDEX_BYTES);
    index_layers(walk, &lists->list[i], prefix);
  }
}

/* Joins that composites add have the layer of an item, but its place is the composite's. */
static bool is_node_of(const dt_node *node, const dt_choice *item) {
  return node->layer == item->kind->impl && node->attr == item->attr && node->origin.source == item->origin.source &&
         node->origin.line == item->origin.line && node->origin.column == item->origin.column;
}

static void index_layers(index_walk *walk, const dt_choices *list, const char *prefix) {
  for (int i = 0; i < list->count; i++) {
    const dt_choice *item = &list->item[i];
    const dt_layer *layer = item->kind->impl;
    char index[INDEX_BYTES];
    DT_ASSERT(snprintf(index, sizeof index, "%s%s%d", prefix, prefix[0] != '\0' ? "." : "", i) < INDEX_BYTES);
    if (layer->expand != NULL) {
      index_inner(walk, item, index);
      continue;
    }
    const dt_node *node = walk->graph->node;
    while (walk->next < walk->graph->count && !is_node_of(&node[walk->next], item)) walk->next++;
    if (walk->next < walk->graph->count) memcpy(walk->row[walk->next++].index, index, sizeof index);
  }
}

static bool ends_forward(dt_op op) {
  return op == DT_OP_TALLY || op == DT_OP_SCORE || op == DT_OP_SOFTMAX;
}

/* Of what is kept of each sample: of many samples, since a buffer is rounded up. */
static int64_t sample_bytes(const dt_program *program, const dt_device *device, int id) {
  enum { SAMPLES = 1024 };
  if (id < 0) return 0;
  const dt_buffer *buffer = &program->buffer[id];
  if (buffer->kind != DT_BUF_VALUE && buffer->kind != DT_BUF_INDEX && buffer->kind != DT_BUF_BITS) return 0;
  return (int64_t)device->ops->buffer_bytes(device, buffer->kind, &buffer->shape, SAMPLES, 1) / SAMPLES;
}

/* Activations by the node whose instruction writes them. The pieces of a CONCAT write one buffer: it counts once. */
static void add_activations(const dt_program *program, const dt_device *device, layer_row *row) {
  int before = -1;
  for (int i = 0; i < program->micro_batch_end && !ends_forward(program->instr[i].op); i++) {
    const dt_instr *instr = &program->instr[i];
    int y = instr->arg[DT_ARG_Y] >= 0 ? instr->arg[DT_ARG_Y] : instr->arg[DT_ARG_DX];
    if (y != before) row[instr->node].bytes += sample_bytes(program, device, y);
    row[instr->node].bytes += sample_bytes(program, device, instr->arg[DT_ARG_AUX]);
    row[instr->node].bytes += sample_bytes(program, device, instr->arg[DT_ARG_BITS]);
    before = y;
  }
}

static void fill_row(const dt_graph *graph, const bool *trainable, const dt_node *node, layer_row *row) {
  row->name = node->name;
  shape_text(&node->shape, row->shape);
  for (int i = 0; i < node->param_count; i++) row->params += dt_shape_count(&node->param[i].shape);
  dt_node_flops(graph, trainable, node, &row->forward, &row->backward);
}

/* Columns of text, the first two to the left. */
typedef struct layer_line {
  const char *cell[LAYER_COLUMNS];
  char params[NUMBER_TEXT], forward[NUMBER_TEXT], backward[NUMBER_TEXT], bytes[NUMBER_TEXT];
} layer_line;

static void fill_line(const layer_row *row, layer_line *line) {
  const char *cell[LAYER_COLUMNS] = {row->index,
                                     row->name,
                                     row->shape,
                                     row->params > 0 ? grouped(row->params, line->params) : "-",
                                     flops_text(row->forward, line->forward),
                                     flops_text(row->backward, line->backward),
                                     bytes_text((double)row->bytes, line->bytes)};
  memcpy(line->cell, cell, sizeof cell);
}

static void widen(int *width, const layer_line *line) {
  for (int c = 0; c < LAYER_COLUMNS; c++) {
    int length = (int)strlen(line->cell[c]);
    if (length > width[c]) width[c] = length;
  }
}

/* A name that leaves no room for the numbers has a line of its own before them. */
static void print_line(const layer_line *line, const int *width, FILE *out) {
  const char *name = line->cell[1];
  fprintf(out, "%-*s  ", width[0], line->cell[0]);
  if ((int)strlen(name) > width[1]) {
    fprintf(out, "%s\n%*s", name, width[0] + 2, "");
    name = "";
  }
  fprintf(out, "%-*s ", width[1], name);
  for (int c = 2; c < LAYER_COLUMNS; c++) fprintf(out, " %*s", width[c], line->cell[c]);
  fputc('\n', out);
}

static int line_columns(const int *width) {
  int columns = 2; /* index and name have two spaces behind them, the others one before */
  for (int c = 0; c < LAYER_COLUMNS; c++) columns += width[c] + (c > 0);
  return columns;
}

static void print_rule(const int *width, FILE *out) {
  for (int i = 0; i < line_columns(width); i++) fputc('-', out);
  fputc('\n', out);
}

static void print_layer_table(const layer_row *row, int count, FILE *out) {
  enum { NAME_LEAST = 10 };
  static const layer_line head = {.cell = {"index", "layer", "output", "params", "forward", "backward", "values"}},
                          units = {.cell = {"", "", "", "", "FLOP", "FLOP", "a sample"}};
  int width[LAYER_COLUMNS] = {0};
  layer_row total = {.name = "", .index = "total"};
  layer_line line;
  widen(width, &head);
  widen(width, &units);
  for (int n = 0; n < count; n++) {
    fill_line(&row[n], &line);
    widen(width, &line);
    total.params = dt_count_add(total.params, row[n].params);
    total.forward = dt_count_add(total.forward, row[n].forward);
    total.backward = dt_count_add(total.backward, row[n].backward);
    total.bytes = dt_count_add(total.bytes, row[n].bytes);
  }
  fill_line(&total, &line);
  widen(width, &line);
  int over = line_columns(width) - DT_LINE_COLUMNS;
  if (over > 0) width[1] = width[1] - over > NAME_LEAST ? width[1] - over : NAME_LEAST;
  print_line(&head, width, out);
  print_line(&units, width, out);
  print_rule(width, out);
  for (int n = 0; n < count; n++) {
    fill_line(&row[n], &line);
    print_line(&line, width, out);
  }
  print_rule(width, out);
  fill_line(&total, &line);
  print_line(&line, width, out);
}

void dt_describe_layers(const dt_spec *spec, const dt_graph *graph, const dt_program *program, const dt_device *device,
                        FILE *out) {
  layer_row *row = calloc((size_t)graph->count, sizeof *row);
  bool *trainable = calloc((size_t)graph->count, sizeof *trainable);
  if (row != NULL && trainable != NULL) {
    dt_graph_find_trainable(graph, trainable);
    for (int n = 0; n < graph->count; n++) fill_row(graph, trainable, &graph->node[n], &row[n]);
    index_layers(&(index_walk){.graph = graph, .row = row}, &spec->model.layers, "");
    add_activations(program, device, row);
    print_layer_table(row, graph->count, out);
  }
  free(row);
  free(trainable);
}

/* --- memory --- */

enum { HOW_COLUMN = 49 };

static void print_memory(const char *what, const char *how, double bytes, FILE *out) {
  char exact[NUMBER_TEXT], rounded[NUMBER_TEXT];
  const int64_t whole = bytes < 0x1p63 ? (int64_t)bytes : INT64_MAX; /* what is beyond all counting */
  dt_wrap_printf(HOW_COLUMN, out, "%-18s  %15s  %10s  %s\n", what, grouped(whole, exact), bytes_text(bytes, rounded), how);
}

/* What a host holds besides the network; what is not known is said to be left out. */
static void print_host(const dt_device *device, const dt_spec *spec, const dt_memory *m, const dt_memory_setting *setting,
                       FILE *out) {
  char how[128], count[2][NUMBER_TEXT];
  if (!dt_device_on_host(device)) return;
  if (setting->train_samples == 0) {
    snprintf(how, sizeof how, "not found: left out");
  } else {
    snprintf(how, sizeof how, "%s + %s samples", grouped(setting->train_samples, count[0]),
             grouped(setting->eval_samples, count[1]));
  }
  print_memory("data sets", how, (double)m->data, out);
  snprintf(how, sizeof how, "%lld prepared ahead", (long long)spec->data.prefetch);
  print_memory("batches", how, (double)m->loader, out);
}

/* What there is for it. */
static void print_place(dt_device *device, FILE *out) {
  char how[128];
  size_t room, all;
  if (device->ops->memory(device, &room, &all) != DT_OK) return;
  if (dt_device_on_host(device)) print_memory("the program itself", "as it is now", (double)dt_host_resident(), out);
  snprintf(how, sizeof how, "%s",
           device->title != NULL       ? device->title
           : dt_device_on_host(device) ? "this host"
                                       : device->ops->name);
  print_memory("of", how, (double)all, out);
  if (dt_device_on_host(device)) print_memory("free", "", (double)room, out);
}

void dt_describe_memory(dt_device *device, const dt_spec *spec, const dt_tree *tree, const dt_program *train,
                        const dt_program *eval, const dt_memory_setting *setting, FILE *out) {
  dt_memory m = dt_memory_of(device, spec, tree, train, eval, setting);
  int slots = dt_slot_count(spec), nodes = tree->partials_max;
  char how[160], count[NUMBER_TEXT], naive[NUMBER_TEXT], side[NUMBER_TEXT];
  fprintf(out, "%-18s  %15s\n", "memory of a rank", "bytes");
  snprintf(how, sizeof how, "%s elements of %s", grouped(train->param_elements, count), dt_dtype_name(device->ops->dtype));
  print_memory("parameters", how, (double)m.params, out);
  snprintf(how, sizeof how, "%s elements x %d %s of the tree%s; %d %s of about %s", grouped(train->grad_elements, count), nodes,
           nodes == 1 ? "node" : "nodes",
           !dt_program_accumulates(train)               ? ""
           : train->partial_begin < train->update_begin ? ", and the parameters between two passes"
                                                        : ", and the sum over batches",
           train->bucket_count, train->bucket_count == 1 ? "bucket" : "buckets",
           bytes_text((double)train->bucket_bytes, naive));
  print_memory("gradients", how, (double)m.gradients, out);
  snprintf(how, sizeof how, "%d %s for each parameter%s", slots, slots == 1 ? "slot" : "slots",
           spec->average.kind != NULL ? ", the average's among them" : "");
  print_memory("optimizer", how, (double)m.slots, out);
  print_memory("running statistics", "", (double)m.states, out);
  snprintf(how, sizeof how, "%d x %" PRId64 " samples; without sharing %s", train->micro_batch_shards, train->shard_capacity,
           bytes_text((double)train->arena_naive_bytes, naive));
  if (train->arena_side_bytes > 0) {
    size_t end = strlen(how);
    snprintf(how + end, sizeof how - end, "; %s are for the side stream", bytes_text((double)train->arena_side_bytes, side));
  }
  print_memory("activations", how, (double)m.activations, out);
  print_memory("evaluation", m.evaluation > 0 ? "its activations" : "in the memory of activations", (double)m.evaluation, out);
  snprintf(how, sizeof how, "inputs%s%s", spec->data.device_cache ? " at their most" : "",
           spec->precision == DT_BF16 || spec->precision == DT_FP16 ? ", parameters in half" : "");
  if (m.device > 0) print_memory("device", how, (double)m.device, out);
  if (m.reducer > 0)
    print_memory("reducer", dt_device_on_host(device) ? "" : "gradients of other ranks", (double)m.reducer, out);
  print_host(device, spec, &m, setting, out);
  print_memory("total", "", (double)m.total, out);
  if (m.libraries > 0) print_memory("libraries", "an allowance: CUDA, kernels, NCCL", (double)m.libraries, out);
  print_place(device, out);
}

/* --- schedule --- */

enum { PLOT_WIDTH = 64, PLOT_HEIGHT = 10, EPOCH_STEPS = 100, POINTS = 8 };

static dt_clock make_clock(const dt_spec *spec) {
  int64_t batch = spec->train.global_batch;
  int64_t epoch = batch * EPOCH_STEPS;
  const dt_solver *solver = spec->solver.kind->impl;
  dt_clock clock = dt_clock_make(epoch, solver->whole ? epoch : batch, spec->train.length);
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
  char end[DT_DURATION_TEXT];
  int length = (int)strlen(dt_duration_text(spec->train.length, end));
  fprintf(out, "%10s +", "0");
  for (int x = 0; x < PLOT_WIDTH; x++) fputc('-', out);
  fprintf(out, "\n%*s\n", 12 + (length > PLOT_WIDTH ? length : PLOT_WIDTH), end);
}

void dt_describe_schedule(const dt_spec *spec, FILE *out) {
  dt_clock clock = make_clock(spec);
  dt_schedules schedules;
  const dt_schedule_spec *lr = &schedules.hyper[DT_HYPER_LR];
  double value[PLOT_WIDTH], top = 0;
  if (dt_schedules_make(spec, &clock, &schedules) != DT_OK) {
    fprintf(out, "learning rate: %s\n", dt_error_text());
    dt_error_clear();
    return;
  }
  sample_curve(lr, &clock, value);
  for (int x = 0; x < PLOT_WIDTH; x++) top = fmax(top, value[x]);
  fprintf(out, "learning rate, %s\n", lr->decay.kind != NULL ? lr->decay.kind->name : "constant");
  if (top > 0) plot(value, top, out);
  print_axis(spec, out);
}

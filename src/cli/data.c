/* dtrain data: what a config's samples are, before anything is trained on them. */
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/lowered.h"
#include "comm/cores.h"
#include "core/numbers.h"
#include "data/sets.h"
#include "report/contact_sheet.h"
#include "train/survey.h"

enum { SHOWN_CHANNELS = 40, SHOWN_CLASSES = 100, SHEET_ROWS = 12, SHEET_COLUMNS = 8, NAME_COLUMNS = 28 };

static const dt_cli_option options[] = {
    {"png", "FILE", "draws samples of the training set, one a row: as they are read, then as data.augment changes them"},
    {NULL},
};

/* --- numbers of a field --- */

typedef struct extent {
  double least, most;
  int64_t missing, count;
} extent;

static double value_at(const dt_field *field, const dt_column *data, int64_t i) {
  if (field->dtype == DT_U8) return ((const uint8_t *)data->values)[i];
  if (field->dtype == DT_I32) return ((const int32_t *)data->values)[i];
  return ((const float *)data->values)[i];
}

static void extend(extent *e, double value) {
  if (isnan(value)) {
    e->missing++;
    return;
  }
  if (e->count == 0 || value < e->least) e->least = value;
  if (e->count == 0 || value > e->most) e->most = value;
  e->count++;
}

/* Of all that a field holds, dense or not. Of nothing where samples lie in a store. */
static extent extent_of(const dt_dataset *set, int f) {
  const dt_field *field = &set->fields.field[f];
  const dt_column *data = &set->data[f];
  extent e = {.count = 0};
  int64_t step = 1;
  if (data->store != NULL) return e;
  if (field->layout == DT_FIELD_RAGGED) step = dt_shape_count(&field->shape) / field->shape.dim[0];
  const int64_t all =
      field->layout == DT_FIELD_DENSE ? set->count * dt_shape_count(&field->shape) : data->offset[set->count] * step;
  for (int64_t i = 0; i < all; i++) extend(&e, value_at(field, data, i));
  return e;
}

/* Of the first channels of a dense field in memory. */
static void channel_extents(const dt_dataset *set, int f, int64_t channels, extent *out) {
  const dt_field *field = &set->fields.field[f];
  const int64_t elements = dt_shape_count(&field->shape), inner = dt_shape_inner(&field->shape);
  for (int64_t c = 0; c < channels; c++) out[c] = (extent){.count = 0};
  for (int64_t i = 0; i < set->count; i++) {
    for (int64_t c = 0; c < channels; c++) {
      for (int64_t k = 0; k < inner; k++) extend(&out[c], value_at(field, &set->data[f], i * elements + c * inner + k));
    }
  }
}

static void print_lengths(const dt_dataset *set, int f) {
  const int64_t *offset = set->data[f].offset;
  int64_t least = INT64_MAX, most = 0;
  for (int64_t i = 0; i < set->count; i++) {
    const int64_t length = offset[i + 1] - offset[i];
    if (length < least) least = length;
    if (length > most) most = length;
  }
  printf(", %" PRId64 " to %" PRId64 " %s, %.1f in the mean", least, most,
         set->fields.field[f].layout == DT_FIELD_RAGGED ? "steps" : "entries", (double)offset[set->count] / (double)set->count);
}

static void print_field(const dt_dataset *set, int f) {
  const dt_field *field = &set->fields.field[f];
  const extent e = extent_of(set, f);
  char shape[DT_SHAPE_TEXT];
  printf("  %-10s %-3s %s", field->name, dt_dtype_name(field->dtype),
         field->shape.ndim > 0 ? dt_shape_text(&field->shape, shape) : "one number");
  if (e.count > 0) printf(", from %g to %g", e.least, e.most);
  if (set->data[f].store != NULL) printf(", read one by one");
  if (e.missing > 0) printf(", %" PRId64 " missing", e.missing);
  if (field->layout != DT_FIELD_DENSE) print_lengths(set, f);
  putchar('\n');
}

static void print_set(const char *title, const dt_dataset *set) {
  dt_data_info info;
  dt_dataset_info(set, &info);
  printf("%s: %s\n  %" PRId64 " sample%s, %zu bytes in memory, hash %016" PRIx64 "\n", title, set->source, set->count,
         dt_plural(set->count), dt_dataset_bytes(&info), set->hash);
  if (set->note != NULL) printf("  %s\n", set->note);
  for (int f = 0; f < set->fields.count; f++) print_field(set, f);
}

/* --- channels of what is normalised --- */

static const char *channel_name(const dt_column *data, int64_t c, char *number, size_t bytes) {
  const char *name = data->names;
  for (int64_t i = 0; name != NULL && i < c; i++) name += strlen(name) + 1;
  if (name != NULL) return name;
  snprintf(number, bytes, "%" PRId64, c);
  return number;
}

/* Mean and deviation in the units of data.mean and data.std, in which a byte counts in 255ths. */
static dt_status print_channels(const dt_dataset *set, int f) {
  const dt_field *field = &set->fields.field[f];
  const int64_t channels = dt_shape_channels(&field->shape);
  const double unit = field->dtype == DT_U8 ? 255 : 1;
  double *mean, *std;
  char number[24];
  DT_TRY(dt_alloc(2 * (size_t)channels, sizeof *mean, &mean));
  std = mean + channels;
  dt_dataset_statistics(set, f, mean, std);
  printf("\n%-*s %12s %12s %12s %12s %8s\n", NAME_COLUMNS, field->name, "mean", "std", "least", "most", "missing");
  extent shown[SHOWN_CHANNELS];
  const int64_t count = channels < SHOWN_CHANNELS ? channels : SHOWN_CHANNELS;
  if (set->data[f].store == NULL) channel_extents(set, f, count, shown);
  for (int64_t c = 0; c < count; c++) {
    const extent e = shown[c];
    printf("%-*.*s %12.6g %12.6g", NAME_COLUMNS, NAME_COLUMNS, channel_name(&set->data[f], c, number, sizeof number), mean[c],
           std[c]);
    if (set->data[f].store == NULL) printf(" %12.6g %12.6g %8" PRId64, e.least / unit, e.most / unit, e.missing);
    putchar('\n');
  }
  if (channels > SHOWN_CHANNELS) printf("... and %" PRId64 " others\n", channels - SHOWN_CHANNELS);
  free(mean);
  return DT_OK;
}

/* --- classes --- */

static bool has_classes(const dt_dataset *set, int f) {
  return set != NULL && f >= 0 && set->fields.field[f].dtype == DT_I32 && set->fields.field[f].layout == DT_FIELD_DENSE &&
         set->fields.field[f].shape.ndim == 0;
}

/* Samples of each class [0, count); *out_other: of what is none of them. Returns new, NULL without memory. */
static int64_t *count_classes(const dt_dataset *set, int f, int64_t count, int64_t *out_other) {
  int64_t *counts = calloc((size_t)count, sizeof *counts);
  const int32_t *label = set->data[f].values;
  *out_other = 0;
  for (int64_t i = 0; counts != NULL && i < set->count; i++) {
    if (label[i] >= 0 && label[i] < count) {
      counts[label[i]]++;
    } else {
      *out_other += 1;
    }
  }
  return counts;
}

static void print_share(const int64_t *count, int64_t c, int64_t all) {
  if (count != NULL) printf(" %10" PRId64 " %6.2f %%", count[c], 100 * (double)count[c] / (double)all);
}

/* As the config lists it, or the files name it. */
static const char *class_name(const dt_spec *spec, const dt_dataset *set, int64_t c) {
  if (c < spec->data.classes.count) return spec->data.classes.value[c];
  const char *name = set->classes != NULL ? set->classes : "";
  for (int64_t i = 0; i < c && *name != '\0'; i++) name += strlen(name) + 1;
  return name;
}

static dt_status print_classes(const dt_spec *spec, const dt_dataset *train, const dt_dataset *eval, int f) {
  const int e = eval != NULL ? dt_dataset_find(eval, "label") : -1;
  const double most = extent_of(train, f).most;
  int64_t classes = spec->data.classes.count, other, other_eval = 0;
  if (most >= (double)classes) classes = most < SHOWN_CLASSES ? (int64_t)most + 1 : SHOWN_CLASSES;
  int64_t *count = count_classes(train, f, classes, &other);
  int64_t *scored = has_classes(eval, e) ? count_classes(eval, e, classes, &other_eval) : NULL;
  printf("\n%-*s %19s%s\n", NAME_COLUMNS, "label", "training set", scored != NULL ? "      evaluation set" : "");
  for (int64_t c = 0; count != NULL && c < classes; c++) {
    const char *name = class_name(spec, train, c);
    printf("%4" PRId64 " %-*.*s", c, NAME_COLUMNS - 5, NAME_COLUMNS - 5, name);
    print_share(count, c, train->count);
    print_share(scored, c, scored != NULL ? eval->count : 1);
    putchar('\n');
  }
  if (other + other_eval > 0) printf("others: %" PRId64 " samples\n", other + other_eval);
  free(scored);
  free(count);
  return DT_OK;
}

/* --- the picture --- */

/* The first sample of each class in turn, then the samples from the first on. */
static int64_t sample_of_row(const dt_dataset *set, int row) {
  const int f = dt_dataset_find(set, "label");
  if (!has_classes(set, f)) return row;
  const int32_t *label = set->data[f].values;
  for (int64_t i = 0; i < set->count; i++) {
    if (label[i] == row) return i;
  }
  return row;
}

static dt_status draw_row(const dt_spec *spec, const dt_dataset *set, int f, int row, uint8_t *room, dt_contact_sheet *sheet) {
  const dt_shape *shape = &set->fields.field[f].shape;
  const int64_t bytes = dt_shape_count(shape), index = sample_of_row(set, row);
  uint8_t *pixels = room + dt_augment_scratch_bytes(&spec->data.augment, shape);
  dt_augment_image image = {.shape = shape, .pixels = pixels, .scratch = room, .is_input = true};
  for (int64_t column = 0; column < sheet->columns; column++) {
    DT_TRY(dt_dataset_read(set, f, index, (size_t)bytes, pixels));
    dt_augment_key key = {.seed = spec->seed, .epoch = column - 1, .sample = index};
    for (key.place = 0; column > 0 && key.place < spec->data.augment.count; key.place++)
      dt_augment_apply(&spec->data.augment, &key, &image);
    dt_contact_sheet_put(sheet, row, column, pixels);
  }
  return DT_OK;
}

static dt_status draw_rows(const dt_spec *spec, const dt_dataset *set, int f, dt_contact_sheet *sheet) {
  const dt_shape *shape = &sheet->shape;
  uint8_t *room;
  DT_TRY(dt_alloc(1, (size_t)(dt_augment_scratch_bytes(&spec->data.augment, shape) + dt_shape_count(shape)), &room));
  dt_status status = DT_OK;
  for (int row = 0; status == DT_OK && row < sheet->rows; row++) status = draw_row(spec, set, f, row, room, sheet);
  free(room);
  return status;
}

static dt_status draw(const dt_spec *spec, const dt_dataset *set, const char *path) {
  int f;
  dt_contact_sheet sheet;
  DT_TRY(dt_augment_find_image(set, spec, &f));
  DT_REQUIRE(f >= 0, DT_USAGE, "--png: found no images of bytes [C, H, W] in %s that an input reads, expected some to draw",
             set->source);
  const int64_t rows = set->count < SHEET_ROWS ? set->count : SHEET_ROWS;
  DT_TRY(dt_contact_sheet_create(&set->fields.field[f].shape, rows, spec->data.augment.count > 0 ? SHEET_COLUMNS : 1, &sheet));
  dt_status status = draw_rows(spec, set, f, &sheet);
  if (status == DT_OK) status = dt_contact_sheet_write(&sheet, path);
  if (status == DT_OK)
    printf("\n%s: %" PRId64 " samples%s\n", path, sheet.rows,
           sheet.columns > 1 ? ", a row each: as read, and as 7 epochs see it" : "");
  dt_contact_sheet_destroy(&sheet);
  return status;
}

/* --- the command --- */

static dt_status print_inputs(const dt_spec *spec, const dt_dataset *train) {
  for (int i = 0; i < spec->model.inputs.count; i++) {
    const int f = dt_dataset_find(train, dt_spec_input_field(spec, i));
    const bool measured = f >= 0 && train->fields.field[f].layout == DT_FIELD_DENSE && train->fields.field[f].dtype != DT_I32;
    if (measured) DT_TRY(print_channels(train, f));
  }
  return DT_OK;
}

/* Whether the network of the config takes these samples; told last, since what was printed says how to mend it. */
static dt_status check(const dt_config *config, const dt_dataset *train, const dt_dataset *eval) {
  dt_graph *graph;
  DT_TRY(dt_graph_create(config, &graph));
  const int inputs = dt_graph_input_fields(graph);
  dt_status status = dt_dataset_check(train, graph->field, graph->field_count, inputs);
  if (status == DT_OK && eval != NULL) status = dt_dataset_check(eval, graph->field, graph->field_count, inputs);
  dt_graph_destroy(&graph);
  return status;
}

static dt_status show(const dt_cli *cli, const dt_config *config, const dt_dataset *train, const dt_dataset *eval) {
  const dt_spec *spec = dt_config_spec(config);
  const char *png = dt_cli_value(cli, "png");
  print_set("training set", train);
  if (eval != NULL) print_set("evaluation set", eval);
  DT_TRY(print_inputs(spec, train));
  const int label = dt_dataset_find(train, "label");
  if (has_classes(train, label)) DT_TRY(print_classes(spec, train, eval, label));
  if (png != NULL) DT_TRY(draw(spec, train, png));
  return check(config, train, eval);
}

/* What only reading all samples of a store tells, on one rank: what is broken and, of the training set, statistics. */
static dt_status survey(dt_dataset *set, bool measure) {
  dt_comm *comm = NULL;
  dt_status status = DT_OK;
  for (int f = 0; set != NULL && f < set->fields.count && status == DT_OK; f++) {
    if (set->data[f].store == NULL || !(measure || set->data[f].store->skips)) continue;
    if (comm == NULL) status = dt_comm_self_create(&comm);
    if (status == DT_OK) status = dt_survey_dataset(comm, set, f, (int)ceil(dt_cores_available()));
  }
  if (comm != NULL) comm->ops->destroy(&comm);
  return status;
}

static dt_status run(dt_cli *cli) {
  dt_config *config = NULL;
  dt_dataset *train = NULL, *eval = NULL;
  signal(SIGPIPE, SIG_DFL); /* `dtrain data CONFIG | head` ends when head has enough */
  DT_TRY(dt_cli_config(cli, 0, &config));
  dt_status status = dt_sets_load(dt_config_spec(config), &train, &eval);
  if (status == DT_OK) status = survey(train, true);
  if (status == DT_OK) status = survey(eval, false);
  if (status == DT_OK) status = show(cli, config, train, eval);
  fflush(stdout);
  dt_dataset_destroy(&eval);
  dt_dataset_destroy(&train);
  dt_config_destroy(&config);
  return status;
}

const dt_command dt_command_data = {
    .name = "data",
    .summary = "prints what a config's samples are: counts, shapes, classes, statistics",
    .words = "CONFIG",
    .words_min = 1,
    .words_max = 1,
    .description =
        "Reads the training set and the evaluation set, and prints the number of samples, each field with its type, shape and "
        "range, mean and standard deviation of each channel of the inputs (as data.mean and data.std take them), and the "
        "classes. Whether the config's network takes these samples is said last.",
    .options = options,
    .run = run,
};

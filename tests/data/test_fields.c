/* Fields of every layout on their way from a format to a device: a format made here says its fields and writes known numbers;
 * what stands at each device's address of each part, and what the loader and the plan say that it takes, is rebuilt from the
 * definitions alone. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/data.h"
#include "support/net.h"
#include "support/unit.h"

enum { SAMPLES = 23, BATCH = 10, SHARDS = 4, SLOTS = 3, FIELDS = 6 };

static const dt_field fields[FIELDS] = {
    {.name = "rows", .dtype = DT_F32, .shape = {1, {100}}, .layout = DT_FIELD_SPARSE, .entries = 7},
    {.name = "vector", .dtype = DT_F32, .shape = {1, {3}}},
    {.name = "input", .dtype = DT_U8, .shape = {3, {1, 4, 4}}},
    {.name = "sequence", .dtype = DT_F32, .shape = {2, {6, 2}}, .layout = DT_FIELD_RAGGED},
    {.name = "label", .dtype = DT_I32},
    {.name = "words", .dtype = DT_I32, .shape = {1, {5}}, .layout = DT_FIELD_RAGGED},
};

/* --- the definitions --- */

/* Steps of a sequence, entries of a row; some samples have none, some the most. */
static int64_t length_of(int f, int64_t sample) {
  const int64_t most = fields[f].layout == DT_FIELD_SPARSE ? fields[f].entries : fields[f].shape.dim[0];
  return fields[f].layout == DT_FIELD_DENSE ? 1 : (sample * 5 + f) % (most + 1);
}

/* Elements of a step, of an entry, of a dense sample. */
static int64_t row_of(int f) {
  if (fields[f].layout == DT_FIELD_SPARSE) return 1;
  return dt_shape_count(&fields[f].shape) / (fields[f].layout == DT_FIELD_RAGGED ? fields[f].shape.dim[0] : 1);
}

static int value_of(int f, int64_t sample, int64_t element) {
  if (strcmp(fields[f].name, "label") == 0) return (int)(sample % 4);
  return 1 + (int)((sample * 37 + element * 11 + f * 3) % 250);
}

static int32_t column_of(int64_t sample, int64_t entry) {
  return (int32_t)(entry * 14 + sample % 14);
}

static void put(dt_dtype dtype, void *to, int64_t at, int value) {
  if (dtype == DT_U8) ((uint8_t *)to)[at] = (uint8_t)value;
  if (dtype == DT_I32) ((int32_t *)to)[at] = value;
  if (dtype == DT_F32) ((float *)to)[at] = (float)value;
}

/* --- the format --- */

/* What is to be wrong: the first sample's numbers of that field. */
typedef enum fault { NO_FAULT, OTHER_VALUE, OTHER_COLUMN, BAD_COLUMN, OTHER_LENGTHS, TOO_LONG } fault;
typedef struct made_attr {
  fault fault;
  int field;
} made_attr;

static void made_declare(const void *attr, dt_fields *out) {
  out->count = FIELDS;
  memcpy(out->field, fields, sizeof fields);
}

static dt_status made_inspect(const void *attr, const dt_data_request *request, bool whole, dt_data_info *out) {
  made_declare(attr, &out->fields);
  out->count = SAMPLES;
  for (int f = 0; f < FIELDS; f++) {
    for (int64_t i = 0; i < SAMPLES && fields[f].layout != DT_FIELD_DENSE; i++) out->total[f] += length_of(f, i);
  }
  return DT_OK;
}

static void fill(dt_dataset *set, int f) {
  dt_column *data = &set->data[f];
  int64_t first = 0;
  for (int64_t i = 0; i < SAMPLES; i++) {
    const int64_t rows = length_of(f, i), row = row_of(f);
    for (int64_t e = 0; e < rows * row; e++) put(fields[f].dtype, data->values, first * row + e, value_of(f, i, e));
    for (int64_t e = 0; e < rows && data->column != NULL; e++) data->column[first + e] = column_of(i, e);
    first += rows;
    if (data->offset != NULL) data->offset[i + 1] = first;
  }
}

static void break_it(const made_attr *attr, dt_column *data) {
  if (attr->fault == OTHER_VALUE) ((uint8_t *)data->values)[2] ^= 1;
  if (attr->fault == OTHER_COLUMN) data->column[0]++;
  if (attr->fault == BAD_COLUMN) data->column[0] = 100;
  if (attr->fault == OTHER_LENGTHS) data->offset[1] += attr->field == 5 ? -1 : 1; /* sample 0 of field 5 is the longest */
  if (attr->fault == TOO_LONG) data->offset[1] = 50;
}

static dt_status made_load(const void *attr, const dt_data_request *request, dt_dataset **out) {
  dt_data_info info = {.count = 0};
  DT_TRY(made_inspect(attr, request, true, &info));
  DT_TRY(dt_dataset_create(&info.fields, info.count, info.total, out));
  (*out)->source = strdup("made");
  for (int f = 0; f < FIELDS; f++) fill(*out, f);
  const made_attr *how = attr;
  break_it(how, &(*out)->data[how->field]);
  return DT_OK;
}

static const dt_format made = {.declare = made_declare, .inspect = made_inspect, .load = made_load};
static const dt_kind made_kind = {.name = "made", .attr_bytes = sizeof(made_attr), .impl = &made};

static dt_status load(fault how, int field, dt_dataset **out) {
  made_attr attr = {.fault = how, .field = field};
  dt_error_clear();
  return dt_dataset_load(&(dt_choice){.kind = &made_kind, .attr = &attr}, &(dt_data_request){.dir = ""}, out);
}

/* --- what a part holds --- */

/* Zeroed, then filled with the definition of a shard's places: sample[SLOTS], -1 for an empty one. */
static void *expected_part(int f, dt_field_part part, const int64_t *sample, int *bytes) {
  *bytes = (int)dt_field_part_bytes(&fields[f], part, SLOTS);
  char *out = calloc(1, (size_t)*bytes + 1);
  const int64_t padded = dt_shape_count(&fields[f].shape);
  int32_t at = 0;
  for (int i = 0; i<SLOTS && * bytes> 0; i++) {
    const int64_t rows = sample[i] < 0 ? 0 : length_of(f, sample[i]);
    const bool sparse = fields[f].layout == DT_FIELD_SPARSE;
    if (part == DT_PART_LENGTHS) ((int32_t *)out)[i] = (int32_t)rows;
    for (int64_t e = 0; e < rows * row_of(f) && part == DT_PART_VALUES; e++) {
      put(fields[f].dtype, out, sparse ? at + e : i * padded + e, value_of(f, sample[i], e));
    }
    for (int64_t e = 0; e < rows && part == DT_PART_COLUMNS; e++) ((int32_t *)out)[at + e] = column_of(sample[i], e);
    at += (int32_t)rows;
    if (part == DT_PART_OFFSETS) ((int32_t *)out)[i + 1] = at;
  }
  return out;
}

/* Bytes of a part that mean anything: what stands behind the last entry of a sparse row does not. */
static int meant_bytes(int f, dt_field_part part, const int64_t *sample, int bytes) {
  int64_t entries = 0;
  if (fields[f].layout != DT_FIELD_SPARSE || part == DT_PART_OFFSETS) return bytes;
  for (int i = 0; i < SLOTS; i++) entries += sample[i] < 0 ? 0 : length_of(f, sample[i]);
  return (int)entries * 4;
}

static void check_part(net *n, int g, int f, dt_field_part part, const dt_micro_batch *micro, int shard,
                       const int64_t *sample) {
  int bytes;
  char *expected = expected_part(f, part, sample, &bytes), *got = calloc(1, (size_t)bytes + 1);
  if (bytes > 0) {
    const char *from = n->device->ops->field(dt_executor_run_state(n->scorer), micro, g, part);
    NET_OK(n->device->ops->download(n->device, got, from + shard * bytes, (size_t)bytes));
    NET_OK(n->device->ops->sync(n->device));
    if (memcmp(got, expected, (size_t)meant_bytes(f, part, sample, bytes)) != 0)
      fail_msg("%s: field %s, part %d, shard %d", n->device->ops->name, fields[f].name, part, shard);
  }
  free(got);
  free(expected);
}

/* --- a network that reads them all --- */

static void open_net(net *n, dt_status (*device)(const dt_device_options *, dt_device **), const dt_dataset *set) {
  net_open(n, &(net_options){.input = "1, 4, 4",
                             .layers = "[flatten, {linear: 4}]",
                             .global_batch = BATCH,
                             .shards = SHARDS,
                             .micro_batch_shards = 2,
                             .pixels = true,
                             .device = device});
  for (int f = 0; f < FIELDS; f++) {
    if (dt_field_find(n->graph->field, n->graph->field_count, fields[f].name) >= 0) continue;
    n->graph->field[n->graph->field_count++] = fields[f];
  }
  dt_graph_take_fields(n->graph, &set->fields);
  n->eval->field_count = n->graph->field_count;
  for (int g = 0; g < n->graph->field_count; g++) {
    if (n->eval->field_use[g] == DT_FIELD_UNUSED) n->eval->field_use[g] = DT_FIELD_READ;
  }
}

static void check_micro_batch(net *n, const dt_sampler *sampler, const dt_step_plan *plan, int p, const dt_batch *batch) {
  const dt_micro_batch_plan *shards = &n->tree->micro_batches[p];
  const dt_micro_batch micro = {.first_shard = shards->first_shard, .shard_count = shards->shard_count, .batch = batch};
  NET_OK(dt_executor_run_micro_batch(n->scorer, p, batch));
  for (int s = 0; s < shards->shard_count; s++) {
    int64_t sample[SLOTS], first;
    const int64_t count = dt_shard_samples(plan->count, SHARDS, shards->first_shard + s, &first);
    for (int64_t i = 0; i < SLOTS; i++) {
      sample[i] = i < count ? dt_sampler_index(sampler, plan->epoch, plan->first + first + i) : -1;
    }
    for (int g = 0; g < n->graph->field_count; g++) {
      const int f = dt_field_find(fields, FIELDS, n->graph->field[g].name);
      for (dt_field_part part = 0; part < DT_FIELD_PARTS; part++) check_part(n, g, f, part, &micro, s, sample);
    }
  }
}

static void arrive(dt_status (*device)(const dt_device_options *, dt_device **)) {
  static const dt_choices none;
  const dt_sampler sampler = {.dataset_count = SAMPLES, .global_batch = BATCH, .seed = 5, .shuffle = true};
  dt_dataset *set;
  dt_loader *loader;
  net n;
  assert_int_equal(load(NO_FAULT, 0, &set), DT_OK);
  open_net(&n, device, set);
  NET_OK(dt_loader_create(set, n.eval, &none, NULL, &sampler, n.tree, 0, 2 * SAMPLES, 3, 2, &loader));
  for (int64_t seen = 0; seen < 2 * SAMPLES;) {
    const dt_step_plan plan = dt_sampler_plan(&sampler, seen);
    for (int p = 0; p < n.tree->micro_batch_count; p++) {
      const dt_batch *batch;
      NET_OK(dt_loader_next(loader, &batch));
      check_micro_batch(&n, &sampler, &plan, p, batch);
    }
    seen += plan.count;
  }
  dt_loader_destroy(&loader);
  net_close(&n);
  dt_dataset_destroy(&set);
}

static void test_arrives_at_reference(void **state) {
  arrive(dt_reference_create);
}

static void test_arrives_at_cpu(void **state) {
  arrive(dt_cpu_create);
}

/* NULL without one, which is no failure unless a plug-in was named. */
static dt_device *open_gpu(void) {
  dt_device *device = NULL;
  if (dt_gpu_create(&(dt_device_options){.threads = 1}, &device) == DT_OK) return device;
  if (getenv("DTRAIN_GPU_PLUGIN") != NULL) fail_msg("%s", dt_error_text());
  print_message("SKIP: gpu, %s\n", dt_error_text());
  dt_error_clear();
  return NULL;
}

static void test_arrives_at_gpu(void **state) {
  dt_device *device = open_gpu();
  if (device == NULL) skip();
  device->ops->destroy(&device);
  arrive(dt_gpu_create);
}

/* --- memory --- */

/* By hand: [slots][6 * 2] and lengths; [slots][5] and lengths; [slots * 7] values and columns and [slots + 1] offsets; and so
 * on. */
static size_t shard_bytes(void) {
  return SLOTS * (16 + 4 + 3 * 4 + (12 * 4 + 4) + (5 * 4 + 4) + 7 * 4 + 7 * 4) + (SLOTS + 1) * 4;
}

static void test_loader_takes_what_is_planned(void **state) {
  dt_dataset *set;
  net n;
  assert_int_equal(load(NO_FAULT, 0, &set), DT_OK);
  open_net(&n, dt_cpu_create, set);
  static const dt_choices none;
  const dt_loader_size size = {
      .program = n.eval, .augment = &none, .tree = n.tree, .global_batch = BATCH, .prefetch = 3, .threads = 2};
  assert_int_equal(dt_loader_bytes(&size), 4 * (size_t)n.tree->micro_batch_shards * shard_bytes());
  net_close(&n);
  dt_dataset_destroy(&set);
}

/* The first batch makes room for the inputs of an evaluation: two copies of a step and a micro-batch, to the byte. */
static void test_gpu_takes_what_is_planned(void **state) {
  static const dt_choices none;
  const dt_sampler sampler = {.dataset_count = SAMPLES, .global_batch = BATCH};
  const dt_bound_plan plan = {.micro_batches = 1};
  dt_device *device = open_gpu();
  dt_dataset *set;
  dt_loader *loader;
  const dt_batch *batch;
  size_t before, after, all;
  net n;
  if (device == NULL) skip();
  device->ops->destroy(&device);
  assert_int_equal(load(NO_FAULT, 0, &set), DT_OK);
  open_net(&n, dt_gpu_create, set);
  NET_OK(dt_loader_create(set, n.eval, &none, NULL, &sampler, n.tree, 0, SAMPLES, 1, 1, &loader));
  NET_OK(dt_loader_next(loader, &batch));
  NET_OK(n.device->ops->memory(n.device, &before, &all));
  NET_OK(dt_executor_run_micro_batch(n.scorer, 0, batch));
  NET_OK(n.device->ops->memory(n.device, &after, &all));
  const size_t others = 2 * sizeof(float) + (size_t)n.eval->score_words * sizeof(int64_t); /* scale, shift and the score */
  assert_int_equal(before - after, n.device->ops->streams->bound_bytes(n.device, n.eval, &plan) - others);
  assert_true(before - after > 2 * shard_bytes());
  dt_loader_destroy(&loader);
  net_close(&n);
  dt_dataset_destroy(&set);
}

static void test_info_tells_what_a_set_takes(void **state) {
  dt_dataset *set;
  dt_data_info said = {.count = 0}, found;
  assert_int_equal(load(NO_FAULT, 0, &set), DT_OK);
  assert_int_equal(made_inspect(NULL, &(dt_data_request){.dir = ""}, true, &said), DT_OK);
  dt_dataset_info(set, &found);
  size_t bytes = SAMPLES * (16 + 4 + 3 * 4) + 3 * (SAMPLES + 1) * 8;
  for (int64_t i = 0; i < SAMPLES; i++) bytes += (size_t)(8 * length_of(0, i) + 8 * length_of(3, i) + 4 * length_of(5, i));
  assert_int_equal(dt_dataset_bytes(&said), bytes);
  assert_int_equal(dt_dataset_bytes(&found), bytes);
  dt_dataset_destroy(&set);
}

/* --- what a data set is --- */

static void test_hash_sees_every_array(void **state) {
  uint64_t hash[FIELDS + 5];
  int count = 0;
  dt_dataset *set;
  assert_int_equal(load(NO_FAULT, 0, &set), DT_OK);
  hash[count++] = set->hash;
  dt_dataset_destroy(&set);
  for (int i = 0; i < FIELDS + 4; i++) {
    static const struct {
      fault fault;
      int field;
    } others[] = {{OTHER_COLUMN, 0}, {OTHER_LENGTHS, 0}, {OTHER_LENGTHS, 3}, {OTHER_LENGTHS, 5}};
    assert_int_equal(i < FIELDS ? load(OTHER_VALUE, i, &set) : load(others[i - FIELDS].fault, others[i - FIELDS].field, &set),
                     DT_OK);
    hash[count++] = set->hash;
    dt_dataset_destroy(&set);
  }
  for (int i = 0; i < count; i++) {
    for (int k = 0; k < i; k++) {
      if (hash[i] == hash[k]) fail_msg("data sets %d and %d have one hash", k, i);
    }
  }
}

static void expect(dt_status status, dt_status expected, const char *fragment) {
  assert_int_equal(status, expected);
  if (strstr(dt_error_text(), fragment) == NULL) fail_msg("\"%s\" lacks \"%s\"", dt_error_text(), fragment);
  dt_error_clear();
}

static void test_refusals(void **state) {
  dt_dataset *set = NULL;
  expect(load(BAD_COLUMN, 0, &set), DT_DATA, "found column 100 of field rows of sample 1, expected ascending columns, 0 to 99");
  expect(load(TOO_LONG, 3, &set), DT_DATA, "found 50 steps in field sequence of sample 0, expected 0 to 6");
  assert_int_equal(load(NO_FAULT, 0, &set), DT_OK);
  static const struct {
    dt_field needed;
    const char *fragment;
    bool input;
  } row[] = {
      {{.name = "picture", .shape = {1, {3}}},
       "found no field picture, expected one for each sample; there is rows, vector, input, sequence, label and words",
       true},
      {{.name = "vector", .shape = {1, {4}}}, "found samples of shape [3] in field vector, expected [4]", true},
      {{.name = "sequence", .shape = {2, {6, 2}}}, "found field sequence to be sequences of many lengths", true},
      {{.name = "rows", .shape = {1, {100}}}, "found field rows to be sparse rows", true},
      {{.name = "label", .shape = {0}}, "found field label of whole numbers, expected bytes or floats", true},
      {{.name = "vector", .dtype = DT_I32}, "found field vector of F32[3], expected I32[]", false},
      {{.name = "label", .dtype = DT_I32, .limit = 3}, "found label 3 of sample 3, expected 0 to 2", false},
  };
  for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
    expect(dt_dataset_check(set, &row[i].needed, 1, row[i].input ? 1 : 0), DT_DATA, row[i].fragment);
  }
  dt_dataset_destroy(&set);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_arrives_at_reference),
      cmocka_unit_test(test_arrives_at_cpu),
      cmocka_unit_test(test_arrives_at_gpu),
      cmocka_unit_test(test_loader_takes_what_is_planned),
      cmocka_unit_test(test_gpu_takes_what_is_planned),
      cmocka_unit_test(test_info_tells_what_a_set_takes),
      cmocka_unit_test(test_hash_sees_every_array),
      cmocka_unit_test(test_refusals),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

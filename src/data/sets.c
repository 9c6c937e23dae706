#include "data/sets.h"

#include <math.h>

/* The evaluation set is a part of the training set. */
static bool is_split(const dt_spec *spec) {
  return spec->data.split.fraction > 0;
}

static const dt_choice *format_of(const dt_spec *spec, dt_set set) {
  return set == DT_SET_TRAIN || is_split(spec) ? &spec->data.train : &spec->data.eval;
}

static dt_data_request request_of(const dt_spec *spec) {
  return (dt_data_request){.dir = spec->data.dir, .classes = spec->data.classes};
}

bool dt_set_is_there(const dt_spec *spec, dt_set set) {
  return format_of(spec, set)->kind != NULL;
}

dt_status dt_set_inspect(const dt_spec *spec, dt_set set, bool whole, dt_data_info *out) {
  const dt_choice *format = format_of(spec, set);
  const dt_data_request request = request_of(spec);
  *out = (dt_data_info){.count = 0};
  if (format->kind == NULL) return DT_OK;
  DT_TRY(dt_dataset_inspect(format, &request, whole, out));
  if (!is_split(spec) || out->count <= 0) return DT_OK;
  const double part = spec->data.split.fraction, share = set == DT_SET_EVAL ? part : 1 - part;
  out->count = set == DT_SET_EVAL ? llround(part * (double)out->count) : out->count - llround(part * (double)out->count);
  for (int f = 0; f < out->fields.count; f++) {
    if (out->total[f] != DT_TOTAL_STORED) out->total[f] = (int64_t)ceil(share * (double)out->total[f]);
  }
  return DT_OK;
}

static dt_status split(const dt_spec *spec, dt_dataset *whole, dt_dataset **eval) {
  int label = -1;
  if (spec->data.split.stratified) {
    label = dt_dataset_find(whole, "label");
    DT_REQUIRE(label >= 0 && whole->fields.field[label].dtype == DT_I32 && whole->fields.field[label].shape.ndim == 0, DT_USAGE,
               "data.split.stratified: found no field label of one class a sample in %s, expected one", whole->source);
  }
  return dt_dataset_split(whole, spec->data.split.fraction, spec->data.split.seed, label, eval);
}

static dt_status load_split(const dt_spec *spec, dt_dataset **train, dt_dataset **eval) {
  dt_dataset *whole = NULL, *part = NULL;
  const dt_data_request request = request_of(spec);
  DT_TRY(dt_dataset_load(&spec->data.train, &request, &whole));
  const dt_status status = split(spec, whole, &part);
  if (status == DT_OK && train != NULL) {
    *train = whole;
    whole = NULL;
  }
  if (status == DT_OK && eval != NULL) {
    *eval = part;
    part = NULL;
  }
  dt_dataset_destroy(&whole);
  dt_dataset_destroy(&part);
  return status;
}

static dt_status load(const dt_spec *spec, dt_set set, dt_dataset **out) {
  const dt_choice *format = format_of(spec, set);
  const dt_data_request request = request_of(spec);
  return out == NULL || format->kind == NULL ? DT_OK : dt_dataset_load(format, &request, out);
}

static dt_status load_both(const dt_spec *spec, dt_dataset **train, dt_dataset **eval) {
  if (is_split(spec)) return load_split(spec, train, eval);
  DT_TRY(load(spec, DT_SET_TRAIN, train));
  const dt_status status = load(spec, DT_SET_EVAL, eval);
  if (status != DT_OK && train != NULL) dt_dataset_destroy(train);
  return status;
}

dt_status dt_sets_load(const dt_spec *spec, dt_dataset **train, dt_dataset **eval) {
  const double noise = spec->data.label_noise;
  if (train != NULL) *train = NULL;
  if (eval != NULL) *eval = NULL;
  DT_TRY(load_both(spec, train, eval));
  if (noise == 0 || train == NULL || *train == NULL) return DT_OK;
  const dt_status status = dt_dataset_change_labels(*train, noise, spec->seed);
  if (status != DT_OK) dt_dataset_destroy(train);
  if (status != DT_OK && eval != NULL) dt_dataset_destroy(eval);
  return status;
}

/* manifest.json: what vouches for a checkpoint's files, and for itself.
 *
 * {
 *   "checksum": "<XXH3-128 of this text with these 32 digits as zeros>",
 *   "data": {"eval": null, "train": {"samples": 60000, "xxh3_64": "..."}},
 *   "files": {"config.yaml": {"bytes": 1, "xxh3_128": "..."}, "model.safetensors": ..., "optimizer.safetensors": ...},
 *   "fingerprint": "...", "format": "dtrain-checkpoint",
 *   "progress": {"epoch": {"samples": 64, "sums": {"loss.correct": 20.0, "loss.loss": 95.5}}, "evaluation_due": false,
 *                "samples_seen": 64, "step": 1,
 *                "watch": {"best": {"best": 0.9, "measure": "accuracy", "samples_seen": 64, "step": 1, "waited": 0}, "stop":
 * ..., "target": null}}, "version": 3
 * }
 *
 * The checksum covers every byte, blanks too, so that it holds however a later JSON library would print the same values. */
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint/foreign.h"
#include "checkpoint/parts.h"

static const char manifest_format[] = "dtrain-checkpoint";
static const char opening[] = "{\n  \"checksum\": \"";
static const char zeros[] = "00000000000000000000000000000000";
enum { OPENING = sizeof opening - 1, DIGITS = DT_HASH_TEXT - 1 };

const char *const dt_part_file[DT_PART_COUNT] = {
    [DT_PART_MODEL] = "model.safetensors",
    [DT_PART_OPTIMIZER] = "optimizer.safetensors",
    [DT_PART_CONFIG] = "config.yaml",
};
const char dt_manifest_file[] = "manifest.json";

static const char *const watch_keys[DT_WATCH_COUNT] = {
    [DT_WATCH_TARGET] = "target", [DT_WATCH_BEST] = "best", [DT_WATCH_STOP] = "stop"};

/* ---- printing ---- */

static json_t *files_object(const dt_manifest *manifest) {
  json_t *files = json_object();
  for (int p = 0; p < DT_PART_COUNT; p++)
    json_object_set_new(
        files, dt_part_file[p],
        json_pack("{s:I, s:s}", "bytes", (json_int_t)manifest->part[p].bytes, "xxh3_128", manifest->part[p].hash));
  return files;
}

/* 64-bit hashes are text: JSON numbers of this size do not survive most readers. */
static json_t *set_object(const dt_checkpoint_set *set) {
  char hash[24];
  if (set->samples == 0) return json_null();
  snprintf(hash, sizeof hash, "%016" PRIx64, set->hash);
  return json_pack("{s:I, s:s}", "samples", (json_int_t)set->samples, "xxh3_64", hash);
}

static json_t *epoch_object(const dt_epoch_sums *epoch) {
  json_t *sums = json_object();
  for (int i = 0; i < epoch->count; i++) {
    if (isfinite(epoch->sum[i])) json_object_set_new(sums, epoch->name[i], json_real(epoch->sum[i])); /* else not known */
  }
  return json_pack("{s:I, s:o}", "samples", (json_int_t)epoch->samples, "sums", sums);
}

static json_t *watch_object(const dt_watch *watch) {
  if (watch->measure[0] == '\0') return json_null();
  return json_pack("{s:f, s:s, s:I, s:I, s:I}", "best", watch->best, "measure", watch->measure, "samples_seen",
                   (json_int_t)watch->samples_seen, "step", (json_int_t)watch->step, "waited", (json_int_t)watch->waited);
}

static json_t *progress_object(const dt_manifest *manifest) {
  json_t *watch = json_object();
  for (int w = 0; w < DT_WATCH_COUNT; w++) json_object_set_new(watch, watch_keys[w], watch_object(&manifest->watch[w]));
  return json_pack("{s:o, s:b, s:I, s:I, s:o}", "epoch", epoch_object(&manifest->epoch), "evaluation_due",
                   (int)manifest->evaluation_due, "samples_seen", (json_int_t)manifest->samples_seen, "step",
                   (json_int_t)manifest->step, "watch", watch);
}

static json_t *manifest_object(const dt_manifest *manifest) {
  return json_pack("{s:s, s:{s:o, s:o}, s:o, s:s, s:s, s:o, s:i}", "checksum", zeros, "data", "eval",
                   set_object(&manifest->eval), "train", set_object(&manifest->train), "files", files_object(manifest),
                   "fingerprint", manifest->fingerprint, "format", manifest_format, "progress", progress_object(manifest),
                   "version", (int)DT_CHECKPOINT_VERSION);
}

dt_status dt_manifest_print(const dt_manifest *manifest, char **out_text) {
  for (int w = 0; w < DT_WATCH_COUNT; w++)
    DT_REQUIRE(isfinite(manifest->watch[w].best), DT_INTERNAL, "a best %s of %g cannot be saved", manifest->watch[w].measure,
               manifest->watch[w].best);
  json_t *object = manifest_object(manifest);
  char *text = object != NULL ? json_dumps(object, JSON_INDENT(2) | JSON_SORT_KEYS | JSON_REAL_PRECISION(17)) : NULL;
  json_decref(object);
  DT_REQUIRE(text != NULL, DT_INTERNAL, "manifest cannot be printed: is the fingerprint UTF-8?");
  char digits[DT_HASH_TEXT];
  dt_hash_text(text, strlen(text), digits);
  memcpy(text + OPENING, digits, DIGITS);
  *out_text = text;
  return DT_OK;
}

/* ---- parsing ---- */

static dt_status check_sum(const uint8_t *text, size_t bytes) {
  bool shaped = bytes > OPENING + DIGITS && memcmp(text, opening, OPENING) == 0;
  const char *foreign = shaped ? NULL : dt_foreign_format(text, bytes);
  DT_REQUIRE(foreign == NULL, DT_CHECKPOINT, "%s: is %s, expected a manifest", dt_manifest_file, foreign);
  DT_REQUIRE(shaped, DT_CHECKPOINT, "%s: does not begin with a checksum, expected a manifest of dtrain", dt_manifest_file);
  char *copy, digits[DT_HASH_TEXT];
  DT_TRY(dt_alloc(bytes, 1, &copy));
  memcpy(copy, text, bytes);
  memcpy(copy + OPENING, zeros, DIGITS);
  dt_hash_text(copy, bytes, digits);
  free(copy);
  DT_REQUIRE(memcmp(digits, text + OPENING, DIGITS) == 0, DT_CHECKPOINT,
             "%s: does not match its checksum: it was changed or cut", dt_manifest_file);
  return DT_OK;
}

static dt_status get_count(const json_t *object, const char *key, int64_t *out) {
  *out = 0;
  const json_t *value = json_object_get(object, key);
  DT_REQUIRE(json_is_integer(value) && json_integer_value(value) >= 0, DT_CHECKPOINT, "%s: %s is not a count", dt_manifest_file,
             key);
  *out = json_integer_value(value);
  return DT_OK;
}

static dt_status parse_part(const json_t *files, dt_part part, dt_file_sum *out) {
  const json_t *file = json_object_get(files, dt_part_file[part]);
  const char *hash = json_string_value(json_object_get(file, "xxh3_128"));
  int64_t bytes;
  DT_REQUIRE(file != NULL, DT_CHECKPOINT, "%s: does not name %s", dt_manifest_file, dt_part_file[part]);
  DT_REQUIRE(hash != NULL && strlen(hash) == DIGITS, DT_CHECKPOINT, "%s: no hash for %s", dt_manifest_file, dt_part_file[part]);
  DT_TRY(get_count(file, "bytes", &bytes));
  out->bytes = (uint64_t)bytes;
  memcpy(out->hash, hash, DT_HASH_TEXT);
  return DT_OK;
}

static dt_status parse_files(const json_t *files, dt_manifest *out) {
  DT_REQUIRE(json_object_size(files) == DT_PART_COUNT, DT_CHECKPOINT, "%s: names %zu files, expected %d", dt_manifest_file,
             json_object_size(files), (int)DT_PART_COUNT);
  for (int p = 0; p < DT_PART_COUNT; p++) DT_TRY(parse_part(files, (dt_part)p, &out->part[p]));
  return DT_OK;
}

static dt_status parse_version(const json_t *object) {
  const char *format = json_string_value(json_object_get(object, "format"));
  int64_t version;
  DT_REQUIRE(format != NULL && strcmp(format, manifest_format) == 0, DT_CHECKPOINT, "%s: format is not \"%s\"",
             dt_manifest_file, manifest_format);
  DT_TRY(get_count(object, "version", &version));
  DT_REQUIRE(version == DT_CHECKPOINT_VERSION, DT_CHECKPOINT, "%s: version %" PRId64 ", this dtrain reads version %d",
             dt_manifest_file, version, (int)DT_CHECKPOINT_VERSION);
  return DT_OK;
}

static dt_status parse_set(const json_t *data, const char *key, dt_checkpoint_set *out) {
  const json_t *set = json_object_get(data, key);
  if (json_is_null(set)) return DT_OK;
  const char *hash = json_string_value(json_object_get(set, "xxh3_64"));
  DT_REQUIRE(hash != NULL && strlen(hash) == 16 && strspn(hash, "0123456789abcdef") == 16, DT_CHECKPOINT,
             "%s: no hash for data.%s", dt_manifest_file, key);
  out->hash = strtoull(hash, NULL, 16);
  return get_count(set, "samples", &out->samples);
}

static dt_status parse_epoch(const json_t *epoch, dt_epoch_sums *out) {
  json_t *sums = json_object_get(epoch, "sums"), *value;
  const char *name;
  DT_REQUIRE(json_is_object(sums) && json_object_size(sums) <= DT_EPOCH_SUMS, DT_CHECKPOINT,
             "%s: the epoch's sums are no object of at most %d", dt_manifest_file, (int)DT_EPOCH_SUMS);
  json_object_foreach(sums, name, value) {
    DT_REQUIRE(json_is_number(value) && strlen(name) < DT_SUM_NAME, DT_CHECKPOINT, "%s: the epoch's %.40s is not a number",
               dt_manifest_file, name);
    snprintf(out->name[out->count], DT_SUM_NAME, "%s", name);
    out->sum[out->count++] = json_number_value(value);
  }
  return get_count(epoch, "samples", &out->samples);
}

static dt_status parse_watch(const json_t *watches, const char *key, dt_watch *out) {
  const json_t *watch = json_object_get(watches, key), *best = json_object_get(watch, "best");
  const char *measure = json_string_value(json_object_get(watch, "measure"));
  if (json_is_null(watch)) return DT_OK;
  DT_REQUIRE(json_is_number(best) && measure != NULL && measure[0] != '\0' && strlen(measure) < sizeof out->measure,
             DT_CHECKPOINT, "%s: no best value of a measure for %s", dt_manifest_file, key);
  out->best = json_number_value(best);
  snprintf(out->measure, sizeof out->measure, "%s", measure);
  DT_TRY(get_count(watch, "samples_seen", &out->samples_seen));
  DT_TRY(get_count(watch, "step", &out->step));
  return get_count(watch, "waited", &out->waited);
}

static dt_status parse_progress(const json_t *progress, dt_manifest *out) {
  const json_t *due = json_object_get(progress, "evaluation_due");
  DT_TRY(get_count(progress, "samples_seen", &out->samples_seen));
  DT_TRY(get_count(progress, "step", &out->step));
  DT_REQUIRE(json_is_boolean(due), DT_CHECKPOINT, "%s: evaluation_due is not true or false", dt_manifest_file);
  out->evaluation_due = json_is_true(due);
  for (int w = 0; w < DT_WATCH_COUNT; w++)
    DT_TRY(parse_watch(json_object_get(progress, "watch"), watch_keys[w], &out->watch[w]));
  return parse_epoch(json_object_get(progress, "epoch"), &out->epoch);
}

static dt_status parse_object(const json_t *object, dt_manifest *out) {
  const char *fingerprint = json_string_value(json_object_get(object, "fingerprint"));
  DT_TRY(parse_version(object));
  DT_TRY(parse_progress(json_object_get(object, "progress"), out));
  DT_TRY(parse_set(json_object_get(object, "data"), "train", &out->train));
  DT_TRY(parse_set(json_object_get(object, "data"), "eval", &out->eval));
  DT_TRY(parse_files(json_object_get(object, "files"), out));
  DT_REQUIRE(fingerprint != NULL, DT_CHECKPOINT, "%s: no fingerprint", dt_manifest_file);
  out->fingerprint = strdup(fingerprint);
  DT_REQUIRE(out->fingerprint != NULL, DT_MEMORY, "no memory for a fingerprint");
  return DT_OK;
}

dt_status dt_manifest_parse(const uint8_t *text, size_t bytes, dt_manifest *out) {
  json_error_t error;
  *out = (dt_manifest){0};
  DT_TRY(check_sum(text, bytes));
  json_t *object = json_loadb((const char *)text, bytes, JSON_REJECT_DUPLICATES, &error);
  DT_REQUIRE(object != NULL, DT_CHECKPOINT, "%s:%d:%d: %s", dt_manifest_file, error.line, error.column, error.text);
  dt_status status = parse_object(object, out);
  json_decref(object);
  if (status != DT_OK) dt_manifest_clear(out);
  return status;
}

void dt_manifest_clear(dt_manifest *manifest) {
  free(manifest->fingerprint);
  *manifest = (dt_manifest){0};
}

static bool same_set(const dt_checkpoint_set *a, const dt_checkpoint_set *b) {
  return a->samples == b->samples && a->hash == b->hash;
}

static bool same_epoch(const dt_epoch_sums *a, const dt_epoch_sums *b) {
  bool same = a->samples == b->samples && a->count == b->count;
  for (int i = 0; same && i < a->count; i++) {
    int k = 0;
    while (k < b->count && strcmp(a->name[i], b->name[k]) != 0) k++;
    same = k < b->count && a->sum[i] == b->sum[k];
  }
  return same;
}

static bool same_watch(const dt_watch *a, const dt_watch *b) {
  return strcmp(a->measure, b->measure) == 0 && a->best == b->best && a->samples_seen == b->samples_seen &&
         a->step == b->step && a->waited == b->waited;
}

bool dt_manifest_same_state(const dt_manifest *a, const dt_manifest *b) {
  bool same = a->samples_seen == b->samples_seen && a->step == b->step && a->evaluation_due == b->evaluation_due &&
              same_epoch(&a->epoch, &b->epoch) && same_set(&a->train, &b->train) && same_set(&a->eval, &b->eval);
  for (int w = 0; w < DT_WATCH_COUNT; w++) same = same && same_watch(&a->watch[w], &b->watch[w]);
  for (int p = 0; p < DT_PART_COUNT; p++)
    same = same && a->part[p].bytes == b->part[p].bytes && strcmp(a->part[p].hash, b->part[p].hash) == 0;
  return same;
}

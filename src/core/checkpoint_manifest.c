/* manifest.json: what vouches for a checkpoint's files, and for itself.
 *
 * {
 *   "checksum": "<XXH3-128 of this text with these 32 digits as zeros>",
 *   "files": {"config.yaml": {"bytes": 1, "xxh3_128": "..."}, "model.safetensors": ..., "optimizer.safetensors": ...},
 *   "fingerprint": "...", "format": "dtrain-checkpoint",
 *   "progress": {"best_accuracy": 0.9, "evaluation_due": false, "samples_seen": 64, "step": 1},
 *   "version": 1
 * }
 *
 * The checksum covers every byte, blanks too, so that it holds however a later JSON library would print the same values. */
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/checkpoint_parts.h"
#include "core/foreign.h"

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

/* ---- printing ---- */

static json_t *files_object(const dt_manifest *manifest) {
  json_t *files = json_object();
  for (int p = 0; p < DT_PART_COUNT; p++)
    json_object_set_new(
        files, dt_part_file[p],
        json_pack("{s:I, s:s}", "bytes", (json_int_t)manifest->part[p].bytes, "xxh3_128", manifest->part[p].hash));
  return files;
}

static json_t *manifest_object(const dt_manifest *manifest) {
  return json_pack("{s:s, s:o, s:s, s:s, s:{s:f, s:b, s:I, s:I}, s:i}", "checksum", zeros, "files", files_object(manifest),
                   "fingerprint", manifest->fingerprint, "format", manifest_format, "progress", "best_accuracy",
                   manifest->best_accuracy, "evaluation_due", (int)manifest->evaluation_due, "samples_seen",
                   (json_int_t)manifest->samples_seen, "step", (json_int_t)manifest->step, "version",
                   (int)DT_CHECKPOINT_VERSION);
}

dt_status dt_manifest_print(const dt_manifest *manifest, char **out_text) {
  DT_REQUIRE(isfinite(manifest->best_accuracy), DT_INTERNAL, "best accuracy %g cannot be saved", manifest->best_accuracy);
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

static dt_status parse_progress(const json_t *progress, dt_manifest *out) {
  const json_t *best = json_object_get(progress, "best_accuracy"), *due = json_object_get(progress, "evaluation_due");
  DT_TRY(get_count(progress, "samples_seen", &out->samples_seen));
  DT_TRY(get_count(progress, "step", &out->step));
  DT_REQUIRE(json_is_number(best), DT_CHECKPOINT, "%s: best_accuracy is not a number", dt_manifest_file);
  DT_REQUIRE(json_is_boolean(due), DT_CHECKPOINT, "%s: evaluation_due is not true or false", dt_manifest_file);
  out->best_accuracy = json_number_value(best);
  out->evaluation_due = json_is_true(due);
  return DT_OK;
}

static dt_status parse_object(const json_t *object, dt_manifest *out) {
  const char *fingerprint = json_string_value(json_object_get(object, "fingerprint"));
  DT_TRY(parse_version(object));
  DT_TRY(parse_progress(json_object_get(object, "progress"), out));
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

bool dt_manifest_same_state(const dt_manifest *a, const dt_manifest *b) {
  bool same = a->samples_seen == b->samples_seen && a->step == b->step && a->best_accuracy == b->best_accuracy &&
              a->evaluation_due == b->evaluation_due;
  for (int p = 0; p < DT_PART_COUNT; p++)
    same = same && a->part[p].bytes == b->part[p].bytes && strcmp(a->part[p].hash, b->part[p].hash) == 0;
  return same;
}

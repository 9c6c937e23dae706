/* run.json: what would be needed to believe, or to repeat, the numbers of a run. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>
#include <xxhash.h>
#include <zlib.h>

#include "core/file.h"
#include "report/record_parts.h"

const char dt_run_file[] = "run.json";
static const char config_file[] = "config.yaml", plans_file[] = "plans.txt";
static const uint64_t run_max = 16u << 20;

/* ---- facts ---- */

static void cpu_model(char text[256]) {
  char line[512];
  snprintf(text, 256, "unknown");
  FILE *file = fopen("/proc/cpuinfo", "re");
  while (file != NULL && fgets(line, sizeof line, file) != NULL) {
    char *colon = strchr(line, ':');
    if (strncmp(line, "model name", 10) != 0 || colon == NULL) continue;
    colon[strcspn(colon, "\n")] = '\0';
    snprintf(text, 256, "%.255s", colon + 1 + strspn(colon + 1, " \t"));
    break;
  }
  if (file != NULL) fclose(file);
}

/* Cores that this process may use, which a launcher may have bound. */
static int usable_cores(void) {
  cpu_set_t set;
  return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : -1;
}

static json_t *hardware_object(void) {
  char model[256];
  struct utsname system = {0};
  uname(&system);
  cpu_model(model);
  return json_pack("{s:o, s:o, s:i, s:i, s:I, s:o, s:o}", "host", dt_json_text(system.nodename), "cpu", dt_json_text(model),
                   "cores", (int)sysconf(_SC_NPROCESSORS_ONLN), "cores_usable", usable_cores(), "memory_bytes",
                   (json_int_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE), "system", dt_json_text(system.release),
                   "machine", dt_json_text(system.machine));
}

#ifndef DTRAIN_COMMIT
#define DTRAIN_COMMIT "unknown"
#endif

static json_t *versions_object(const dt_record_facts *facts) {
  char xxhash[32];
  snprintf(xxhash, sizeof xxhash, "%u.%u.%u", XXH_versionNumber() / 10000, XXH_versionNumber() / 100 % 100,
           XXH_versionNumber() % 100);
  return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:o, s:o}", "dtrain", DTRAIN_VERSION, "commit", DTRAIN_COMMIT,
                   "compiler", __VERSION__, "jansson", jansson_version_str(), "xxhash", xxhash, "zlib", zlibVersion(), "mpi",
                   dt_json_text(facts->mpi_library), "yaml", dt_json_text(facts->yaml_library), "reducer",
                   dt_json_text(facts->reducer_library));
}

/* 64-bit hashes are text: JSON numbers of this size do not survive most readers. */
static json_t *hash_text(uint64_t hash) {
  char text[24];
  snprintf(text, sizeof text, "%016" PRIx64, hash);
  return json_string(text);
}

static json_t *field_object(const dt_field *field) {
  static const char *const layouts[] = {[DT_FIELD_DENSE] = "dense", [DT_FIELD_RAGGED] = "ragged", [DT_FIELD_SPARSE] = "sparse"};
  json_t *shape = json_array();
  for (int i = 0; i < field->shape.ndim; i++) json_array_append_new(shape, json_integer((json_int_t)field->shape.dim[i]));
  return json_pack("{s:o, s:s, s:s, s:o}", "name", dt_json_text(field->name), "dtype", dt_dtype_name(field->dtype), "layout",
                   layouts[field->layout], "shape", shape);
}

static json_t *data_object(const char *source, uint64_t hash, const dt_fields *fields) {
  json_t *array = json_array();
  for (int f = 0; fields != NULL && f < fields->count; f++) json_array_append_new(array, field_object(&fields->field[f]));
  return json_pack("{s:o, s:o, s:o}", "source", dt_json_text(source), "xxh3_64", hash_text(hash), "fields", array);
}

/* One string a line. */
static json_t *lines_array(const char *text) {
  json_t *array = json_array();
  while (text != NULL && *text != '\0') {
    size_t length = strcspn(text, "\n");
    json_array_append_new(array, dt_json_text_of(text, length));
    text += length + (text[length] == '\n');
  }
  return array;
}

static const char outcome_running[] = "running";

static json_t *run_object(const dt_record *r, const dt_record_facts *f, const char *config_hash) {
  char started[DT_TIME_TEXT], seed[24];
  snprintf(seed, sizeof seed, "%" PRIu64, r->spec->seed);
  return json_pack(
      "{s:o, s:o, s:s, s:n, s:s, s:n, s:b, s:s, s:s, s:o, s:o, s:o, s:i, s:i, s:i, s:i, s:i, s:I, s:I, s:o, s:o, s:o, s:o, "
      "s:o, "
      "s:o}",
      "name", dt_json_text(r->spec->name), "command", dt_json_text(f->command), "started", dt_time_text(started), "ended",
      "outcome", outcome_running, "failure", "resumed", r->resume, "seed", seed, "config_xxh3_128", config_hash, "device",
      dt_json_text(f->device_name), "kernels", dt_json_text(f->kernels), "math_library", dt_json_text(f->math_library), "ranks",
      f->ranks, "local_ranks", f->local_ranks, "threads", f->threads, "shards", f->shards, "buckets", f->buckets,
      "bucket_bytes", (json_int_t)f->bucket_bytes, "parameters", (json_int_t)f->parameters, "program_xxh3_64",
      hash_text(f->program_hash), "train_data", data_object(f->train_source, f->train_hash, f->train_fields), "eval_data",
      data_object(f->eval_source, f->eval_hash, f->eval_fields), "versions", versions_object(f), "hardware", hardware_object(),
      "devices", lines_array(f->devices));
}

/* What libraries have taken: what is gone and was neither planned nor the data set's. */
static json_int_t taken_by_libraries(const dt_memory *planned, const dt_memory_seen *seen) {
  return (json_int_t)(seen->opened - seen->ended) - (json_int_t)(planned->total + seen->cached);
}

static json_t *memory_object(const dt_memory *planned, const dt_memory_seen *seen) {
  const bool ended = seen->ended > 0;
  return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o}", "all", (json_int_t)seen->all, "planned",
                   (json_int_t)planned->total, "planned_reducer", (json_int_t)(planned->gradients + planned->reducer),
                   "allowed_libraries", (json_int_t)planned->libraries, "cached_data", (json_int_t)seen->cached, "free_opened",
                   (json_int_t)seen->opened, "free_reducer", (json_int_t)seen->reducer, "free_ready", (json_int_t)seen->ready,
                   "free_ended", ended ? json_integer((json_int_t)seen->ended) : json_null(), "taken_libraries",
                   ended ? json_integer(taken_by_libraries(planned, seen)) : json_null());
}

/* ---- files ---- */

/* Whole or not at all, by renaming; a record need not survive a power cut, so nothing is synced. */
static dt_status write_file(const dt_record *r, const char *name, const char *text, size_t bytes) {
  char temporary[64], label[PATH_MAX + 64];
  snprintf(temporary, sizeof temporary, "%s.tmp", name);
  snprintf(label, sizeof label, "%s/%s", r->dir, name);
  int fd = openat(r->dir_fd, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0666);
  DT_REQUIRE(fd >= 0, DT_IO, "%s: could not write: %s", label, strerror(errno));
  dt_status status = dt_write_all(fd, label, text, bytes);
  if (close(fd) != 0 && status == DT_OK) status = dt_error_set(DT_IO, __FILE__, __LINE__, "%s: %s", label, strerror(errno));
  if (status == DT_OK && renameat(r->dir_fd, temporary, r->dir_fd, name) != 0)
    status = dt_error_set(DT_IO, __FILE__, __LINE__, "%s: could not rename: %s", label, strerror(errno));
  if (status != DT_OK) unlinkat(r->dir_fd, temporary, 0);
  return status;
}

static dt_status write_run(const dt_record *r) {
  char *text = json_dumps(r->run, JSON_INDENT(2) | JSON_REAL_PRECISION(17));
  DT_REQUIRE(text != NULL, DT_MEMORY, "no memory for %s", dt_run_file);
  size_t bytes = strlen(text);
  text[bytes] = '\n'; /* in the place of the terminating zero */
  dt_status status = write_file(r, dt_run_file, text, bytes + 1);
  free(text);
  return status;
}

static dt_status write_config(const dt_record *r, const dt_config *config, char hash[DT_HASH_TEXT]) {
  char *text = NULL;
  dt_status status = dt_config_print_text(config, &text);
  if (status == DT_OK) dt_hash_text(text, strlen(text), hash);
  if (status == DT_OK) status = write_file(r, config_file, text, strlen(text));
  free(text);
  return status;
}

/* The attempts before this one, the last being what run.json says now. A file that cannot be read counts as none: it is only
 * a record, and the run must not fail for it. */
static json_t *earlier_attempts(const dt_record *r) {
  uint8_t *text = NULL;
  size_t bytes = 0;
  if (!r->resume || dt_file_read(r->dir_fd, dt_run_file, run_max, &text, &bytes) != DT_OK) {
    dt_error_clear();
    return json_array();
  }
  json_t *last = json_loadb((const char *)text, bytes, 0, NULL);
  free(text);
  if (!json_is_object(last)) {
    json_decref(last);
    return json_array();
  }
  json_t *earlier = json_incref(json_object_get(last, "earlier"));
  json_object_del(last, "earlier");
  if (!json_is_array(earlier)) {
    json_decref(earlier);
    earlier = json_array();
  }
  json_array_append_new(earlier, last);
  return earlier;
}

dt_status dt_record_start(dt_record *record, const dt_config *config, const dt_record_facts *facts) {
  char config_hash[DT_HASH_TEXT] = "";
  if (record->rank != 0) return DT_OK;
  json_t *earlier = earlier_attempts(record);
  dt_status status = write_config(record, config, config_hash);
  if (status == DT_OK && facts->plans != NULL) status = write_file(record, plans_file, facts->plans, strlen(facts->plans));
  if (status != DT_OK) {
    json_decref(earlier);
    return status;
  }
  record->run = run_object(record, facts, config_hash);
  if (record->run == NULL) json_decref(earlier);
  DT_REQUIRE(record->run != NULL, DT_MEMORY, "no memory for %s", dt_run_file);
  json_object_set_new(record->run, "earlier", earlier);
  return write_run(record);
}

dt_status dt_record_memory(dt_record *record, const dt_memory *planned, const dt_memory_seen *seen) {
  if (seen->all == 0) return DT_OK;
  if (seen->ended > 0) {
    dt_record_log_quietly(record, "device memory: %zu bytes planned and %zu of data; libraries took %lld, %zu were allowed for",
                          planned->total, seen->cached, (long long)taken_by_libraries(planned, seen), planned->libraries);
  }
  if (record->run == NULL) return DT_OK;
  json_object_set_new(record->run, "device_memory", memory_object(planned, seen));
  return write_run(record);
}

static json_t *line_or_null(json_t *line) {
  return line != NULL ? json_incref(line) : json_null();
}

static json_t *seconds_object(const dt_record_seconds *s) {
  return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "wall", dt_json_real(s->wall), "training", dt_json_real(s->training),
                   "data_wait", dt_json_real(s->data_wait), "exposed_communication", dt_json_real(s->exposed_communication),
                   "evaluation", dt_json_real(s->evaluation), "checkpoints", dt_json_real(s->checkpoints));
}

dt_status dt_record_finish(dt_record *record, const dt_record_end *end) {
  char ended[DT_TIME_TEXT];
  json_t *run = record->run;
  if (run == NULL) return DT_OK;
  json_object_set_new(run, "ended", json_string(dt_time_text(ended)));
  json_object_set_new(run, "outcome", json_string(end->outcome));
  json_object_set_new(run, "failure", end->status != DT_OK ? json_string(dt_status_name(end->status)) : json_null());
  json_object_set_new(run, "exit_code", json_integer(dt_status_exit_code(end->status)));
  json_object_set_new(run, "text", dt_json_text(end->text != NULL ? end->text : ""));
  json_object_set_new(run, "seconds", seconds_object(&end->seconds));
  json_object_set_new(run, "ranks_seconds", end->timing.ranks > 0 ? dt_json_ranks(&end->timing) : json_null());
  json_object_set_new(run, "final_training", line_or_null(record->final_training));
  json_object_set_new(run, "final_evaluation", line_or_null(record->final_evaluation));
  json_object_set_new(run, "best_evaluation", line_or_null(record->best_evaluation));
  return write_run(record);
}

void dt_record_outcome(const char *dir, char text[DT_OUTCOME_TEXT]) {
  uint8_t *bytes = NULL;
  size_t count = 0;
  text[0] = '\0';
  int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  if (dt_file_read(fd, dt_run_file, run_max, &bytes, &count) != DT_OK) dt_error_clear();
  json_t *run = bytes != NULL ? json_loadb((const char *)bytes, count, 0, NULL) : NULL;
  const char *outcome = json_string_value(json_object_get(run, "outcome"));
  if (outcome != NULL) snprintf(text, DT_OUTCOME_TEXT, "%.*s", DT_OUTCOME_TEXT - 1, outcome);
  json_decref(run);
  free(bytes);
  close(fd);
}

/* Folders of checkpoints: their names, and reading one whole with every byte verified. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "checkpoint/parts.h"

static const char step_prefix[] = "step-", samples_prefix[] = "-samples-";
enum { STEP_DIGITS = 10, SAMPLES_DIGITS = 12, DIGITS_MAX = 18 };
static const uint64_t manifest_max = 1 << 20;

/* Takes a prefix and a number from *text. Each number has one form only, so that the numbers give the name back. */
static bool take_number(const char **text, const char *prefix, size_t digits_min, int64_t *out) {
  size_t skip = strlen(prefix);
  if (strncmp(*text, prefix, skip) != 0) return false;
  const char *digits = *text + skip;
  size_t length = strspn(digits, "0123456789");
  if (length < digits_min || length > DIGITS_MAX) return false;
  if (length > digits_min && digits[0] == '0') return false;
  *out = strtoll(digits, NULL, 10);
  *text = digits + length;
  return true;
}

bool dt_candidate_parse(const char *name, dt_candidate *out) {
  const char *at = name;
  if (!take_number(&at, step_prefix, STEP_DIGITS, &out->step)) return false;
  if (!take_number(&at, samples_prefix, SAMPLES_DIGITS, &out->samples_seen)) return false;
  if (*at != '\0') return false;
  dt_candidate_name(out->step, out->samples_seen, out->name);
  return true;
}

void dt_candidate_name(int64_t step, int64_t samples_seen, char name[DT_CHECKPOINT_NAME]) {
  snprintf(name, DT_CHECKPOINT_NAME, "%s%0*" PRId64 "%s%0*" PRId64, step_prefix, (int)STEP_DIGITS, step, samples_prefix,
           (int)SAMPLES_DIGITS, samples_seen);
}

static int newest_first(const void *a, const void *b) {
  const dt_candidate *x = a, *y = b;
  if (x->step != y->step) return x->step > y->step ? -1 : 1;
  return x->samples_seen > y->samples_seen ? -1 : x->samples_seen < y->samples_seen;
}

static dt_status append(dt_candidate **list, int *count, const dt_candidate *candidate) {
  dt_candidate *grown = realloc(*list, (size_t)(*count + 1) * sizeof **list);
  DT_REQUIRE(grown != NULL, DT_MEMORY, "no memory for %d checkpoint names", *count + 1);
  *list = grown;
  grown[(*count)++] = *candidate;
  return DT_OK;
}

dt_status dt_candidate_list(int dir_fd, const char *label, dt_candidate **out, int *out_count) {
  dt_status status = DT_OK;
  dt_candidate candidate;
  *out = NULL;
  *out_count = 0;
  int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
  if (dir == NULL && fd >= 0) close(fd);
  DT_REQUIRE(dir != NULL, DT_IO, "%s: could not list: %s", label, strerror(errno));
  for (struct dirent *item; status == DT_OK && (item = readdir(dir)) != NULL;)
    if (dt_candidate_parse(item->d_name, &candidate)) status = append(out, out_count, &candidate);
  closedir(dir);
  if (status == DT_OK && *out_count > 1) qsort(*out, (size_t)*out_count, sizeof **out, newest_first);
  return status;
}

dt_status dt_candidate_open(int dir_fd, const char *name, int *out_fd) {
  *out_fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (*out_fd >= 0) return DT_OK;
  DT_REQUIRE(errno != ENOTDIR && errno != ELOOP, DT_CHECKPOINT, "is a file or a symbolic link, expected a folder");
  DT_RAISE(DT_IO, "could not open: %s", strerror(errno));
}

static dt_status read_manifest(int folder_fd, const dt_candidate *named, dt_manifest *out) {
  uint8_t *text;
  size_t bytes;
  DT_TRY(dt_file_read(folder_fd, dt_manifest_file, manifest_max, &text, &bytes));
  dt_status status = dt_manifest_parse(text, bytes, out);
  free(text);
  DT_TRY(status);
  DT_REQUIRE(named == NULL || (named->step == out->step && named->samples_seen == out->samples_seen), DT_CHECKPOINT,
             "%s: step %" PRId64 " with %" PRId64 " samples seen, the folder's name says step %" PRId64 " with %" PRId64,
             dt_manifest_file, out->step, out->samples_seen, named->step, named->samples_seen);
  return DT_OK;
}

static dt_status check_sum(const char *name, const dt_file_sum *found, const dt_file_sum *expected) {
  DT_REQUIRE(found->bytes == expected->bytes, DT_CHECKPOINT, "%s: %" PRIu64 " bytes, the manifest says %" PRIu64, name,
             found->bytes, expected->bytes);
  DT_REQUIRE(strcmp(found->hash, expected->hash) == 0, DT_CHECKPOINT, "%s: hash %s, the manifest says %s", name, found->hash,
             expected->hash);
  return DT_OK;
}

static dt_status read_part(int folder_fd, dt_part part, const dt_file_sum *expected, uint8_t **out) {
  const char *name = dt_part_file[part];
  dt_file_sum found;
  size_t bytes;
  DT_TRY(dt_file_read(folder_fd, name, expected->bytes, out, &bytes));
  found.bytes = bytes;
  dt_hash_text(*out, bytes, found.hash);
  return check_sum(name, &found, expected);
}

/* A hash says that the bytes are the ones written, not that they are sound; both are checked. */
static dt_status check_tensors(const dt_contents *contents, dt_part part) {
  dt_tensor_ref *tensors;
  int count;
  DT_TRY(dt_safetensors_parse(dt_part_file[part], contents->part[part], contents->manifest.part[part].bytes, &tensors, &count));
  free(tensors);
  return DT_OK;
}

static dt_status check_config(const dt_contents *contents) {
  const dt_file_sum *sum = &contents->manifest.part[DT_PART_CONFIG];
  DT_REQUIRE(memchr(contents->part[DT_PART_CONFIG], '\0', sum->bytes) == NULL, DT_CHECKPOINT, "%s: holds a zero byte",
             dt_part_file[DT_PART_CONFIG]);
  return DT_OK;
}

static dt_status read_all(int folder_fd, const dt_candidate *named, dt_contents *out) {
  DT_TRY(read_manifest(folder_fd, named, &out->manifest));
  for (int p = 0; p < DT_PART_COUNT; p++) DT_TRY(read_part(folder_fd, (dt_part)p, &out->manifest.part[p], &out->part[p]));
  DT_TRY(check_tensors(out, DT_PART_MODEL));
  DT_TRY(check_tensors(out, DT_PART_OPTIMIZER));
  return check_config(out);
}

dt_status dt_contents_read(int folder_fd, const dt_candidate *named, dt_contents *out) {
  *out = (dt_contents){0};
  dt_status status = read_all(folder_fd, named, out);
  if (status != DT_OK) dt_contents_clear(out);
  return status;
}

static dt_status check_sums(int folder_fd, const dt_manifest *manifest) {
  for (int p = 0; p < DT_PART_COUNT; p++) {
    dt_file_sum found;
    DT_TRY(dt_file_hash(folder_fd, dt_part_file[p], manifest->part[p].bytes, &found));
    DT_TRY(check_sum(dt_part_file[p], &found, &manifest->part[p]));
  }
  return DT_OK;
}

dt_status dt_manifest_check(int folder_fd, const dt_candidate *named, dt_manifest *out) {
  *out = (dt_manifest){0};
  dt_status status = read_manifest(folder_fd, named, out);
  if (status == DT_OK) status = check_sums(folder_fd, out);
  if (status != DT_OK) dt_manifest_clear(out);
  return status;
}

void dt_contents_clear(dt_contents *contents) {
  for (int p = 0; p < DT_PART_COUNT; p++) free(contents->part[p]);
  dt_manifest_clear(&contents->manifest);
  *contents = (dt_contents){0};
}

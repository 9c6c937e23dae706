/* Folders of checkpoints: their names, and reading one whole with every byte verified. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/checkpoint_parts.h"

static const char prefix[] = "step-";
enum { PREFIX = sizeof prefix - 1, DIGITS_MIN = 12, DIGITS_MAX = 18 };
static const uint64_t manifest_max = 1 << 20;

/* Each number has one name only, so that the number gives the name back. */
bool dt_candidate_parse(const char *name, int64_t *out_samples) {
  if (strncmp(name, prefix, PREFIX) != 0) return false;
  const char *digits = name + PREFIX;
  size_t length = strspn(digits, "0123456789");
  if (length < DIGITS_MIN || length > DIGITS_MAX || digits[length] != '\0') return false;
  if (length > DIGITS_MIN && digits[0] == '0') return false;
  *out_samples = strtoll(digits, NULL, 10);
  return true;
}

void dt_candidate_name(int64_t samples_seen, char name[DT_CHECKPOINT_NAME]) {
  snprintf(name, DT_CHECKPOINT_NAME, "%s%0*" PRId64, prefix, (int)DIGITS_MIN, samples_seen);
}

static int newest_first(const void *a, const void *b) {
  const dt_candidate *x = a, *y = b;
  return x->samples_seen > y->samples_seen ? -1 : x->samples_seen < y->samples_seen;
}

static dt_status append(dt_candidate **list, int *count, int64_t samples_seen) {
  dt_candidate *grown = realloc(*list, (size_t)(*count + 1) * sizeof **list);
  DT_REQUIRE(grown != NULL, DT_MEMORY, "no memory for %d checkpoint names", *count + 1);
  *list = grown;
  grown[*count] = (dt_candidate){.samples_seen = samples_seen};
  dt_candidate_name(samples_seen, grown[*count].name);
  (*count)++;
  return DT_OK;
}

dt_status dt_candidate_list(int dir_fd, const char *label, dt_candidate **out, int *out_count) {
  dt_status status = DT_OK;
  int64_t samples;
  *out = NULL;
  *out_count = 0;
  int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
  if (dir == NULL && fd >= 0) close(fd);
  DT_REQUIRE(dir != NULL, DT_IO, "%s: could not list: %s", label, strerror(errno));
  for (struct dirent *item; status == DT_OK && (item = readdir(dir)) != NULL;)
    if (dt_candidate_parse(item->d_name, &samples)) status = append(out, out_count, samples);
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

static dt_status read_manifest(int folder_fd, int64_t samples_expected, dt_manifest *out) {
  uint8_t *text;
  size_t bytes;
  DT_TRY(dt_file_read(folder_fd, dt_manifest_file, manifest_max, &text, &bytes));
  dt_status status = dt_manifest_parse(text, bytes, out);
  free(text);
  DT_TRY(status);
  DT_REQUIRE(samples_expected < 0 || samples_expected == out->samples_seen, DT_CHECKPOINT,
             "%s: %" PRId64 " samples seen, the folder's name says %" PRId64, dt_manifest_file, out->samples_seen,
             samples_expected);
  return DT_OK;
}

static dt_status read_part(int folder_fd, dt_part part, const dt_file_sum *expected, uint8_t **out) {
  const char *name = dt_part_file[part];
  size_t bytes;
  char hash[DT_HASH_TEXT];
  DT_TRY(dt_file_read(folder_fd, name, expected->bytes, out, &bytes));
  DT_REQUIRE(bytes == expected->bytes, DT_CHECKPOINT, "%s: %zu bytes, the manifest says %" PRIu64, name, bytes,
             expected->bytes);
  dt_hash_text(*out, bytes, hash);
  DT_REQUIRE(strcmp(hash, expected->hash) == 0, DT_CHECKPOINT, "%s: hash %s, the manifest says %s", name, hash, expected->hash);
  return DT_OK;
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

static dt_status read_all(int folder_fd, int64_t samples_expected, dt_contents *out) {
  DT_TRY(read_manifest(folder_fd, samples_expected, &out->manifest));
  for (int p = 0; p < DT_PART_COUNT; p++) DT_TRY(read_part(folder_fd, (dt_part)p, &out->manifest.part[p], &out->part[p]));
  DT_TRY(check_tensors(out, DT_PART_MODEL));
  DT_TRY(check_tensors(out, DT_PART_OPTIMIZER));
  return check_config(out);
}

dt_status dt_contents_read(int folder_fd, int64_t samples_expected, dt_contents *out) {
  *out = (dt_contents){0};
  dt_status status = read_all(folder_fd, samples_expected, out);
  if (status != DT_OK) dt_contents_clear(out);
  return status;
}

void dt_contents_clear(dt_contents *contents) {
  for (int p = 0; p < DT_PART_COUNT; p++) free(contents->part[p]);
  dt_manifest_clear(&contents->manifest);
  *contents = (dt_contents){0};
}

/* Surveys of earlier runs: a file each, whose name is its key, with a checksum at the end. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "core/file.h"
#include "data/survey.h"

enum { NAME_BYTES = 64, NOTE_MAX = 4096 };

typedef struct head {
  char magic[8];
  uint64_t key;
  int64_t words, note_bytes; /* of the note with its end; 0 = none */
} head;

static const char magic[8] = "dtsurvey";

uint64_t dt_survey_key(const dt_dataset *dataset, int field) {
  const dt_column *data = &dataset->data[field];
  const dt_shape *shape = &dataset->fields.field[field].shape;
  const uint64_t of[] = {data->store->key, (uint64_t)data->store->skips, (uint64_t)dataset->count,
                         (uint64_t)dt_shape_channels(shape), (uint64_t)dt_shape_count(shape)};
  const uint64_t seed = XXH3_64bits(of, sizeof of);
  return XXH3_64bits_withSeed(data->index, (size_t)dataset->count * sizeof *data->index, seed);
}

/* An absolute path, as the XDG base directory specification wants it; -1 where there is none. */
static int open_folder(bool make) {
  const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
  char path[PATH_MAX];
  int length = -1;
  if (cache != NULL && cache[0] == '/') {
    length = snprintf(path, sizeof path, "%s/dtrain", cache);
  } else if (home != NULL && home[0] == '/') {
    length = snprintf(path, sizeof path, "%s/.cache/dtrain", home);
  }
  if (length < 0 || length >= (int)sizeof path) return -1;
  if (make && dt_dir_make(path) != DT_OK) dt_error_clear();
  return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void name_file(uint64_t key, const char *end, char name[NAME_BYTES]) {
  snprintf(name, NAME_BYTES, "survey-%016" PRIx64 "%s", key, end);
}

/* Whether the bytes are this survey's result. */
static bool is_whole(const uint8_t *bytes, size_t count, const dt_survey *survey, uint64_t key) {
  head found;
  uint64_t sum;
  if (count < sizeof found + sizeof sum) return false;
  memcpy(&found, bytes, sizeof found);
  memcpy(&sum, bytes + count - sizeof sum, sizeof sum);
  if (memcmp(found.magic, magic, sizeof magic) != 0 || found.key != key || found.words != survey->words) return false;
  if (found.note_bytes < 0 || found.note_bytes > NOTE_MAX) return false;
  const size_t expected = sizeof found + (size_t)found.words * sizeof *survey->word + (size_t)found.note_bytes + sizeof sum;
  if (count != expected || sum != XXH3_64bits(bytes, count - sizeof sum)) return false;
  return found.note_bytes == 0 || bytes[count - sizeof sum - 1] == '\0';
}

bool dt_survey_recall(dt_survey *survey, uint64_t key, char **out_note) {
  const size_t most = sizeof(head) + (size_t)survey->words * sizeof *survey->word + NOTE_MAX + sizeof(uint64_t);
  char name[NAME_BYTES];
  uint8_t *bytes = NULL;
  size_t count = 0;
  const int folder = open_folder(false);
  *out_note = NULL;
  if (folder < 0) return false;
  name_file(key, "", name);
  bool found = dt_file_read(folder, name, most, &bytes, &count) == DT_OK && is_whole(bytes, count, survey, key);
  dt_error_clear();
  if (found) {
    const char *note = (const char *)bytes + sizeof(head) + (size_t)survey->words * sizeof *survey->word;
    memcpy(survey->word, bytes + sizeof(head), (size_t)survey->words * sizeof *survey->word);
    if (((const head *)bytes)->note_bytes > 0) *out_note = strdup(note);
  }
  free(bytes);
  close(folder);
  return found;
}

static dt_status write_file(int folder, const char *name, const uint8_t *bytes, size_t count) {
  dt_file_writer writer;
  dt_file_sum sum;
  DT_TRY(dt_file_create(folder, name, &writer));
  const dt_status status = dt_file_append(&writer, bytes, count);
  if (status == DT_OK) return dt_file_commit(&writer, &sum);
  dt_file_abandon(&writer);
  return status;
}

static void write_whole(int folder, uint64_t key, const uint8_t *bytes, size_t count) {
  char name[NAME_BYTES], part[NAME_BYTES], end[24];
  snprintf(end, sizeof end, ".%ld", (long)getpid());
  name_file(key, "", name);
  name_file(key, end, part);
  if (write_file(folder, part, bytes, count) != DT_OK || renameat(folder, part, folder, name) != 0) unlinkat(folder, part, 0);
  dt_error_clear();
}

void dt_survey_remember(const dt_survey *survey, uint64_t key, const char *note) {
  head h = {.key = key, .words = survey->words, .note_bytes = note != NULL ? (int64_t)strlen(note) + 1 : 0};
  const size_t words = (size_t)h.words * sizeof *survey->word, sum_at = sizeof h + words + (size_t)h.note_bytes;
  const int folder = h.note_bytes <= NOTE_MAX ? open_folder(true) : -1;
  uint8_t *bytes = folder >= 0 ? malloc(sum_at + sizeof(uint64_t)) : NULL;
  if (bytes != NULL) {
    memcpy(h.magic, magic, sizeof magic);
    memcpy(bytes, &h, sizeof h);
    memcpy(bytes + sizeof h, survey->word, words);
    if (note != NULL) memcpy(bytes + sizeof h + words, note, (size_t)h.note_bytes);
    const uint64_t sum = XXH3_64bits(bytes, sum_at);
    memcpy(bytes + sum_at, &sum, sizeof sum);
    write_whole(folder, key, bytes, sum_at + sizeof sum);
  }
  free(bytes);
  if (folder >= 0) close(folder);
}

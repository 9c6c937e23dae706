#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/file.h"
#include "report/record_parts.h"

const char dt_metrics_file[] = "metrics.jsonl";
const char dt_timing_file[] = "timing.jsonl";

dt_status dt_lines_open(dt_record *record, const char *file, int *out_fd) {
  *out_fd = openat(record->dir_fd, file, O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0666);
  DT_REQUIRE(*out_fd >= 0, DT_IO, "%s/%s: could not open: %s", record->dir, file, strerror(errno));
  return DT_OK;
}

dt_status dt_lines_write(int fd, const char *file, const json_t *object) {
  char text[2048];
  size_t bytes = json_dumpb(object, text, sizeof text - 1, JSON_COMPACT | JSON_REAL_PRECISION(17));
  DT_REQUIRE(bytes > 0 && bytes < sizeof text, DT_INTERNAL, "%s: a line of %zu bytes", file, bytes);
  text[bytes] = '\n';
  return dt_write_all(fd, file, text, bytes + 1);
}

/* Whether the line is whole and not later than samples_seen. */
static bool line_stays(dt_record *record, const char *line, size_t bytes, int64_t samples_seen, dt_line_visitor *visit) {
  json_t *object = json_loadb(line, bytes, 0, NULL);
  const json_t *samples = json_object_get(object, "samples_seen");
  bool stays = json_is_integer(samples) && json_integer_value(samples) <= samples_seen;
  if (stays && visit != NULL) visit(record, object);
  json_decref(object);
  return stays;
}

dt_status dt_lines_truncate(dt_record *record, int fd, const char *file, int64_t samples_seen, dt_line_visitor *visit) {
  char *line = NULL;
  size_t room = 0;
  off_t good = 0;
  int copy = dup(fd);
  FILE *in = copy >= 0 ? fdopen(copy, "r") : NULL;
  if (in == NULL && copy >= 0) close(copy);
  DT_REQUIRE(in != NULL, DT_IO, "%s: could not read: %s", file, strerror(errno));
  rewind(in);
  for (ssize_t bytes; (bytes = getline(&line, &room, in)) > 0; good += bytes)
    if (line[bytes - 1] != '\n' || !line_stays(record, line, (size_t)bytes, samples_seen, visit)) break;
  bool failed = ferror(in) != 0;
  fclose(in);
  free(line);
  DT_REQUIRE(!failed, DT_IO, "%s: could not read", file);
  DT_REQUIRE(ftruncate(fd, good) == 0, DT_IO, "%s: could not cut back to %jd bytes: %s", file, (intmax_t)good, strerror(errno));
  return DT_OK;
}

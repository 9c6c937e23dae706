/* What of a run is the last or the best of its kind: the confusion matrix, and the link to the best checkpoint. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/file.h"
#include "report/record_parts.h"

static const char link_name[] = "best", link_new[] = "best.new";

/* A header with the classes' names or numbers, and a line a label. Names are written as JSON would: they may hold commas. */
static void print_class(const dt_record *r, int64_t class, FILE *out) {
  const dt_strings *names = &r->spec->data.classes;
  if (class >= names->count) {
    fprintf(out, "%lld", (long long)class);
    return;
  }
  fputc('"', out);
  for (const char *c = names->value[class]; *c != '\0'; c++) fprintf(out, *c == '"' ? "\"\"" : "%c", *c);
  fputc('"', out);
}

static void print_matrix(const dt_record *r, const dt_measure *measure, const int64_t *count, FILE *out) {
  const int64_t classes = llround(sqrt((double)measure->bins));
  fputs("label", out);
  for (int64_t c = 0; c < classes; c++) {
    fputc(',', out);
    print_class(r, c, out);
  }
  fputc('\n', out);
  for (int64_t label = 0; label < classes; label++) {
    print_class(r, label, out);
    for (int64_t c = 0; c < classes; c++) fprintf(out, ",%lld", (long long)count[label * classes + c]);
    fputc('\n', out);
  }
}

dt_status dt_record_write_matrix(dt_record *record, const dt_measure *measure, const int64_t *count) {
  char name[DT_MEASURE_NAME + 8], fresh[DT_MEASURE_NAME + 12], *text = NULL;
  size_t bytes = 0;
  dt_file_writer writer;
  dt_file_sum sum;
  if (record->rank != 0) return DT_OK;
  snprintf(name, sizeof name, "%.40s.csv", measure->name);
  snprintf(fresh, sizeof fresh, "%s.new", name);
  unlinkat(record->dir_fd, fresh, 0); /* of a process that was killed */
  FILE *memory = open_memstream(&text, &bytes);
  DT_REQUIRE(memory != NULL, DT_MEMORY, "no memory for %s", name);
  print_matrix(record, measure, count, memory);
  fclose(memory);
  dt_status status = dt_file_create(record->dir_fd, fresh, &writer);
  if (status == DT_OK) {
    status = dt_file_append(&writer, text, bytes);
    if (status == DT_OK)
      status = dt_file_commit(&writer, &sum);
    else
      dt_file_abandon(&writer);
  }
  free(text);
  DT_TRY(status);
  DT_REQUIRE(renameat(record->dir_fd, fresh, record->dir_fd, name) == 0, DT_IO, "%s/%s: could not be replaced: %s", record->dir,
             name, strerror(errno));
  return DT_OK;
}

/* The new link takes the old one's name in one step. */
dt_status dt_record_link_best(dt_record *record, const char *checkpoint) {
  char target[PATH_MAX];
  snprintf(target, sizeof target, "ckpt/%s", checkpoint);
  unlinkat(record->dir_fd, link_new, 0);
  DT_REQUIRE(symlinkat(target, record->dir_fd, link_new) == 0, DT_IO, "%s/%s: could not make a link: %s", record->dir,
             link_name, strerror(errno));
  DT_REQUIRE(renameat(record->dir_fd, link_new, record->dir_fd, link_name) == 0, DT_IO, "%s/%s: could not be replaced: %s",
             record->dir, link_name, strerror(errno));
  return DT_OK;
}

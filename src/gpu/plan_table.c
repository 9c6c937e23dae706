/* Reading, finding and writing. A file's text is kept whole and cut into strings in place. */
#include "gpu/plan_table.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const size_t file_bytes_max = 1 << 20;

typedef struct record {
  const char *machine;
  dt_gpu_plan_entry entry;
} record;

typedef struct plan_file {
  struct plan_file *next;
  char path[PATH_MAX];
  char *text;
  record *record;
  int count;
} plan_file;

struct dt_gpu_plan_table {
  plan_file *file; /* in the order of their names */
  char machine[DT_GPU_MACHINE_TEXT];
};

/* --- reading --- */

static dt_status read_text(const char *path, char **out) {
  struct stat about;
  FILE *in = fopen(path, "r");
  DT_REQUIRE(in != NULL, DT_USAGE, "plans: %s can't be read: %s", path, strerror(errno));
  dt_status status = DT_OK;
  if (fstat(fileno(in), &about) != 0 || !S_ISREG(about.st_mode) || (size_t)about.st_size > file_bytes_max) {
    status = dt_error_set(DT_USAGE, __FILE__, __LINE__, "plans: %s: found no file of at most %zu bytes, expected a plan table",
                          path, file_bytes_max);
  }
  if (status == DT_OK) status = dt_alloc((size_t)about.st_size + 1, 1, out);
  if (status == DT_OK) (*out)[fread(*out, 1, (size_t)about.st_size, in)] = '\0';
  fclose(in);
  return status;
}

/* Without blanks at both ends. */
static char *trim(char *text) {
  text += strspn(text, " \t");
  size_t length = strlen(text);
  while (length > 0 && strchr(" \t\r", text[length - 1]) != NULL) text[--length] = '\0';
  return text;
}

/* The same choice may be there twice. */
static dt_status check_against(const plan_file *file, const record *found, bool *out_known) {
  *out_known = false;
  for (int i = 0; i < file->count && !*out_known; i++) {
    const record *before = &file->record[i];
    *out_known = strcmp(before->entry.what, found->entry.what) == 0 && strcmp(before->machine, found->machine) == 0;
    DT_REQUIRE(!*out_known || strcmp(before->entry.choice, found->entry.choice) == 0, DT_USAGE,
               "%s:%d: found a second choice for %s, expected the one of line %d alone", file->path, found->entry.line,
               found->entry.what, before->entry.line);
  }
  return DT_OK;
}

static dt_status read_entry(plan_file *file, char *line, int number, const char *machine) {
  char *note = strchr(line, '#'), *equals = strstr(line, " = ");
  DT_REQUIRE(equals != NULL && (note == NULL || equals < note), DT_USAGE,
             "%s:%d: found \"%.60s\", expected \"WHAT = CHOICE\" or a GPU with its libraries in brackets", file->path, number,
             line);
  DT_REQUIRE(machine != NULL, DT_USAGE, "%s:%d: found a choice, expected a GPU with its libraries in brackets before it",
             file->path, number);
  if (note != NULL) *note++ = '\0';
  *equals = '\0';
  record found = {machine, {trim(line), trim(equals + 3), note != NULL ? trim(note) : NULL, file->path, number}};
  DT_REQUIRE(strlen(found.entry.what) < DT_GPU_WHAT_TEXT && strlen(found.entry.choice) < DT_GPU_CHOICE_TEXT, DT_USAGE,
             "%s:%d: found more than any choice is long, expected lines as dtrain bench plans writes them", file->path, number);
  bool known;
  DT_TRY(check_against(file, &found, &known));
  if (!known) file->record[file->count++] = found;
  return DT_OK;
}

static dt_status parse(plan_file *file) {
  const char *machine = NULL;
  char *next = file->text;
  for (int number = 1; next != NULL; number++) {
    char *line = next;
    next = strchr(line, '\n');
    if (next != NULL) *next++ = '\0';
    line = trim(line);
    size_t length = strlen(line);
    if (length == 0 || line[0] == '#') continue;
    if (line[0] == '[' && line[length - 1] == ']') {
      line[length - 1] = '\0';
      machine = line + 1;
    } else {
      DT_TRY(read_entry(file, line, number, machine));
    }
  }
  return DT_OK;
}

static size_t count_lines(const char *text) {
  size_t count = 1;
  for (; *text != '\0'; text++) count += *text == '\n';
  return count;
}

static void drop_files(plan_file *file) {
  while (file != NULL) {
    plan_file *next = file->next;
    free(file->record);
    free(file->text);
    free(file);
    file = next;
  }
}

static dt_status load(plan_file *file) {
  DT_TRY(read_text(file->path, &file->text));
  DT_TRY(dt_alloc(count_lines(file->text), sizeof *file->record, &file->record));
  return parse(file);
}

/* Reads a file to the end of a list. */
static dt_status add_file(plan_file **list, const char *folder, const char *name) {
  plan_file *file = NULL;
  DT_TRY(dt_alloc(1, sizeof *file, &file));
  while (*list != NULL) list = &(*list)->next;
  *list = file;
  int length = snprintf(file->path, sizeof file->path, "%s%s%s", folder, folder[0] != '\0' ? "/" : "", name);
  DT_REQUIRE(length < (int)sizeof file->path, DT_USAGE, "plans: found a path of %d bytes, expected fewer than %d", length,
             PATH_MAX);
  return load(file);
}

static int is_table(const struct dirent *entry) {
  size_t length = strlen(entry->d_name);
  return length > 4 && strcmp(entry->d_name + length - 4, ".txt") == 0;
}

static dt_status add_folder(plan_file **list, const char *path) {
  struct dirent **name;
  int count = scandir(path, &name, is_table, alphasort);
  DT_REQUIRE(count >= 0, DT_USAGE, "plans: the folder %s can't be read: %s", path, strerror(errno));
  dt_status status = DT_OK;
  for (int i = 0; i < count; i++) {
    if (status == DT_OK) status = add_file(list, path, name[i]->d_name);
    free(name[i]);
  }
  free(name);
  return status;
}

static bool holds(const dt_gpu_plan_table *table) {
  for (const plan_file *file = table->file; file != NULL; file = file->next) {
    for (int i = 0; i < file->count; i++) {
      if (strcmp(file->record[i].machine, table->machine) == 0) return true;
    }
  }
  return false;
}

static dt_status read_table(const char *path, bool needed, dt_gpu_plan_table *table) {
  struct stat about;
  DT_REQUIRE(stat(path, &about) == 0, DT_USAGE, "plans: found no %s: %s", path, strerror(errno));
  DT_TRY(S_ISDIR(about.st_mode) ? add_folder(&table->file, path) : add_file(&table->file, "", path));
  DT_REQUIRE(!needed || holds(table), DT_USAGE,
             "plans: %s: found nothing for [%s], expected choices that were timed there; make them with dtrain bench plans, or "
             "set plans: auto",
             path, table->machine);
  return DT_OK;
}

dt_status dt_gpu_plan_table_open(const char *path, const char *machine, bool needed, dt_gpu_plan_table **out) {
  *out = NULL;
  dt_gpu_plan_table *table = NULL;
  DT_TRY(dt_alloc(1, sizeof *table, &table));
  snprintf(table->machine, sizeof table->machine, "%s", machine);
  dt_status status = read_table(path, needed, table);
  if (status == DT_OK && holds(table)) {
    *out = table;
  } else {
    dt_gpu_plan_table_close(&table);
  }
  return status;
}

void dt_gpu_plan_table_close(dt_gpu_plan_table **table) {
  if (*table == NULL) return;
  drop_files((*table)->file);
  free(*table);
  *table = NULL;
}

/* --- finding --- */

const dt_gpu_plan_entry *dt_gpu_plan_table_find(const dt_gpu_plan_table *table, const char *what) {
  for (const plan_file *file = table != NULL ? table->file : NULL; file != NULL; file = file->next) {
    for (int i = 0; i < file->count; i++) {
      const record *r = &file->record[i];
      if (strcmp(r->entry.what, what) == 0 && strcmp(r->machine, table->machine) == 0) return &r->entry;
    }
  }
  return NULL;
}

/* --- writing --- */

static void print_entry(const dt_gpu_plan_entry *entry, FILE *out) {
  fprintf(out, "%s = %s", entry->what, entry->choice);
  if (entry->note != NULL) fprintf(out, " # %s", entry->note);
  fputc('\n', out);
}

static bool is_among(const char *what, const dt_gpu_plan_entry *entry, int count) {
  for (int i = 0; i < count; i++) {
    if (strcmp(entry[i].what, what) == 0) return true;
  }
  return false;
}

/* Whether the file has named this machine before record `index`. */
static bool is_known(const plan_file *file, int index) {
  for (int i = 0; i < index; i++) {
    if (strcmp(file->record[i].machine, file->record[index].machine) == 0) return true;
  }
  return false;
}

/* What was in the file for the machine of record `first`, but for what is written anew. */
static void print_old(const plan_file *file, int first, const dt_gpu_plan_entry *entry, int count, FILE *out) {
  const char *machine = file->record[first].machine;
  for (int i = first; i < file->count; i++) {
    const record *r = &file->record[i];
    if (strcmp(r->machine, machine) == 0 && !is_among(r->entry.what, entry, count)) print_entry(&r->entry, out);
  }
}

static void print_all(const plan_file *old, const char *machine, const dt_gpu_plan_entry *entry, int count, FILE *out) {
  fprintf(out, "# Choices among the engines of cuDNN and cuBLASLt, timed and written by dtrain bench plans.\n");
  for (int i = 0; old != NULL && i < old->count; i++) {
    if (is_known(old, i) || strcmp(old->record[i].machine, machine) == 0) continue;
    fprintf(out, "\n[%s]\n", old->record[i].machine);
    print_old(old, i, NULL, 0, out);
  }
  fprintf(out, "\n[%s]\n", machine);
  for (int i = 0; old != NULL && i < old->count; i++) {
    if (is_known(old, i) || strcmp(old->record[i].machine, machine) != 0) continue;
    print_old(old, i, entry, count, out);
  }
  for (int i = 0; i < count; i++) print_entry(&entry[i], out);
}

/* The new file takes the old one's place when it is whole. */
static dt_status write_file(const plan_file *old, const char *path, const char *machine, const dt_gpu_plan_entry *entry,
                            int count) {
  char fresh[PATH_MAX];
  int length = snprintf(fresh, sizeof fresh, "%s.new", path);
  DT_REQUIRE(length < (int)sizeof fresh, DT_USAGE, "plans: found a path of %d bytes, expected fewer than %d", length, PATH_MAX);
  FILE *out = fopen(fresh, "w");
  DT_REQUIRE(out != NULL, DT_ENVIRONMENT, "%s can't be written: %s", fresh, strerror(errno));
  print_all(old, machine, entry, count, out);
  bool written = !ferror(out);
  written = fclose(out) == 0 && written && rename(fresh, path) == 0;
  if (!written) unlink(fresh);
  DT_REQUIRE(written, DT_ENVIRONMENT, "%s can't be written: %s", path, strerror(errno));
  return DT_OK;
}

dt_status dt_gpu_plan_table_save(const char *path, const char *machine, const dt_gpu_plan_entry *entry, int count) {
  plan_file *old = NULL;
  dt_status status = access(path, F_OK) == 0 ? add_file(&old, "", path) : DT_OK;
  if (status == DT_OK) status = write_file(old, path, machine, entry, count);
  drop_files(old);
  return status;
}

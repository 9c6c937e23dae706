/* What differs between two resolved configs, and which keys matter. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/config/internal.h"

enum { PATH_BYTES = 512 };

bool dt_config_keeps_results(const char *path) {
  const dt_option *table = dt_spec_options;
  while (table != NULL) {
    size_t bytes = strcspn(path, ".");
    const dt_option *option = dt_option_find(table, path, bytes);
    if (option == NULL) return false;
    if (option->keeps_results) return true;
    if (path[bytes] == '\0') return false;
    path += bytes + 1;
    table = option->fields;
  }
  return false;
}

typedef struct differ {
  FILE *out;
  int count;
} differ;

static void add_line(differ *d, const char *path, const dt_yaml *before, const dt_yaml *after) {
  if (dt_config_keeps_results(path)) return;
  char old_text[128] = "(absent)", new_text[128] = "(absent)";
  if (before != NULL) snprintf(old_text, sizeof old_text, "%s", before->type == DT_NODE_SCALAR ? before->text : "...");
  if (after != NULL) snprintf(new_text, sizeof new_text, "%s", after->type == DT_NODE_SCALAR ? after->text : "...");
  fprintf(d->out, "%s: %s -> %s\n", path, old_text, new_text);
  d->count++;
}

static void diff_nodes(differ *d, const char *path, const dt_yaml *before, const dt_yaml *after);

static void diff_child(differ *d, const char *path, const char *name, const dt_yaml *before, const dt_yaml *after) {
  char nested[PATH_BYTES];
  int bytes = snprintf(nested, sizeof nested, "%s%s%s", path, path[0] != '\0' ? "." : "", name);
  DT_ASSERT(bytes < PATH_BYTES);
  diff_nodes(d, nested, before, after);
}

static void diff_maps(differ *d, const char *path, const dt_yaml *before, const dt_yaml *after) {
  for (int i = 0; i < before->count; i++) {
    const dt_yaml_entry *other = dt_yaml_find(after, before->entry[i].key);
    diff_child(d, path, before->entry[i].key, before->entry[i].value, other != NULL ? other->value : NULL);
  }
  for (int i = 0; i < after->count; i++)
    if (dt_yaml_find(before, after->entry[i].key) == NULL)
      diff_child(d, path, after->entry[i].key, NULL, after->entry[i].value);
}

static void diff_lists(differ *d, const char *path, const dt_yaml *before, const dt_yaml *after) {
  for (int i = 0; i < before->count || i < after->count; i++) {
    char name[16];
    snprintf(name, sizeof name, "%d", i);
    diff_child(d, path, name, i < before->count ? before->entry[i].value : NULL,
               i < after->count ? after->entry[i].value : NULL);
  }
}

static void diff_nodes(differ *d, const char *path, const dt_yaml *before, const dt_yaml *after) {
  if (before == NULL || after == NULL || before->type != after->type)
    add_line(d, path, before, after);
  else if (before->type == DT_NODE_MAP)
    diff_maps(d, path, before, after);
  else if (before->type == DT_NODE_LIST)
    diff_lists(d, path, before, after);
  else if (strcmp(before->text, after->text) != 0)
    add_line(d, path, before, after);
}

static dt_status parse_resolved(dt_config_block **blocks, const char *name, const char *text, dt_config_errors *errors,
                                dt_yaml **out) {
  dt_config_text source;
  bool broken;
  DT_TRY(dt_config_text_open(blocks, name, text, strlen(text), &source));
  errors->source = &source;
  DT_TRY(dt_yaml_parse(blocks, &source, NULL, errors, out, &broken));
  DT_TRY(dt_config_errors_raise(errors));
  if (*out == NULL) DT_TRY(dt_yaml_new(blocks, DT_NODE_MAP, (dt_origin){.source = name}, out));
  return DT_OK;
}

static dt_status diff_texts(dt_config_block **blocks, const char *before_text, const char *after_text, dt_config_errors *errors,
                            differ *d) {
  dt_yaml *before, *after;
  DT_TRY(parse_resolved(blocks, "old config", before_text, errors, &before));
  DT_TRY(parse_resolved(blocks, "new config", after_text, errors, &after));
  diff_nodes(d, "", before, after);
  return DT_OK;
}

static dt_status diff_to_file(const char *before, const char *after, differ *d) {
  dt_config_block *blocks = NULL;
  dt_config_errors *errors;
  DT_TRY(dt_alloc(1, sizeof *errors, &errors));
  dt_status status = diff_texts(&blocks, before, after, errors, d);
  dt_config_free(&blocks);
  free(errors);
  return status;
}

int dt_config_diff(const char *resolved_old, const char *resolved_new, char **out_text) {
  size_t bytes = 0;
  *out_text = NULL;
  differ d = {.out = open_memstream(out_text, &bytes)};
  if (d.out == NULL) return 1;
  if (diff_to_file(resolved_old, resolved_new, &d) != DT_OK) {
    fprintf(d.out, "%s\n", dt_error_text());
    dt_error_clear();
    d.count++;
  }
  fclose(d.out);
  return d.count;
}

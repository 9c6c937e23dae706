#include "core/config/options.h"

#include <stdio.h>
#include <string.h>

enum { PATH_BYTES = 512, TABLES_MAX = 64 };

const char *const dt_unit_names[] = {
    [DT_NEVER] = "never", [DT_SAMPLES] = "samples", [DT_STEPS] = "steps", [DT_EPOCHS] = "epochs", [DT_SECONDS] = "s", NULL,
};

static bool is_name(const char *name, const char *text, size_t bytes) {
  return strlen(name) == bytes && memcmp(name, text, bytes) == 0;
}

const dt_option *dt_option_find(const dt_option *table, const char *name, size_t bytes) {
  const dt_option *any = NULL;
  for (const dt_option *option = table; option != NULL && option->name != NULL; option++) {
    if (option->type == DT_OPT_OTHERS) any = option;
    if (is_name(option->name, name, bytes)) return option;
  }
  return any;
}

const dt_kind *dt_kind_find(const dt_kind *const *kinds, const char *name, size_t bytes) {
  for (; *kinds != NULL; kinds++)
    if (is_name((*kinds)->name, name, bytes)) return *kinds;
  return NULL;
}

/* The walk: what to call, and the kind tables already walked, since a table may contain itself. */
typedef struct walk {
  dt_option_visitor *visit;
  void *context;
  const dt_kind *const *seen[TABLES_MAX];
  int seen_count;
} walk;

static void walk_options(walk *w, const char *prefix, const dt_option *table, const dt_kind *of_kind);

static bool is_first_visit(walk *w, const dt_kind *const *kinds) {
  for (int i = 0; i < w->seen_count; i++)
    if (w->seen[i] == kinds) return false;
  DT_ASSERT(w->seen_count < TABLES_MAX);
  w->seen[w->seen_count++] = kinds;
  return true;
}

static void walk_kinds(walk *w, const char *path, const dt_option *option) {
  const dt_kind *const *kinds = *option->kinds;
  /* A table under two names (data.train and data.eval) is walked under each; one that is inside itself only once. */
  if (!is_first_visit(w, kinds)) return;
  const char *item = option->type == DT_OPT_LIST ? "[]" : option->type == DT_OPT_LISTS ? "[][]" : "";
  for (int i = 0; kinds[i] != NULL; i++) {
    char nested[PATH_BYTES];
    const bool named = option->type == DT_OPT_NAMED;
    int bytes = snprintf(nested, sizeof nested, "%s%s.%s", path, item, named ? "NAME" : kinds[i]->name);
    DT_ASSERT(bytes < PATH_BYTES);
    w->visit(w->context, nested, NULL, kinds[i]);
    walk_options(w, nested, kinds[i]->options, kinds[i]);
  }
  char beside[PATH_BYTES];
  int bytes = snprintf(beside, sizeof beside, "%s%s", path, item);
  DT_ASSERT(bytes < PATH_BYTES);
  walk_options(w, beside, option->beside, NULL);
  w->seen_count--;
}

static void walk_options(walk *w, const char *prefix, const dt_option *table, const dt_kind *of_kind) {
  for (const dt_option *option = table; option != NULL && option->name != NULL; option++) {
    char path[PATH_BYTES];
    int bytes = snprintf(path, sizeof path, "%s%s%s", prefix, prefix[0] != '\0' ? "." : "", option->name);
    DT_ASSERT(bytes < PATH_BYTES);
    w->visit(w->context, path, option, of_kind);
    if (option->fields != NULL) walk_options(w, path, option->fields, of_kind);
    if (option->kinds != NULL) walk_kinds(w, path, option);
  }
}

void dt_options_visit(const dt_option *root, dt_option_visitor *visit, void *context) {
  walk w = {.visit = visit, .context = context};
  walk_options(&w, "", root, NULL);
}

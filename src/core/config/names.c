#include "core/config/names.h"

#include <stdio.h>
#include <string.h>

#include "core/text.h"

enum { DISTANCE_NAME_MAX = 40 };

static int smallest(int a, int b, int c) {
  int least = a < b ? a : b;
  return least < c ? least : c;
}

/* Levenshtein distance (insertions, deletions, substitutions), upper and lower case alike. */
static int edit_distance(const char *a, const char *b) {
  int row[DISTANCE_NAME_MAX + 1];
  int bytes_a = (int)strlen(a), bytes_b = (int)strlen(b);
  for (int j = 0; j <= bytes_b; j++) row[j] = j;
  for (int i = 1; i <= bytes_a; i++) {
    int diagonal = row[0];
    row[0] = i;
    for (int j = 1; j <= bytes_b; j++) {
      int above = row[j];
      row[j] = smallest(above + 1, row[j - 1] + 1, diagonal + (dt_text_lower(a[i - 1]) != dt_text_lower(b[j - 1])));
      diagonal = above;
    }
  }
  return row[bytes_b];
}

const char *dt_name_nearest(const char *found, dt_name_source *next, const void *context) {
  size_t bytes = strlen(found);
  if (bytes == 0 || bytes > DISTANCE_NAME_MAX) return NULL;
  int best = 1 + (int)bytes / 4, nearest = -1;
  const char *name;
  for (int i = 0; (name = next(context, i)) != NULL; i++) {
    if (strlen(name) > DISTANCE_NAME_MAX) continue;
    int distance = edit_distance(found, name);
    if (distance > best || (distance == best && nearest >= 0)) continue;
    best = distance;
    nearest = i;
  }
  return nearest >= 0 ? next(context, nearest) : NULL; /* the names may all be made in one place */
}

static const char *option_name(const void *context, int index) {
  return ((const dt_option *)context)[index].name;
}

const char *dt_name_nearest_option(const char *found, const dt_option *table) {
  return dt_name_nearest(found, option_name, table);
}

static const char *kind_name(const void *context, int index) {
  const dt_kind *kind = ((const dt_kind *const *)context)[index];
  return kind != NULL ? kind->name : NULL;
}

const char *dt_name_nearest_kind(const char *found, const dt_kind *const *kinds) {
  return dt_name_nearest(found, kind_name, kinds);
}

static const char *text_name(const void *context, int index) {
  return ((const char *const *)context)[index];
}

const char *dt_name_nearest_text(const char *found, const char *const *names) {
  return dt_name_nearest(found, text_name, names);
}

const char *dt_did_you_mean(const char *meant, char *text, size_t bytes) {
  text[0] = '\0';
  if (meant != NULL) snprintf(text, bytes, " (did you mean \"%s\"?)", meant);
  return text;
}

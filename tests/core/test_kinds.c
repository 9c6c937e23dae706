/* Every row of every table of kinds has a case that runs it, numbers from elsewhere that it must come to, and its words in
 * docs/config.md. A new row is swept by being in its table; a new table is one line here. */
#include <ctype.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/config/kinds.h"
#include "support/cases.h"
#include "support/unit.h"

/* Where the cases and the numbers of a table are: files below tests/, of which one that names the row is enough.
 *   %s in a path     the row's name: that there is such a file is enough
 *   FILE:WORD        a line of FILE that begins with WORD and has the row's name behind it; without WORD, begins with the name
 *   NETWORKS         the part of a network of support/cases.h that the table says */
enum { FILES_MAX = 5 };
static const char NETWORKS[] = "support/cases.c";
typedef struct table {
  const char *what;
  const dt_kind *const *kinds;
  const char *cases[FILES_MAX], *oracles[FILES_MAX];
  const char *(*part)(const net_case *network);
} table;

static const char *layers_of(const net_case *network) {
  return network->layers;
}

static const char *loss_of(const net_case *network) {
  return network->loss != NULL ? network->loss : "cross_entropy";
}

static const char *metrics_of(const net_case *network) {
  return network->metrics != NULL ? network->metrics : "";
}

static const table tables[] = {
    {"layer", dt_layer_kinds, {NETWORKS}, {"oracles/data/*.txt:layers"}, layers_of},
    {"loss", dt_loss_kinds, {NETWORKS}, {"oracles/data/losses.txt:goal"}, loss_of},
    {"metric", dt_metric_kinds, {NETWORKS}, {"oracles/data/losses.txt:measure"}, metrics_of},
    {"optimizer", dt_optimizer_kinds, {"oracles/data/optimizers.txt:"}, {"oracles/data/optimizers.txt:"}},
    {"average", dt_average_kinds, {"ranks/averages.sh"}, {"oracles/data/averages.txt:"}},
    {"solver", dt_solver_kinds, {"ranks/solvers.sh"}, {"ranks/solvers.sh"}},
    {"decay", dt_decay_kinds, {"core/data/schedules.txt"}, {"core/data/schedules.txt"}},
    {"format", dt_format_kinds, {"data/test_*.c"}, {"data/test_*.c"}},
    {"augmentation", dt_augment_kinds, {"data/test_augment*.c"}, {"data/test_augment*.c"}},
    {"mixing", dt_mix_kinds, {"data/test_mix.c"}, {"data/test_mix.c"}},
};

/* Rows that need neither, and why. */
static const struct {
  const char *what, *name, *why;
} exceptions[] = {
    {"layer", "softmax", "it is refused with a hint"},
    {"decay", "constant", "it is what schedules.txt means where it names no decay"},
};

static bool is_word(char c) {
  return isalnum((unsigned char)c) || c == '_';
}

static bool has_word(const char *text, const char *word) {
  const size_t length = strlen(word);
  for (const char *at = text; (at = strstr(at, word)) != NULL; at += length) {
    if ((at == text || !is_word(at[-1])) && !is_word(at[length])) return true;
  }
  return false;
}

/* Returns new (free); NULL where there is no such file. */
static char *read_text(const char *path) {
  FILE *file = fopen(path, "rb");
  if (file == NULL) return NULL;
  fseek(file, 0, SEEK_END);
  const size_t bytes = (size_t)ftell(file);
  rewind(file);
  char *text = calloc(bytes + 1, 1);
  assert_non_null(text);
  assert_int_equal(fread(text, 1, bytes, file), bytes);
  fclose(file);
  return text;
}

static bool in_networks(const table *t, const char *name) {
  for (int i = 0; i < net_case_count; i++) {
    if (has_word(t->part(&net_cases[i]), name)) return true;
  }
  return false;
}

/* Whether a line that begins with `first` has the name behind it; for "", whether one begins with the name. Cuts text. */
static bool in_lines(char *text, const char *first, const char *name) {
  const size_t length = strlen(first);
  char *rest = text;
  for (char *line; (line = strsep(&rest, "\n")) != NULL;) {
    char *space = strchr(line, ' ');
    if (space == NULL) continue;
    *space = '\0';
    if (length > 0 ? strcmp(line, first) == 0 && has_word(space + 1, name) : strcmp(line, name) == 0) return true;
  }
  return false;
}

/* A path with the row's name in it, or the files of a pattern, of which one has it, in a line that begins with `first` where
 * that is given. */
static bool in_files(const char *path, const char *first, const char *name) {
  char pattern[512];
  glob_t found;
  const bool by_name = strstr(path, "%s") != NULL;
  int before = by_name ? (int)(strstr(path, "%s") - path) : (int)strlen(path);
  snprintf(pattern, sizeof pattern, "%s/tests/%.*s%s%s", DT_TEST_SOURCE_DIR, before, path, by_name ? name : "",
           by_name ? path + before + 2 : "");
  if (glob(pattern, 0, NULL, &found) != 0) return false;
  bool has = by_name;
  for (size_t i = 0; !has && i < found.gl_pathc; i++) {
    char *text = read_text(found.gl_pathv[i]);
    has = text != NULL && (first != NULL ? in_lines(text, first, name) : has_word(text, name));
    free(text);
  }
  globfree(&found);
  return has;
}

static bool is_there(const table *t, const char *const *place, const char *name) {
  char path[256];
  for (int i = 0; i < FILES_MAX && place[i] != NULL; i++) {
    snprintf(path, sizeof path, "%s", place[i]);
    char *first = strchr(path, ':');
    if (first != NULL) *first++ = '\0';
    if (place[i] == NETWORKS ? in_networks(t, name) : in_files(path, first, name)) return true;
  }
  return false;
}

static bool is_exception(const table *t, const char *name) {
  for (size_t i = 0; i < sizeof exceptions / sizeof *exceptions; i++) {
    if (strcmp(exceptions[i].what, t->what) == 0 && strcmp(exceptions[i].name, name) == 0) return true;
  }
  return false;
}

static void print_missing(const table *t, const char *name, const char *what, const char *place) {
  const char *first = strchr(place, ':');
  const int length = first != NULL ? (int)(first - place) : (int)strlen(place);
  print_error("%s %s: no %s, expected it named in tests/%.*s", t->what, name, what, length, place);
  if (first != NULL) print_error(", in a line `%s%s...`", first + 1, first[1] != '\0' ? " " : name);
  print_error("\n");
}

/* What of a row is missing, one line each; returns how much. */
static int check_row(const table *t, const dt_kind *kind, const char *reference) {
  int missing = 0;
  char *section = NULL;
  if (!is_exception(t, kind->name)) {
    if (!is_there(t, t->cases, kind->name)) {
      missing++;
      print_missing(t, kind->name, "case", t->cases[0]);
    }
    if (!is_there(t, t->oracles, kind->name)) {
      missing++;
      print_missing(t, kind->name, "oracle", t->oracles[0]);
    }
  }
  assert_true(asprintf(&section, "### %s\n\n%s\n", kind->name, kind->doc != NULL ? kind->doc : "?") > 0);
  if (kind->doc == NULL || *kind->doc == '\0' || strstr(reference, section) == NULL) {
    missing++;
    print_error("%s %s: not in docs/config.md (dtrain describe --reference), or without a sentence\n", t->what, kind->name);
  }
  free(section);
  return missing;
}

static void test_every_row(void **state) {
  char *reference = read_text(DT_TEST_SOURCE_DIR "/docs/config.md");
  int missing = 0, rows = 0;
  assert_non_null(reference);
  for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
    for (const dt_kind *const *kind = tables[i].kinds; *kind != NULL; kind++, rows++) {
      missing += check_row(&tables[i], *kind, reference);
    }
  }
  free(reference);
  print_message("             %d rows\n", rows);
  assert_int_equal(missing, 0);
}

/* A row that lacks everything is told of, and one whose name is only part of a word. */
static void test_a_missing_row_is_found(void **state) {
  const dt_kind fake = {.name = "con", .doc = ""};
  table layers = tables[0];
  layers.what = "planted: layer";
  assert_int_equal(check_row(&layers, &fake, "### conv\n\n\n"), 3);
}

/* A word that stands in another line of the file, and a line of another name, are no numbers of the row's. */
static void test_numbers_are_lines(void **state) {
  char loss[] = "goal {mse: {}}\nlayers [{huber: 3}]\n", measure[] = "metrics [mae]\nmeasure loss 0x1p-3\n",
       optimizer[] = "adamw {eps: 1}\nsgd {lars: 1}\n";
  char *text[] = {loss, measure, optimizer};
  const char *first[] = {"goal", "measure", ""}, *name[] = {"huber", "mae", "lars"}, *there[] = {"mse", "loss", "sgd"};
  for (int i = 0; i < 3; i++) {
    char *copy = strdup(text[i]);
    assert_non_null(copy);
    assert_false(in_lines(copy, first[i], name[i]));
    assert_true(in_lines(text[i], first[i], there[i]));
    free(copy);
  }
}

/* Each table of core/config/kinds.h has its line. */
static void test_every_table(void **state) {
  char *header = read_text(DT_TEST_SOURCE_DIR "/src/core/config/kinds.h");
  size_t declared = 0;
  assert_non_null(header);
  for (const char *at = header; (at = strstr(at, "extern const dt_kind *const ")) != NULL; at++) declared++;
  free(header);
  assert_int_equal(declared, sizeof tables / sizeof *tables);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_every_row),
      cmocka_unit_test(test_a_missing_row_is_found),
      cmocka_unit_test(test_numbers_are_lines),
      cmocka_unit_test(test_every_table),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* A config as it is printed: resolved, compared with another, and the reference page of all options. */
#include <math.h>

#include "configs.h"

/* What is printed loads to the same spec: it prints the same again. */
static void test_round_trip(void **state) {
  const char *sets[] = {"schedule.lr.peak=0.1234567890123456789",
                        "name=\"a \\\"quoted\\\" \\\\ name: #1\"",
                        "seed=18446744073709551615",
                        "checkpoint.every=never",
                        "target.accuracy=0.9",
                        "data.mean=[-1e-7]",
                        "data.std=0.1"};
  dt_config *config = parse_well(base, sets, 7);
  char *first = print(config, false), *with_origins = print(config, true);
  dt_config *again = parse_well(with_origins, NULL, 0);
  char *second = print(again, false);
  assert_string_equal(first, second);
  assert_true(dt_config_spec(again)->schedule.lr.peak == 0.1234567890123456789);
  assert_true(dt_config_spec(again)->seed == UINT64_MAX);
  assert_string_equal(dt_config_spec(again)->name, "a \"quoted\" \\ name: #1");
  assert_non_null(strstr(with_origins, "filters: 32  # c.yaml:10:23"));
  assert_non_null(strstr(with_origins, "seed: 18446744073709551615  # --set seed="));
  assert_non_null(strstr(with_origins, "output: runs  # default"));
  free(first);
  free(with_origins);
  free(second);
  dt_config_destroy(&config);
  dt_config_destroy(&again);
}

static void test_real_text(void **state) {
  char text[32];
  assert_string_equal(dt_real_text(0.1, text), "0.1");
  assert_string_equal(dt_real_text(5e-4, text), "0.0005");
  assert_string_equal(dt_real_text(300, text), "300");
  uint64_t bits = 88172645463325252u;
  for (int i = 0; i < 20000; i++) {
    bits ^= bits << 13;
    bits ^= bits >> 7;
    bits ^= bits << 17;
    double value;
    memcpy(&value, &bits, sizeof value);
    if (isfinite(value)) assert_true(strtod(dt_real_text(value, text), NULL) == value);
  }
}

static void test_keeps_results(void **state) {
  static const char *const keeps_results[] = {
      "name",          "output",         "device",   "threads",       "train.micro_batch_shards", "checkpoint.every",
      "log.every",     "comm.transport", "data.dir", "data.prefetch", "target.accuracy",          "data.classes",
      "data.classes.0"};
  static const char *const not_keeping[] = {
      "seed", "math", "train.shards", "train", "comm.reduce", "model.layers.0.conv.filters", "schedule.lr.peak", "nothing", ""};
  for (size_t i = 0; i < sizeof keeps_results / sizeof keeps_results[0]; i++)
    assert_true(dt_config_keeps_results(keeps_results[i]));
  for (size_t i = 0; i < sizeof not_keeping / sizeof not_keeping[0]; i++) assert_false(dt_config_keeps_results(not_keeping[i]));
}

static void test_diff(void **state) {
  const char *sets[] = {"schedule.lr.peak=0.2", "name=other", "model.layers.5.linear=12", "data.augment=[flip]"};
  dt_config *config = parse_well(base, NULL, 0), *changed = parse_well(base, sets, 4);
  char *before = print(config, false), *after = print(changed, true), *lines;
  assert_int_equal(dt_config_diff(before, before, &lines), 0);
  assert_string_equal(lines, "");
  free(lines);
  assert_int_equal(dt_config_diff(before, after, &lines), 5);
  assert_non_null(strstr(lines, "schedule.lr.peak: 0.1 -> 0.2\n"));
  assert_non_null(strstr(lines, "model.layers.5.linear.units: 10 -> 12\n"));
  assert_non_null(strstr(lines, "data.augment.0.flip: (absent) -> ...\n"));
  free(lines);
  assert_int_equal(dt_config_diff(before, "[", &lines), 1);
  assert_non_null(strstr(lines, "not YAML"));
  free(lines);
  free(before);
  free(after);
  dt_config_destroy(&config);
  dt_config_destroy(&changed);
}

/* Rows that cannot be what their author meant. */
static void check_row(void *context, const char *path, const dt_option *option, const dt_kind *of_kind) {
  if (option == NULL) {
    if (of_kind->doc == NULL || (of_kind->options != NULL) != (of_kind->attr_bytes > 0))
      fail_msg("%s: an incomplete kind", path);
    if (of_kind->positional != NULL &&
        dt_option_find(of_kind->options, of_kind->positional, strlen(of_kind->positional)) == NULL)
      fail_msg("%s: no option \"%s\" for a bare value", path, of_kind->positional);
    return;
  }
  (*(int *)context)++;
  if (option->doc == NULL) fail_msg("%s: no doc", path);
  if (option->doc[strlen(option->doc) - 1] != '.') fail_msg("%s: the doc is no sentence", path);
  if (option->default_text == NULL || option->default_text[0] == '\0' || option->default_text[0] == '[' ||
      option->type > DT_OPT_DURATION)
    return;
  dt_yaml node = {.type = DT_NODE_SCALAR, .text = option->default_text, .plain = true};
  max_align_t value[4];
  if (!dt_value_read(option, &node, value)) fail_msg("%s: its own default \"%s\" does not fit", path, option->default_text);
}

static void test_table(void **state) {
  int count = 0;
  dt_options_visit(dt_spec_options, check_row, &count);
  assert_true(count > 60);
}

/* Every path that a foreign word leads to is one of the table: an option, a kind, or a choice of an option. */
typedef struct path_search {
  const char *path;
  bool found;
} path_search;

static void compare_path(void *context, const char *path, const dt_option *option, const dt_kind *of_kind) {
  path_search *s = context;
  size_t bytes = strlen(path);
  if (strcmp(path, s->path) == 0) s->found = true;
  if (option == NULL || option->type != DT_OPT_ENUM || strncmp(path, s->path, bytes) != 0 || s->path[bytes] != '.') return;
  for (int i = 0; option->choices[i] != NULL; i++) s->found = s->found || strcmp(option->choices[i], s->path + bytes + 1) == 0;
}

static void test_aliases(void **state) {
  int count = 0;
  for (const dt_alias *row = dt_aliases; row->word != NULL; row++, count++) {
    path_search search = {.path = row->path};
    dt_options_visit(dt_spec_options, compare_path, &search);
    if (!search.found) fail_msg("%s: no option \"%s\"", row->word, row->path);
  }
  assert_true(count > 100);
}

static void test_reference_page(void **state) {
  char *text = NULL, page[1 << 18];
  size_t bytes = 0;
  FILE *out = open_memstream(&text, &bytes);
  assert_int_equal(dt_config_reference(out), DT_OK);
  fclose(out);
  FILE *file = fopen(DT_TEST_SOURCE_DIR "/docs/config.md", "r");
  assert_non_null(file);
  size_t got = fread(page, 1, sizeof page - 1, file);
  fclose(file);
  page[got] = '\0';
  if (strcmp(text, page) != 0) {
    file = fopen(DT_TEST_BINARY_DIR "/config.md", "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    fail_msg("docs/config.md is out of date: copy %s over it", DT_TEST_BINARY_DIR "/config.md");
  }
  free(text);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_round_trip),     cmocka_unit_test(test_real_text), cmocka_unit_test(test_keeps_results),
      cmocka_unit_test(test_diff),           cmocka_unit_test(test_table),     cmocka_unit_test(test_aliases),
      cmocka_unit_test(test_reference_page),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

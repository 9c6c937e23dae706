/* Warnings: each config that earns one gets it, in words that name key and reason; the others get none. */
#include "core/config/warnings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/unit.h"

static const char base[] =
    "name: x\n"
    "data: {train: {synthetic: [1, 8, 8]}}\n"
    "model: {input: [1, 8, 8], layers: [flatten, {linear: 10}]}\n"
    "train: {global_batch: 8, epochs: 1}\n"
    "schedule: {lr: 0.1}\n";

static void add_line(void *context, const char *line) {
  char *text = context;
  assert_null(strchr(line, '\n'));
  strcat(strcat(text, line), "\n");
}

/* The warnings of the base config with overrides, on two cores. */
static void collect(const char *const *sets, int count, char *text) {
  dt_config *config = NULL;
  text[0] = '\0';
  dt_error_clear();
  if (dt_config_parse("c.yaml", base, strlen(base), sets, count, &config) != DT_OK) fail_msg("%s", dt_error_text());
  dt_spec_warnings(dt_config_spec(config), 2, &(dt_warnings){add_line, text});
  dt_config_destroy(&config);
}

static void test_warnings(void **state) {
  static const struct {
    const char *set[2];
    const char *said; /* the whole text; "" = no warning */
  } row[] = {
      {{"seed=1", "threads=2"}, ""},
      {{"optimizer.sgd.nesterov=true", "optimizer.sgd.momentum=0.9"}, ""},
      {{"optimizer.sgd.nesterov=true", "schedule.momentum=0.9"}, ""},
      {{"optimizer.sgd.nesterov=true", "seed=1"}, "optimizer.sgd.nesterov has no effect: the momentum is 0\n"},
      {{"optimizer={sgd: {nesterov: true, momentum: 0.9}}", "schedule.momentum=0"},
       "optimizer.sgd.nesterov has no effect: the momentum is 0\n"},
      {{"schedule.lr.decay={step: {every: 2 epochs}}", "schedule.lr.decay=linear"},
       "--set schedule.lr.decay=linear replaces step and its every\n"},
      {{"threads=1000", "seed=1"},
       "threads: 1000 on 2 cores: more threads than cores wait for one another; auto takes the cores there are\n"},
      {{"train.early_stopping=3", "checkpoint.best=loss"},
       "train.early_stopping has no effect: there is no evaluation set (data.eval, or a part of data.train by data.split)\n"
       "checkpoint.best has no effect: there is no evaluation set (data.eval, or a part of data.train by data.split)\n"},
      {{"train.early_stopping=3", "data.split=0.5"}, ""},
      {{"data.mean=0.5", "data.std=0.25"}, ""},
      {{"data.mean=1", "data.std=1"}, ""},
      {{"data.mean=-0.5", "data.std=0.25"}, "data.mean: -0.5 is no mean of bytes: the unit is pixel / 255, from 0 to 1\n"},
      {{"data.mean=0.5", "data.std=64"},
       "data.std: 64 is no deviation of bytes: the unit is pixel / 255, from 0 to 0.5; samples become nearly constant\n"},
  };
  char text[2048];
  for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
    collect(row[i].set, 2, text);
    if (strcmp(text, row[i].said) != 0) fail_msg("%s, %s: %s", row[i].set[0], row[i].set[1], text);
  }
}

static void test_long_warning(void **state) {
  char text[2048] = "", word[1024];
  memset(word, 'a', sizeof word);
  word[sizeof word - 1] = '\0';
  dt_warning(&(dt_warnings){add_line, text}, "%s", word);
  assert_int_equal(strlen(text), 512);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_warnings), cmocka_unit_test(test_long_warning)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}

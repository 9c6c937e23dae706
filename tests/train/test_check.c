/* dtrain check's parts on small networks: eigenvalues against PyTorch's (tests/oracles/make_hessian.py), and gradients that are
 * wrong in one parameter, which must be named. */
#include "train/check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/batch.h"
#include "support/files.h"
#include "support/fill.h"
#include "support/unit.h"

enum { LINE = 1024, CASES_MAX = 16, OUTPUTS = 3 };

typedef struct hessian_case {
  char line[LINE];
  const char *name, *input, *layers, *loss;
  int samples;
  double least, largest;
} hessian_case;

static char dir[DT_TEST_PATH];
static hessian_case cases[CASES_MAX];
static int case_count;

static const char *next_word(char **rest) {
  char *word = strsep(rest, "|");
  if (word == NULL) fail_msg("hessian.txt: a line ends early");
  while (*word == ' ') word++;
  for (size_t end = strlen(word); end > 0 && (word[end - 1] == ' ' || word[end - 1] == '\n'); end--) word[end - 1] = '\0';
  return word;
}

static void read_cases(void) {
  FILE *file = fopen(DT_TEST_SOURCE_DIR "/tests/oracles/data/hessian.txt", "r");
  if (file == NULL) fail_msg("hessian.txt is not there");
  for (hessian_case *c = cases; case_count < CASES_MAX && fgets(c->line, LINE, file) != NULL; c++, case_count++) {
    char *rest = c->line + strlen("case ");
    c->name = next_word(&rest);
    c->input = next_word(&rest);
    c->layers = next_word(&rest);
    c->loss = next_word(&rest);
    c->samples = atoi(next_word(&rest));
    c->least = strtod(next_word(&rest), NULL);
    c->largest = strtod(next_word(&rest), NULL);
  }
  fclose(file);
}

/* --- a job on the batch of make_layers.py --- */

typedef struct setting {
  dt_config *config;
  dt_comm *comm;
  dt_job *job;
  dt_objective objective;
  double *param, *gradient;
} setting;

/* "[1, 1, 1]" for each channel. */
static const char *per_channel(const hessian_case *c, char digit, char text[LINE]) {
  int end = 0;
  for (int i = 0; i < atoi(c->input); i++) end += snprintf(text + end, (size_t)(LINE - end), "%s%c", i > 0 ? ", " : "[", digit);
  snprintf(text + end, (size_t)(LINE - end), "]");
  return text;
}

static void open_setting(const hessian_case *c, setting *s) {
  char text[4 * LINE], zeros[LINE], ones[LINE];
  const char *target = strcmp(c->loss, "mse") == 0 ? "target" : "label";
  double value;
  dt_test_write_batch(dir, "check", c->input, c->samples, OUTPUTS);
  snprintf(text, sizeof text,
           "name: a\nseed: 1\ndevice: reference\nsolver: gradient_descent\n"
           "data: {dir: %s, train: {npy: {fields: {input: x.npy, %s: %s.npy}}}, shuffle: false, mean: %s, std: %s}\n"
           "model: {input: [%s], layers: %s, loss: %s}\ntrain: {global_batch: %d, shards: 1, epochs: 1}\nschedule: {lr: 0.1}\n",
           dir, target, target, per_channel(c, '0', zeros), per_channel(c, '1', ones), c->input, c->layers, c->loss,
           c->samples);
  if (dt_config_parse("a.yaml", text, strlen(text), NULL, 0, &s->config) != DT_OK) fail_msg("%s", dt_error_text());
  assert_int_equal(dt_comm_self_create(&s->comm), DT_OK);
  if (dt_job_create(s->config, s->comm, DT_JOB_TRAIN, false, &s->job) != DT_OK) fail_msg("%s", dt_error_text());
  const dt_program *program = s->job->program[0];
  s->objective = dt_objective_of(s->job);
  s->param = calloc(2 * (size_t)s->objective.count, sizeof *s->param);
  s->gradient = s->param + s->objective.count;
  for (int p = 0; p < program->trained_count; p++)
    fill_initial(program->param[p].name, &program->param[p].shape, s->param + program->param[p].offset);
  if (dt_objective_evaluate(&s->objective, s->param, &value, s->gradient) != DT_OK) fail_msg("%s", dt_error_text());
}

static void close_setting(setting *s) {
  free(s->param);
  dt_job_destroy(&s->job);
  s->comm->ops->destroy(&s->comm);
  dt_config_destroy(&s->config);
}

/* --- the tests --- */

static void test_curvature(void **state) {
  for (int i = 0; i < case_count; i++) {
    const hessian_case *c = &cases[i];
    setting s;
    dt_curvature found;
    open_setting(c, &s);
    if (dt_measure_curvature(&s.objective, s.param, s.gradient, 100, &found) != DT_OK) fail_msg("%s", dt_error_text());
    const double size = fmax(fabs(c->least), fabs(c->largest)),
                 error = fmax(fabs(found.largest - c->largest), fabs(found.least - c->least)) / size;
    print_message("             %s: %d products, off by %.1e\n", c->name, found.products, error);
    if (!(error <= 1e-3) || !found.converged)
      fail_msg("%s: found %.6g to %.6g, PyTorch %.6g to %.6g", c->name, found.least, found.largest, c->least, c->largest);
    close_setting(&s);
  }
}

static void test_right_gradient(void **state) {
  for (int i = 0; i < case_count; i++) {
    setting s;
    dt_gradient_check check;
    open_setting(&cases[i], &s);
    if (dt_check_gradient(&s.objective, s.param, s.gradient, &check) != DT_OK)
      fail_msg("%s: %s", cases[i].name, dt_error_text());
    assert_true(check.directions > 0 && check.worst < 1e-6);
    close_setting(&s);
  }
}

/* Each parameter's gradient in turn is off by a thousandth. */
static void test_wrong_gradient(void **state) {
  for (int i = 0; i < case_count; i++) {
    setting s;
    dt_gradient_check check;
    open_setting(&cases[i], &s);
    const dt_program *program = s.job->program[0];
    for (int p = 0; p < program->trained_count; p++) {
      const dt_param *param = &program->param[p];
      /* A bias before a batchnorm has no gradient, of which nothing is wrong by a thousandth. */
      if (strcmp(cases[i].name, "conv") == 0 && strcmp(param->name, "conv1.bias") == 0) continue;
      for (int64_t e = 0; e < param->count; e++) s.gradient[param->offset + e] *= 1.001;
      dt_error_clear();
      assert_int_equal(dt_check_gradient(&s.objective, s.param, s.gradient, &check), DT_NUMERIC);
      if (strstr(dt_error_text(), param->name) == NULL) fail_msg("%s is wrong, but: %s", param->name, dt_error_text());
      for (int64_t e = 0; e < param->count; e++) s.gradient[param->offset + e] /= 1.001;
    }
    dt_error_clear();
    close_setting(&s);
  }
}

static void test_compare(void **state) {
  setting s;
  dt_gradient_difference difference;
  open_setting(&cases[case_count - 1], &s);
  const dt_program *program = s.job->program[0];
  double *other = malloc((size_t)s.objective.count * sizeof *other);
  memcpy(other, s.gradient, (size_t)s.objective.count * sizeof *other);
  assert_int_equal(dt_compare_gradients(program, other, program, s.gradient, &difference), DT_OK);
  assert_true(difference.worst == 0);
  const dt_param *changed = &program->param[0];
  for (int64_t e = 0; e < changed->count; e++) other[changed->offset + e] *= 1.001;
  assert_int_equal(dt_compare_gradients(program, other, program, s.gradient, &difference), DT_OK);
  assert_string_equal(difference.name, changed->name);
  assert_true(fabs(difference.worst - 1e-3) < 1e-9);
  other[changed->offset] = NAN;
  dt_error_clear();
  assert_int_equal(dt_compare_gradients(program, other, program, s.gradient, &difference), DT_NUMERIC);
  assert_non_null(strstr(dt_error_text(), changed->name));
  dt_error_clear();
  free(other);
  close_setting(&s);
}

static int begin(void **state) {
  read_cases();
  return case_count > 0 && dt_test_dir_create(dir) == DT_OK ? 0 : -1;
}

static int end(void **state) {
  dt_test_dir_remove(dir);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_curvature),
      cmocka_unit_test(test_right_gradient),
      cmocka_unit_test(test_wrong_gradient),
      cmocka_unit_test(test_compare),
  };
  return cmocka_run_group_tests(tests, begin, end);
}

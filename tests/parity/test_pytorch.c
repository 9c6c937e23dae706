/* The devices against PyTorch's numbers: tests/oracles/data, written by tests/oracles/make_layers.py, make_losses.py,
 * make_regularisers.py and make_trajectories.py, which also say what the files hold. The reference device must agree to double
 * precision, the others to single.
 *
 *   test_parity_pytorch         reference and cpu
 *   test_parity_pytorch gpu     the plug-in's device, or the one that DTRAIN_GPU_PLUGIN names: losses, metrics and penalties */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/program/goals.h"
#include "core/program/sums.h"
#include "support/fill.h"
#include "support/net.h"
#include "support/unit.h"

enum { STEPS_MAX = 200 };

/* Splits the line that *text points at off the rest. */
static char *next_line(char **text) {
  char *line = *text, *end = strchr(line, '\n');
  assert_non_null(end);
  *end = '\0';
  *text = end + 1;
  return line;
}

/* The rest of a line that begins with a keyword; NULL when it begins with another. */
static char *after_keyword(char *line, const char *keyword) {
  size_t length = strlen(keyword);
  return strncmp(line, keyword, length) == 0 && line[length] == ' ' ? line + length + 1 : NULL;
}

static char *expect_line(char **text, const char *keyword) {
  char *rest = after_keyword(next_line(text), keyword);
  if (rest == NULL) fail_msg("expected a line that begins with `%s`", keyword);
  return rest;
}

static char *read_file(const char *name) {
  char path[4096];
  snprintf(path, sizeof path, "%s/tests/oracles/data/%s", DT_TEST_SOURCE_DIR, name);
  FILE *file = fopen(path, "r");
  if (file == NULL) fail_msg("%s is missing", path);
  assert_int_equal(fseek(file, 0, SEEK_END), 0);
  size_t bytes = (size_t)ftell(file);
  char *text = net_memory(bytes + 1);
  rewind(file);
  assert_int_equal(fread(text, 1, bytes, file), bytes);
  fclose(file);
  return text;
}

/* What the head of a case says; texts point into the file. */
typedef struct oracle {
  char input[64], *layers, *optimizer;
  char *goal, *metrics; /* the loss, NULL = cross_entropy; what is measured, NULL = what goes with it, and is not compared */
  char *train;          /* further keys of `train`, NULL = none */
  int samples, classes, steps, shards;
  int cycle; /* how many batches there are; 0 = another one for each step */
  double lr, clip, loss[STEPS_MAX], norm[STEPS_MAX];
  double penalty[STEPS_MAX]; /* before each step's update; all 0 where the file says nothing of it */
} oracle;

static void read_numbers(char *text, int count, double *out) {
  for (int i = 0; i < count; i++) {
    char *end;
    out[i] = strtod(text, &end);
    assert_ptr_not_equal(end, text);
    text = end;
  }
}

static void read_head(char **text, oracle *o) {
  snprintf(o->input, sizeof o->input, "%s", expect_line(text, "input"));
  for (char *c = o->input; *c != '\0'; c++) {
    if (*c == ' ') *c = ',';
  }
  o->layers = expect_line(text, "layers");
  char *line = next_line(text);
  if ((o->goal = after_keyword(line, "goal")) != NULL) line = next_line(text);
  if ((o->metrics = after_keyword(line, "metrics")) != NULL) line = next_line(text);
  o->optimizer = after_keyword(line, "optimizer");
  assert_non_null(o->optimizer);
  line = next_line(text);
  if ((o->train = after_keyword(line, "train")) != NULL) line = next_line(text);
  const char *cycle = after_keyword(line, "cycle");
  if (cycle != NULL) {
    o->cycle = atoi(cycle);
    line = next_line(text);
  }
  const char *batch = after_keyword(line, "batch");
  assert_non_null(batch);
  assert_int_equal(sscanf(batch, "%d %d %d %d", &o->samples, &o->classes, &o->steps, &o->shards), 4);
  assert_in_range(o->steps, 1, STEPS_MAX);
  read_numbers(expect_line(text, "lr"), 1, &o->lr);
  read_numbers(expect_line(text, "clip"), 1, &o->clip);
  read_numbers(expect_line(text, "loss"), o->steps, o->loss);
  read_numbers(expect_line(text, "norm"), o->steps, o->norm);
  if (o->train != NULL) read_numbers(expect_line(text, "penalty"), o->steps, o->penalty);
}

typedef struct check {
  const char *name;
  net net;
  oracle oracle;
  double tolerance, grad_norm, worst;
  int64_t *score; /* of the evaluation that `logits` has made; NULL = not yet */
  int measures;   /* that were compared */
} check;

static void require_error(check *c, const char *what, double error) {
  c->worst = fmax(c->worst, error);
  if (!(error <= c->tolerance))
    fail_msg("%s, %s: relative error %.3g, expected at most %.0e", c->name, what, error, c->tolerance);
}

static double norm_of(const double *value, int64_t count) {
  double sum = 0;
  for (int64_t i = 0; i < count; i++) sum += value[i] * value[i];
  return sqrt(sum);
}

/* `full V...` or `digest NORM DOT`. `floor` stands in for a norm that is zero but for rounding. */
static void require_tensor(check *c, const char *what, char *text, const double *value, int64_t count, double floor) {
  char *full = after_keyword(text, "full"), *digest = after_keyword(text, "digest");
  assert_true(full != NULL || digest != NULL);
  if (full != NULL) {
    double *expected = net_memory((size_t)count * sizeof(double)), *difference = net_memory((size_t)count * sizeof(double));
    read_numbers(full, (int)count, expected);
    for (int64_t i = 0; i < count; i++) difference[i] = value[i] - expected[i];
    require_error(c, what, norm_of(difference, count) / fmax(norm_of(expected, count), floor));
    free(expected);
    free(difference);
    return;
  }
  double expected[2], dot = 0;
  uint64_t key = fill_key("digest");
  read_numbers(digest, 2, expected);
  for (int64_t i = 0; i < count; i++) dot += value[i] * fill_value(key, i);
  require_error(c, what, fabs(norm_of(value, count) - expected[0]) / fmax(expected[0], floor));
  require_error(c, what, fabs(dot - expected[1]) / fmax(expected[0], floor));
}

static void require_block(check *c, const char *kind, char *text, net_block block, const dt_param *list, int count) {
  char *name = text, *rest = strchr(text, ' '), what[128];
  assert_non_null(rest);
  *rest++ = '\0';
  const dt_param *p = net_find(list, count, name);
  double *value = net_memory((size_t)p->count * sizeof(double));
  net_read(&c->net, block, p->offset, p->count, value);
  snprintf(what, sizeof what, "%s %s", kind, name);
  require_tensor(c, what, rest, value, p->count, block == NET_GRAD ? 0.01 * c->grad_norm : 0);
  free(value);
}

static void require_logits(check *c, char *text) {
  int64_t count = c->oracle.samples * net_classes(&c->net);
  double *logits = net_memory((size_t)count * sizeof(double));
  c->score = net_memory((size_t)c->net.eval->score_words * sizeof *c->score);
  net_evaluate(&c->net, "eval", c->oracle.samples, logits, c->score);
  require_tensor(c, "logits", text, logits, count, 0);
  free(logits);
}

/* What dtrain reports of the measure as a number. */
static double measured(const check *c, int measure) {
  const dt_program *program = c->net.eval;
  double sum[DT_SUMS_MAX] = {0};
  dt_evaluation evaluation;
  const int64_t *bins[DT_SUMS_MAX] = {NULL};
  for (int i = 0; i < program->sum_count; i++) {
    bins[i] = c->score + program->sum[i].word;
    if (program->sum[i].decl->kind != DT_SUM_HISTOGRAM) sum[i] = dt_sum_value(&program->sum[i], c->score);
  }
  dt_evaluation_make(&c->net.graph->goals, sum, bins, c->score[0], &evaluation);
  return evaluation.value[measure];
}

/* `NAME V...`: one number, or the counts of a histogram. */
static void require_measure(check *c, char *text) {
  const dt_goals *goals = &c->net.graph->goals;
  char *values = strchr(text, ' ');
  int i = 0;
  assert_true(values != NULL && c->score != NULL);
  *values++ = '\0';
  while (i < goals->measure_count && strcmp(goals->measure[i].name, text) != 0) i++;
  if (i == goals->measure_count) fail_msg("%s: found no measure %s", c->name, text);
  const dt_measure *m = &goals->measure[i];
  const int64_t count = m->bins > 0 ? m->bins : 1;
  double *expected = net_memory((size_t)count * sizeof(double));
  read_numbers(values, (int)count, expected);
  for (int64_t k = 0; k < count; k++) {
    const double got = m->bins > 0 ? (double)c->score[c->net.eval->sum[m->sum].word + k] : measured(c, i);
    require_error(c, text, fabs(got - expected[k]) / fmax(fabs(expected[k]), 0.01));
  }
  free(expected);
  c->measures++;
}

/* Trains all steps and checks each one's loss and gradient norm. */
static void train(check *c) {
  for (int step = 0; step < c->oracle.steps; step++) {
    char tag[16];
    net_sums sums;
    snprintf(tag, sizeof tag, "step%d", c->oracle.cycle > 0 ? step % c->oracle.cycle : step);
    net_step(&c->net, tag, c->oracle.samples, (int64_t)step * c->oracle.samples, &sums);
    require_error(c, "loss", fabs(net_loss(&c->net, &sums) - c->oracle.loss[step]) / c->oracle.loss[step]);
    require_error(c, "gradient norm", fabs(sums.grad_norm - c->oracle.norm[step]) / c->oracle.norm[step]);
    require_error(c, "penalty", fabs(sums.penalty - c->oracle.penalty[step]) / fmax(c->oracle.penalty[step], 1e-300));
    c->grad_norm = sums.grad_norm * c->oracle.samples;
  }
}

/* The lines of results, to the case's end. */
static void require_results(check *c, char **text) {
  const dt_program *program = c->net.train;
  for (char *line = next_line(text); strcmp(line, "end") != 0; line = next_line(text)) {
    char *rest;
    if ((rest = after_keyword(line, "grad")) != NULL) {
      require_block(c, "gradient", rest, NET_GRAD, program->param, program->trained_count);
    } else if ((rest = after_keyword(line, "param")) != NULL) {
      require_block(c, "parameter", rest, NET_PARAM, program->param, program->param_count);
    } else if ((rest = after_keyword(line, "state")) != NULL) {
      require_block(c, "state", rest, NET_STATE, program->state, program->state_count);
    } else if ((rest = after_keyword(line, "logits")) != NULL) {
      require_logits(c, rest);
    } else if ((rest = after_keyword(line, "measure")) != NULL) {
      require_measure(c, rest);
    } else {
      fail_msg("%s: unknown line `%.40s`", c->name, line);
    }
  }
  if (c->oracle.metrics != NULL) assert_int_equal(c->measures, c->net.graph->goals.measure_count);
}

typedef dt_status device_maker(const dt_device_options *options, dt_device **out);

static void check_case(char **text, device_maker *device, double tolerance) {
  check c = {.name = expect_line(text, "case"), .tolerance = tolerance};
  char keys[256] = "";
  read_head(text, &c.oracle);
  if (c.oracle.train != NULL) snprintf(keys, sizeof keys, ", %s", c.oracle.train);
  net_options options = {
      .input = c.oracle.input,
      .layers = c.oracle.layers,
      .loss = c.oracle.goal,
      .metrics = c.oracle.metrics,
      .optimizer = c.oracle.optimizer,
      .train = keys,
      .global_batch = c.oracle.samples,
      .shards = c.oracle.shards,
      .lr = c.oracle.lr,
      .clip_norm = c.oracle.clip,
      .device = device,
  };
  net_open(&c.net, &options);
  net_fill(&c.net);
  train(&c);
  require_results(&c, text);
  print_message("             %s: worst relative error %.1e\n", c.name, c.worst);
  free(c.score);
  net_close(&c.net);
}

static void check_file(const char *name, device_maker *device, double tolerance) {
  char *text = read_file(name), *rest = text;
  while (*rest != '\0') check_case(&rest, device, tolerance);
  free(text);
}

static void test_reference(void **state) {
  check_file(*state, dt_reference_create, 1e-10);
}

static void test_cpu(void **state) {
  check_file(*state, dt_cpu_create, 1e-5);
}

static void test_gpu(void **state) {
  check_file(*state, dt_gpu_create, 1e-5);
}

/* Two hundred steps, in which roundings grow. */
static void test_reference_trajectories(void **state) {
  check_file(*state, dt_reference_create, 1e-9);
}

static void test_cpu_trajectories(void **state) {
  check_file(*state, dt_cpu_create, 1e-4);
}

int main(int argc, char **argv) {
  static char layers[] = "layers.txt", joins[] = "joins.txt", graphs[] = "graphs.txt", lenet[] = "lenet.txt",
              resnet[] = "resnet.txt", losses[] = "losses.txt", trajectories[] = "trajectories.txt",
              regularisers[] = "regularisers.txt";
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_prestate(test_reference, layers),
      cmocka_unit_test_prestate(test_cpu, layers),
      cmocka_unit_test_prestate(test_reference, joins),
      cmocka_unit_test_prestate(test_cpu, joins),
      cmocka_unit_test_prestate(test_reference, graphs),
      cmocka_unit_test_prestate(test_cpu, graphs),
      cmocka_unit_test_prestate(test_reference, lenet),
      cmocka_unit_test_prestate(test_cpu, lenet),
      cmocka_unit_test_prestate(test_reference, resnet),
      cmocka_unit_test_prestate(test_cpu, resnet),
      cmocka_unit_test_prestate(test_reference, losses),
      cmocka_unit_test_prestate(test_cpu, losses),
      cmocka_unit_test_prestate(test_reference, regularisers),
      cmocka_unit_test_prestate(test_cpu, regularisers),
      cmocka_unit_test_prestate(test_reference_trajectories, trajectories),
      cmocka_unit_test_prestate(test_cpu_trajectories, trajectories),
  };
  const struct CMUnitTest of_gpu[] = {cmocka_unit_test_prestate(test_gpu, losses),
                                      cmocka_unit_test_prestate(test_gpu, regularisers)};
  if (argc > 1 && strcmp(argv[1], "gpu") == 0) return cmocka_run_group_tests(of_gpu, NULL, NULL);
  return cmocka_run_group_tests(tests, NULL, NULL);
}

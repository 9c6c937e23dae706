/* Every optimizer against PyTorch's numbers (tests/oracles/optimizers.py), and what the contract asks of each. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/config/spec.h"
#include "core/optim/optimizer.h"
#include "support/unit.h"

enum { COUNT = 9, STEPS = 10, MANY = 1003 };

static const dt_segment plain = {.lr_scale = 1, .decay = true};

static dt_config *parse(const char *optimizer, const char *options) {
  char text[512];
  snprintf(text, sizeof text,
           "name: s\ndata: {train: {idx: {images: a, labels: b}}}\nmodel: {input: [4], layers: [{linear: 2}]}\n"
           "train: {global_batch: 8, epochs: 1}\nschedule: {lr: 0.1}\noptimizer: {%s: %s}\n",
           optimizer, options);
  dt_config *config = NULL;
  dt_error_clear();
  if (dt_config_parse("s.yaml", text, strlen(text), NULL, 0, &config) != DT_OK) fail_msg("%s", dt_error_text());
  return config;
}

static const dt_optimizer *optimizer_of(const dt_config *config) {
  return dt_config_spec(config)->optimizer.kind->impl;
}

/* --- PyTorch --- */

/* A network of nine parameters in both element types, with the slots of one optimizer. */
typedef struct parameters {
  double p[COUNT], s[DT_SLOTS_MAX][COUNT];
  float pf[COUNT], sf[DT_SLOTS_MAX][COUNT];
} parameters;

static bool read_numbers(FILE *file, double *out, int count) {
  for (int i = 0; i < count; i++) {
    if (fscanf(file, "%lf", &out[i]) != 1) return false;
  }
  return true;
}

/* Slots that begin as the parameters do. */
static void start(const dt_optimizer *optimizer, parameters *w) {
  for (int i = 0; i < COUNT; i++) w->pf[i] = (float)(w->p[i] = -2 + 0.5 * i);
  for (int s = 0; s < optimizer->slots; s++) {
    if ((optimizer->starts_as_param >> s & 1) == 0) continue;
    memcpy(w->s[s], w->p, sizeof w->p);
    memcpy(w->sf[s], w->pf, sizeof w->pf);
  }
}

/* The gradients come as sums over four samples, which scale makes means again. */
static void update(const dt_config *config, const dt_step *step, const double *gradient, parameters *w) {
  double sum[COUNT], *slot[DT_SLOTS_MAX], tensor[2] = {0};
  float sum_f[COUNT], *slot_f[DT_SLOTS_MAX];
  const dt_update how = {.attr = dt_config_spec(config)->optimizer.attr, .step = step, .segment = &plain, .tensor = tensor};
  const dt_optimizer *optimizer = optimizer_of(config);
  for (int s = 0; s < DT_SLOTS_MAX; s++) slot[s] = w->s[s], slot_f[s] = w->sf[s];
  for (int i = 0; i < COUNT; i++) sum_f[i] = (float)(sum[i] = 4 * gradient[i]);
  if (optimizer->direct_f64 != NULL) {
    optimizer->direct_f64(&how, COUNT, w->p, sum, slot);
    optimizer->direct_f32(&how, COUNT, w->pf, sum_f, slot_f);
  }
  for (int i = 0; i < COUNT; i++) tensor[0] += w->p[i] * w->p[i], tensor[1] += sum[i] * sum[i]; /* TENSOR_NORM's */
  optimizer->update_f64(&how, COUNT, w->p, sum, slot);
  optimizer->update_f32(&how, COUNT, w->pf, sum_f, slot_f);
}

/* Of fp32 no more is allowed than ten roundings of the parameter itself come to, 10 * 2^-25 and a little. */
static void check_step(const char *name, int k, const double *p, const float *pf, const double *expected) {
  for (int i = 0; i < COUNT; i++) {
    double scale = fmax(1, fabs(expected[i]));
    if (!(fabs(p[i] - expected[i]) <= 1e-12 * scale))
      fail_msg("%s, step %d: found %.17g, expected %.17g", name, k + 1, p[i], expected[i]);
    if (!(fabs(pf[i] - expected[i]) <= 5e-7 * scale))
      fail_msg("%s, step %d: found %.9g in fp32, expected %.9g", name, k + 1, pf[i], expected[i]);
  }
}

/* One case of the file; its optimizer's name into `name`. false at the end. */
static bool check_case(FILE *file, char name[32]) {
  char options[128];
  parameters w = {.p = {0}};
  if (fscanf(file, " %31s %127[^\n]", name, options) != 2) return false;
  dt_config *config = parse(name, options);
  int hypers = dt_hyper_count(dt_config_spec(config)->optimizer.kind);
  const int weights = optimizer_of(config)->evaluated - 1;
  start(optimizer_of(config), &w);
  for (int k = 0; k < STEPS; k++) {
    double gradient[COUNT], expected[COUNT];
    dt_step step = {.number = k + 1, .scale = 0.25};
    assert_true(read_numbers(file, step.hyper, hypers) && read_numbers(file, gradient, COUNT) &&
                read_numbers(file, expected, COUNT));
    update(config, &step, gradient, &w);
    check_step(name, k, w.p, w.pf, expected);
    if (weights < 0) continue;
    assert_true(read_numbers(file, expected, COUNT));
    check_step(name, k, w.s[weights], w.sf[weights], expected);
  }
  dt_config_destroy(&config);
  return true;
}

/* Each optimizer that there is has numbers. */
static void test_torch(void **state) {
  FILE *file = fopen(DT_TEST_SOURCE_DIR "/tests/oracles/data/optimizers.txt", "r");
  char name[32], seen[1024] = " ", wanted[40];
  assert_non_null(file);
  for (int c = 0; c != '\n' && c != EOF;) c = fgetc(file); /* the comment */
  while (check_case(file, name)) snprintf(seen + strlen(seen), sizeof seen - strlen(seen), "%s ", name);
  fclose(file);
  for (const dt_kind *const *kind = dt_optimizer_kinds; *kind != NULL; kind++) {
    snprintf(wanted, sizeof wanted, " %s ", (*kind)->name);
    if (strstr(seen, wanted) == NULL) fail_msg("%s: tests/oracles/optimizers.py has no case of it", (*kind)->name);
  }
}

/* --- each optimizer --- */

/* One step from parameters that are 0, whose rounding therefore hides nothing: its length in fp32 is that in double but for a
 * few units in the last place, also where 1 - beta^t is small. Gradients and slots are of one sign, so that nothing cancels. */
static void check_length(const dt_kind *kind, const dt_config *config, int64_t number) {
  enum { HERE = 64 };
  static const dt_segment alone = {.lr_scale = 1};
  static const double tensor[2] = {0, 500};
  double p[HERE] = {0}, g[HERE], s[DT_SLOTS_MAX][HERE], *slot[DT_SLOTS_MAX];
  float pf[HERE] = {0}, gf[HERE], sf[DT_SLOTS_MAX][HERE], *slot_f[DT_SLOTS_MAX];
  dt_step step = {.number = number, .scale = 1, .hyper = {0.7}};
  for (int i = 1; i < dt_hyper_count(kind); i++) {
    step.hyper[i] = *(const double *)((const char *)dt_config_spec(config)->optimizer.attr + dt_hyper_get(kind, i)->offset);
  }
  for (int i = 0; i < HERE; i++) g[i] = gf[i] = 1 + (float)i / 80;
  for (int k = 0; k < DT_SLOTS_MAX; k++) {
    slot[k] = s[k], slot_f[k] = sf[k];
    for (int i = 0; i < HERE; i++) s[k][i] = sf[k][i] = number == 1 ? 0 : 1.7f - (float)i / 100;
  }
  const dt_update how = {.attr = dt_config_spec(config)->optimizer.attr, .step = &step, .segment = &alone, .tensor = tensor};
  const dt_optimizer *optimizer = optimizer_of(config);
  if (optimizer->direct_f64 != NULL) {
    optimizer->direct_f64(&how, HERE, p, g, slot);
    optimizer->direct_f32(&how, HERE, pf, gf, slot_f);
  }
  optimizer->update_f64(&how, HERE, p, g, slot);
  optimizer->update_f32(&how, HERE, pf, gf, slot_f);
  for (int i = 0; i < HERE; i++) {
    if (!(fabs(pf[i] - p[i]) <= 6 * 0x1p-24 * fabs(p[i])))
      fail_msg("%s, step %d: a step of %.9g in fp32, expected %.9g", kind->name, (int)number, pf[i], p[i]);
  }
}

/* Where parameters are made of points that are kept, each step rounds the points. */
static void check_lengths(const dt_kind *kind, const dt_config *config) {
  if (((const dt_optimizer *)kind->impl)->evaluated > 0) return;
  static const int64_t numbers[] = {1, 2, 3, 10, 100, 100000};
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) check_length(kind, config, numbers[i]);
}

typedef struct many {
  float p[MANY], g[MANY], s[DT_SLOTS_MAX][MANY];
} many;

/* Every slot as it may be after some steps: of a mean of squares nothing is below zero. */
static void fill(many *m) {
  for (int i = 0; i < MANY; i++) {
    m->p[i] = sinf((float)i);
    m->g[i] = sinf(3.0f * (float)i);
    for (int s = 0; s < DT_SLOTS_MAX; s++) m->s[s][i] = fabsf(cosf((float)(i + s)));
  }
}

/* All hyper-parameters as configured, with a little weight decay where there is one. */
static dt_step some_step(const dt_config *config) {
  const dt_choice *choice = &dt_config_spec(config)->optimizer;
  dt_step step = {.number = 7, .scale = 1.0 / 3, .hyper = {0.1}};
  for (int i = 1; i < dt_hyper_count(choice->kind); i++) {
    const dt_option *hyper = dt_hyper_get(choice->kind, i);
    step.hyper[i] = *(const double *)((const char *)choice->attr + hyper->offset);
    if (strcmp(hyper->name, "weight_decay") == 0) step.hyper[i] = 0.01;
    if (strcmp(hyper->name, "momentum") == 0) step.hyper[i] = 0.9;
  }
  return step;
}

static void run(const dt_config *config, const dt_step *step, const dt_segment *segment, many *m, int first, int count) {
  static const double tensor[2] = {700, 500};
  const dt_update how = {.attr = dt_config_spec(config)->optimizer.attr, .step = step, .segment = segment, .tensor = tensor};
  float *slot[DT_SLOTS_MAX];
  for (int s = 0; s < DT_SLOTS_MAX; s++) slot[s] = m->s[s] + first;
  const dt_optimizer *optimizer = optimizer_of(config);
  if (optimizer->direct_f32 != NULL) optimizer->direct_f32(&how, count, m->p + first, m->g + first, slot);
  optimizer->update_f32(&how, count, m->p + first, m->g + first, slot);
}

static void with_each(void (*check)(const dt_kind *kind, const dt_config *config)) {
  for (const dt_kind *const *kind = dt_optimizer_kinds; *kind != NULL; kind++) {
    dt_config *config = parse((*kind)->name, "{}");
    check(*kind, config);
    dt_config_destroy(&config);
  }
}

static void test_lengths(void **state) {
  with_each(check_lengths);
}

static void check_place(const dt_kind *kind, const dt_config *config) {
  static many all, alone;
  dt_step step = some_step(config);
  fill(&all);
  run(config, &step, &plain, &all, 0, MANY);
  for (int i = 0; i < MANY; i += 97) {
    fill(&alone);
    run(config, &step, &plain, &alone, i, 1);
    assert_memory_equal(&alone.p[i], &all.p[i], sizeof *all.p);
    for (int s = 0; s < DT_SLOTS_MAX; s++) assert_memory_equal(&alone.s[s][i], &all.s[s][i], sizeof **all.s);
  }
}

/* An element's result depends on itself alone: the same bits alone and in the middle of many, at any place. */
static void test_bits_do_not_depend_on_place(void **state) {
  with_each(check_place);
}

static void check_same(const char *what, const dt_kind *kind, const many *a, const many *b) {
  if (memcmp(a, b, sizeof *a) != 0) fail_msg("%s: %s", kind->name, what);
}

static int find_decay(const dt_kind *kind) {
  for (int i = 0; i < dt_hyper_count(kind); i++) {
    if (strcmp(dt_hyper_get(kind, i)->name, "weight_decay") == 0) return i;
  }
  return -1;
}

static void check_multipliers(const dt_kind *kind, const dt_config *config) {
  static many usual, scaled, expected;
  dt_step step = some_step(config), changed = step;
  const dt_segment slower = {.lr_scale = 0.25, .decay = true}, undecayed = {.lr_scale = 1};
  fill(&usual), fill(&scaled), fill(&expected);
  run(config, &step, &plain, &usual, 0, MANY);
  run(config, &step, &slower, &scaled, 0, MANY);
  changed.hyper[DT_HYPER_LR] *= 0.25;
  run(config, &changed, &plain, &expected, 0, MANY);
  check_same("a segment's lr_scale is not that times the learning rate", kind, &scaled, &expected);
  if (memcmp(&usual, &scaled, sizeof usual) == 0) fail_msg("%s: a segment's lr_scale changes nothing", kind->name);
  if (find_decay(kind) < 0) return;
  fill(&scaled), fill(&expected);
  run(config, &step, &undecayed, &scaled, 0, MANY);
  changed = step;
  changed.hyper[find_decay(kind)] = 0;
  run(config, &changed, &plain, &expected, 0, MANY);
  check_same("a segment without decay is not as if weight_decay were 0", kind, &scaled, &expected);
  if (memcmp(&usual, &scaled, sizeof usual) == 0) fail_msg("%s: a segment's decay changes nothing", kind->name);
}

static void test_multipliers(void **state) {
  with_each(check_multipliers);
}

/* Every hyper-parameter is looked at in every step of a matrix, and not its option. */
static void check_hypers(const dt_kind *kind, const dt_config *config) {
  static const dt_segment matrix = {.lr_scale = 1, .decay = true, .units = 4, .unit_count = MANY / 4, .matrix = true};
  static many usual, other;
  dt_step step = some_step(config);
  fill(&usual);
  run(config, &step, &matrix, &usual, 0, MANY);
  for (int i = 0; i < dt_hyper_count(kind); i++) {
    dt_step changed = step;
    changed.hyper[i] = changed.hyper[i] == 0 ? 0.5 : 0.5 * changed.hyper[i];
    fill(&other);
    run(config, &changed, &matrix, &other, 0, MANY);
    if (memcmp(&usual, &other, sizeof usual) == 0)
      fail_msg("%s: %s in dt_step changes nothing", kind->name, dt_hyper_get(kind, i)->name);
  }
}

static void test_hypers(void **state) {
  with_each(check_hypers);
}

/* --- declarations --- */

/* Elements beyond the limit count as the limit, after the scale; a NaN stays, so that it is found. */
static void check_value(const dt_kind *kind, const dt_config *config) {
  static many clipped, expected;
  dt_step step = some_step(config), plain_step = step;
  if (optimizer_of(config)->emit != NULL && optimizer_of(config)->direct_f32 == NULL) return; /* refused by the config */
  step.clip_value = 0.1;
  fill(&clipped), fill(&expected);
  run(config, &step, &plain, &clipped, 0, MANY);
  const float scale = (float)step.scale;
  for (int i = 0; i < MANY; i++) {
    if (fabsf(scale * expected.g[i]) > 0.1f) expected.g[i] = copysignf(0.1f, expected.g[i]) / scale;
  }
  run(config, &plain_step, &plain, &expected, 0, MANY);
  for (int i = 0; i < MANY; i++) {
    if (!(fabsf(clipped.p[i] - expected.p[i]) <= 1e-6f * fmaxf(1, fabsf(expected.p[i]))))
      fail_msg("%s, clipped by value: found %.9g, expected %.9g", kind->name, (double)clipped.p[i], (double)expected.p[i]);
  }
  fill(&clipped);
  clipped.g[5] = NAN;
  run(config, &step, &plain, &clipped, 0, MANY);
  assert_true(isnan(clipped.p[5]) && !isnan(clipped.p[6]));
}

static void test_value(void **state) {
  with_each(check_value);
}

static void test_declared(void **state) {
  const dt_kind *kind = dt_kind_find(dt_optimizer_kinds, "sgd", 3);
  char names[64];
  assert_string_equal(dt_hyper_names(kind, names, sizeof names), "lr, momentum, weight_decay");
  assert_null(dt_hyper_find(kind, "nesterov"));
  assert_null(dt_hyper_get(kind, 3));
  assert_true(dt_hyper_find(kind, "momentum")->open_max);
  for (const dt_kind *const *each = dt_optimizer_kinds; *each != NULL; each++) {
    const dt_optimizer *optimizer = (*each)->impl;
    assert_string_equal(optimizer->name, (*each)->name);
    assert_true(optimizer->slots <= DT_SLOTS_MAX && dt_hyper_count(*each) <= DT_HYPER_MAX);
    for (int s = 0; s < optimizer->slots; s++) assert_non_null(optimizer->slot_name[s]);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_torch),       cmocka_unit_test(test_bits_do_not_depend_on_place),
      cmocka_unit_test(test_multipliers), cmocka_unit_test(test_hypers),
      cmocka_unit_test(test_declared),    cmocka_unit_test(test_lengths),
      cmocka_unit_test(test_value),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

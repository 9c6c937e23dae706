#include "support/outcome.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support/unit.h"

net_options outcome_options(const net_case *row) {
  return (net_options){
      .input = row->input,
      .layers = row->layers,
      .loss = row->loss,
      .metrics = row->metrics,
      .byte_targets = row->byte_targets,
      .optimizer = "{sgd: {momentum: 0.875, nesterov: true, weight_decay: 0.015625}}",
      .global_batch = row->global_batch,
      .shards = row->shards,
      .lr = 0.0625,
      .pixels = row->pixels,
  };
}

void outcome_run(const net_case *row, const net_options *options, outcome *o) {
  net *n = &o->net;
  net_open(n, options);
  net_fill(n);
  o->params = n->train->param_elements;
  o->trained = n->train->trained_elements;
  o->states = n->train->state_elements;
  o->logits = row->samples * net_classes(n);
  o->grad = net_memory((size_t)o->params * sizeof(double));
  o->param = net_memory((size_t)o->params * sizeof(double));
  o->state = net_memory((size_t)o->states * sizeof(double));
  o->logit = net_memory((size_t)o->logits * sizeof(double));
  net_step(n, "first", row->samples, 0, &o->sums);
  net_read(n, NET_GRAD, 0, o->trained, o->grad);
  double unscale = 1 / net_loss_scale(n);
  for (int64_t i = 0; i < o->trained; i++) o->grad[i] *= unscale;
  net_read(n, NET_PARAM, 0, o->params, o->param);
  net_read(n, NET_STATE, 0, o->states, o->state);
  o->score = net_memory((size_t)n->eval->score_words * sizeof *o->score);
  net_evaluate(n, "eval", row->samples, o->logit, o->score);
}

void outcome_free(outcome *o) {
  free(o->grad);
  free(o->param);
  free(o->state);
  free(o->logit);
  free(o->score);
  net_close(&o->net);
}

static double norm_of(const double *value, int64_t count) {
  double sum = 0;
  for (int64_t i = 0; i < count; i++) sum += value[i] * value[i];
  return sqrt(sum);
}

static double distance_of(const double *a, const double *b, int64_t count) {
  double sum = 0;
  for (int64_t i = 0; i < count; i++) sum += (a[i] - b[i]) * (a[i] - b[i]);
  return sqrt(sum);
}

/* Relative distance in the 2-norm. `floor` stands in for the norm of a tensor that is zero but for rounding, as the gradient of
 * a bias before batchnorm is: its m summands all have the rounding of the same two sums in them, which adds up m times. */
static void require_close(const char *kind, const char *name, const double *got, const double *expected, int64_t count,
                          double floor, comparison *c) {
  double error = distance_of(got, expected, count) / fmax(norm_of(expected, count), floor);
  if (!(error <= c->tolerance)) {
    fail_msg("%s %s: relative distance %.3g, expected at most %.0e", kind, name, error, c->tolerance);
  }
  c->worst = fmax(c->worst, error);
}

/* Compares the tensors of two lists by name: devices may lay out their blocks in different orders. */
static void require_tensors(const char *kind, const dt_param *list, int count, const double *got, const dt_param *expected_list,
                            const double *expected, double all_norm, comparison *c) {
  int64_t all = 0;
  for (int i = 0; i < count; i++) all += list[i].count;
  for (int i = 0; i < count; i++) {
    if (strstr(list[i].name, DT_LOSS_SCALE_ROLE) != NULL) continue; /* only a gpu changes it */
    const dt_param *other = net_find(expected_list, count, list[i].name);
    double floor = 0.2 * all_norm * sqrt((double)list[i].count / (double)all);
    require_close(kind, list[i].name, got + list[i].offset, expected + other->offset, list[i].count, floor, c);
  }
}

/* What the measures make of a sum. A score that lies near the edge of a bin may fall to either side of it on another device. */
static bool is_binned_score(const dt_sum *sum) {
  return strcmp(sum->decl->name, "scores") == 0;
}

static void compare_binned(const outcome *got, const outcome *expected, int i) {
  const dt_goals *goals = &got->net.graph->goals;
  const dt_sum *g = &got->net.eval->sum[i], *e = &expected->net.eval->sum[i];
  for (int m = 0; m < goals->measure_count; m++) {
    const dt_measure *measure = &goals->measure[m];
    if (measure->sum != i || measure->derive == NULL) continue;
    const double samples = (double)got->score[0];
    const dt_measured_sums of = {.bins = got->score + g->word, .samples = samples};
    const dt_measured_sums right = {.bins = expected->score + e->word, .samples = samples};
    const double found = measure->derive(measure, &of), wanted = measure->derive(measure, &right);
    assert_true((isnan(found) && isnan(wanted)) || fabs(found - wanted) < 0.02);
  }
  for (int y = 0; y < 2; y++) { /* samples of the class, and others */
    int64_t balance = 0;
    for (int64_t b = y; b < g->decl->bins; b += 2) balance += got->score[g->word + b] - expected->score[e->word + b];
    assert_int_equal(balance, 0);
  }
}

/* In a step, and a sample's mean in an evaluation. */
static void compare_sum(const outcome *got, const outcome *expected, int i, comparison *c) {
  const dt_sum *g = &got->net.eval->sum[i], *e = &expected->net.eval->sum[i];
  const dt_sum_kind kind = g->decl->kind;
  assert_true(got->sums.nonfinite[i] == 0);
  if (kind == DT_SUM_REAL) require_close(g->decl->name, "", &got->sums.sum[i], &expected->sums.sum[i], 1, 0, c);
  if (!c->counts) return;
  if (is_binned_score(g)) {
    compare_binned(got, expected, i);
    return;
  }
  if (kind != DT_SUM_REAL) {
    assert_true(got->sums.sum[i] == expected->sums.sum[i]);
    assert_memory_equal(got->score + g->word, expected->score + e->word, (size_t)dt_sum_words(g->decl) * sizeof(int64_t));
    return;
  }
  const double samples = (double)got->score[0], mean = dt_sum_value(e, expected->score) / samples;
  assert_true(fabs(dt_sum_value(g, got->score) / samples - mean) <= 8e-6 * (1 + fabs(mean)));
}

void outcome_compare(const outcome *got, const outcome *expected, comparison *c) {
  const dt_program *g = got->net.train, *e = expected->net.train;
  assert_int_equal(g->param_count, e->param_count);
  assert_int_equal(g->state_count, e->state_count);
  require_tensors("gradient", g->param, g->trained_count, got->grad, e->param, expected->grad,
                  norm_of(expected->grad, expected->trained), c);
  require_tensors("parameter", g->param, g->param_count, got->param, e->param, expected->param, 0, c);
  require_tensors("state", g->state, g->state_count, got->state, e->state, expected->state, 0, c);
  require_close("logits", "", got->logit, expected->logit, expected->logits, 0, c);
  assert_true(got->sums.statistic[DT_STATISTIC_SAMPLES] == expected->sums.statistic[DT_STATISTIC_SAMPLES]);
  assert_int_equal(got->score[0], expected->score[0]);
  assert_int_equal(g->sum_count, e->sum_count);
  for (int i = 0; i < g->sum_count; i++) compare_sum(got, expected, i, c);
}

/* --- fits --- */

/* Sums of products: got with expected, and each with itself. */
typedef struct products {
  double both, expected, got;
} products;

static products multiply(const double *got, const double *expected, int64_t count) {
  products sum = {0};
  for (int64_t i = 0; i < count; i++) {
    sum.both += got[i] * expected[i];
    sum.expected += expected[i] * expected[i];
    sum.got += got[i] * got[i];
  }
  return sum;
}

static products multiply_tensor(const outcome *got, const outcome *expected, int tensor) {
  const dt_param *mine = &got->net.train->param[tensor];
  const dt_param *other = net_find(expected->net.train->param, expected->net.train->param_count, mine->name);
  return multiply(got->grad + mine->offset, expected->grad + other->offset, mine->count);
}

/* Nothing beside nothing fits. */
static outcome_fit fit_of(const products *p) {
  return p->expected > 0 ? (outcome_fit){p->both / p->expected, p->both / sqrt(p->expected * p->got)} : (outcome_fit){1, 1};
}

/* Gradients of batchnorm's parameters and of biases are few and small differences: where a net has kinks they are not measured
 * alone, nor are weights with less than 2 % of the gradient's norm. */
bool outcome_fit_weight(const outcome *got, const outcome *expected, int tensor, outcome_fit *out) {
  const products p = multiply_tensor(got, expected, tensor);
  *out = fit_of(&p);
  return got->net.train->param[tensor].shape.ndim > 1 && sqrt(p.expected) >= 0.02 * norm_of(expected->grad, expected->trained);
}

static void fit_worst_weight(const outcome *got, const outcome *expected, outcome_fits *out) {
  outcome_fit fit;
  out->weight = (outcome_fit){1, 1};
  for (int i = 0; i < got->net.train->trained_count; i++) {
    if (!outcome_fit_weight(got, expected, i, &fit) || fabs(fit.factor - 1) <= fabs(out->weight.factor - 1)) continue;
    out->weight = fit;
    out->weight_name = got->net.train->param[i].name;
  }
}

outcome_fits outcome_fit_all(const outcome *got, const outcome *expected) {
  const products logits = multiply(got->logit, expected->logit, expected->logits);
  products all = {0}, largest = {0};
  for (int i = 0; i < got->net.train->trained_count; i++) {
    const products p = multiply_tensor(got, expected, i);
    all = (products){all.both + p.both, all.expected + p.expected, all.got + p.got};
    if (p.expected > largest.expected) largest = p;
  }
  const products rest = {all.both - largest.both, all.expected - largest.expected, all.got - largest.got};
  outcome_fits fits = {.gradient = fit_of(&all), .rest = fit_of(&rest), .logits = fit_of(&logits), .weight_name = "no weight"};
  fit_worst_weight(got, expected, &fits);
  return fits;
}

static bool is_near(const outcome_fit *fit, double most) {
  return fabs(fit->factor - 1) <= most && fit->cosine >= 0.99;
}

/* Found over all cases and precisions: at most 0.7 % for the gradient, 2.1 % for the rest and 6.6 % for a weight. */
bool outcome_fits_are_near(const outcome_fits *fits) {
  return is_near(&fits->gradient, 0.02) && is_near(&fits->rest, 0.04) && is_near(&fits->logits, 0.02) &&
         fabs(fits->weight.factor - 1) <= 0.08;
}

void outcome_require_same_bits(const char *what, const outcome *a, const outcome *b) {
  const struct {
    const char *name;
    const double *a, *b;
    int64_t count;
  } pieces[] = {
      {"gradients", a->grad, b->grad, a->trained},
      {"parameters", a->param, b->param, a->params},
      {"states", a->state, b->state, a->states},
      {"logits", a->logit, b->logit, a->logits},
      {"samples", a->sums.statistic, b->sums.statistic, 1},
      {"sums", a->sums.sum, b->sums.sum, a->net.train->sum_count},
  };
  for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
    for (int64_t k = 0; k < pieces[i].count; k++) {
      if (memcmp(&pieces[i].a[k], &pieces[i].b[k], sizeof(double)) != 0) {
        fail_msg("%s: %s differ at %lld: %a, expected %a", what, pieces[i].name, (long long)k, pieces[i].b[k], pieces[i].a[k]);
      }
    }
  }
  assert_memory_equal(a->score, b->score, (size_t)a->net.eval->score_words * sizeof *a->score);
}

/* A frozen normalisation in the middle of a network: it keeps its parameters and statistics to the bit, and the rest takes the
 * step that is written out here in plain loops. Of a layer normalisation, which has no statistics, the rest takes the very step
 * that it takes where the layer is trained; on the cpu device too. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/cpu.h"
#include "support/net.h"
#include "support/unit.h"

enum { IN = 5, MID = 4, OUT = 3, SAMPLES = 7 };
static const double eps = 1e-5, lr = 0.25;

static const char *const kinds[] = {"layernorm", "batchnorm"};

static void open_net(net *n, const char *kind, bool frozen, bool reference) {
  char layers[256];
  snprintf(layers, sizeof layers,
           "[{linear: %d, name: below}, {%s: {}, name: norm, freeze: %s}, tanh, {linear: %d, name: above}]", MID, kind,
           frozen ? "true" : "false", OUT);
  net_options options = {.input = "5",
                         .layers = layers,
                         .loss = "mse",
                         .global_batch = SAMPLES,
                         .shards = 1,
                         .lr = lr,
                         .device = reference ? dt_reference_create : dt_cpu_create};
  net_open(n, &options);
  net_fill(n);
}

static void read_param(const net *n, const char *name, double *out) {
  const dt_param *p = net_find(n->train->param, n->train->param_count, name);
  net_read(n, NET_PARAM, p->offset, p->count, out);
}

/* --- the step, written out --- */

typedef struct plain {
  double below_w[MID][IN], below_b[MID], norm_w[MID], norm_b[MID], above_w[OUT][MID], above_b[OUT];
  double mean[MID], var[MID]; /* running; of a batchnorm */
} plain;

static void read_plain(const net *n, bool batchnorm, plain *out) {
  read_param(n, "below.weight", out->below_w[0]);
  read_param(n, "below.bias", out->below_b);
  read_param(n, "norm.weight", out->norm_w);
  read_param(n, "norm.bias", out->norm_b);
  read_param(n, "above.weight", out->above_w[0]);
  read_param(n, "above.bias", out->above_b);
  if (!batchnorm) return;
  const dt_param *mean = net_find(n->train->state, n->train->state_count, "norm.running_mean"),
                 *var = net_find(n->train->state, n->train->state_count, "norm.running_var");
  net_read(n, NET_STATE, mean->offset, MID, out->mean);
  net_read(n, NET_STATE, var->offset, MID, out->var);
}

/* x^ of one sample, and how much one of its elements moves it: 1 / standard deviation of each. */
static void normalise(const plain *p, bool batchnorm, const double *x, double *hat, double *inverse) {
  double mean = 0, var = 0;
  for (int i = 0; i < MID; i++) mean += x[i] / MID;
  for (int i = 0; i < MID; i++) var += (x[i] - mean) * (x[i] - mean) / MID;
  for (int i = 0; i < MID; i++) {
    inverse[i] = 1 / sqrt((batchnorm ? p->var[i] : var) + eps);
    hat[i] = (x[i] - (batchnorm ? p->mean[i] : mean)) * inverse[i];
  }
}

/* The gradient at x from that at x^. A layernorm's mean and deviation depend on x; a frozen batchnorm's are constants. */
static void normalise_back(bool batchnorm, const double *hat, const double *inverse, const double *d_hat, double *dx) {
  double mean = 0, along = 0;
  for (int i = 0; i < MID; i++) {
    mean += d_hat[i] / MID;
    along += d_hat[i] * hat[i] / MID;
  }
  for (int i = 0; i < MID; i++) dx[i] = inverse[i] * (batchnorm ? d_hat[i] : d_hat[i] - mean - hat[i] * along);
}

/* Adds one sample's gradient of the mean over samples to g. */
static void add_gradient(const plain *p, bool batchnorm, const float *in, const float *target, plain *g) {
  double x[MID], hat[MID], inverse[MID], y[MID], d_hat[MID] = {0}, dx[MID];
  for (int i = 0; i < MID; i++) {
    x[i] = p->below_b[i];
    for (int k = 0; k < IN; k++) x[i] += p->below_w[i][k] * (double)in[k];
  }
  normalise(p, batchnorm, x, hat, inverse);
  for (int i = 0; i < MID; i++) y[i] = tanh(hat[i] * p->norm_w[i] + p->norm_b[i]);
  for (int o = 0; o < OUT; o++) {
    double out = p->above_b[o];
    for (int i = 0; i < MID; i++) out += p->above_w[o][i] * y[i];
    const double d = 2 * (out - (double)target[o]) / OUT / SAMPLES;
    g->above_b[o] += d;
    for (int i = 0; i < MID; i++) {
      g->above_w[o][i] += d * y[i];
      d_hat[i] += d * p->above_w[o][i] * (1 - y[i] * y[i]) * p->norm_w[i];
    }
  }
  normalise_back(batchnorm, hat, inverse, d_hat, dx);
  for (int i = 0; i < MID; i++) {
    g->below_b[i] += dx[i];
    for (int k = 0; k < IN; k++) g->below_w[i][k] += dx[i] * (double)in[k];
  }
}

static void expect_near(const char *what, const double *found, const double *before, const double *gradient, int count) {
  for (int i = 0; i < count; i++) {
    const double expected = before[i] - lr * gradient[i];
    if (!(fabs(found[i] - expected) <= 1e-13 * fmax(1, fabs(expected))))
      fail_msg("%s[%d]: found %.17g, expected %.17g", what, i, found[i], expected);
  }
}

static void takes_the_step_that_is_written_out(void **state) {
  for (int k = 0; k < 2; k++) {
    const bool batchnorm = strcmp(kinds[k], "batchnorm") == 0;
    plain before = {.mean = {0}}, after = {.mean = {0}}, gradient = {.mean = {0}};
    net n;
    net_sums sums;
    open_net(&n, kinds[k], true, true);
    read_plain(&n, batchnorm, &before);
    net_step(&n, "step", SAMPLES, 0, &sums);
    read_plain(&n, batchnorm, &after);
    const float *in = net_field(&n, "input"), *target = net_field(&n, "target");
    for (int s = 0; s < SAMPLES; s++)
      add_gradient(&before, batchnorm, in + (ptrdiff_t)s * IN, target + (ptrdiff_t)s * OUT, &gradient);
    expect_near("below.weight", after.below_w[0], before.below_w[0], gradient.below_w[0], MID * IN);
    expect_near("below.bias", after.below_b, before.below_b, gradient.below_b, MID);
    expect_near("above.weight", after.above_w[0], before.above_w[0], gradient.above_w[0], OUT * MID);
    expect_near("above.bias", after.above_b, before.above_b, gradient.above_b, OUT);
    assert_memory_equal(after.norm_w, before.norm_w, sizeof before.norm_w);
    assert_memory_equal(after.norm_b, before.norm_b, sizeof before.norm_b);
    assert_memory_equal(after.mean, before.mean, sizeof before.mean);
    assert_memory_equal(after.var, before.var, sizeof before.var);
    net_close(&n);
  }
}

/* The gradients of other layers do not know whether the layer's own are used. */
static void rest_does_not_see_a_frozen_layernorm(void **state) {
  for (int reference = 0; reference < 2; reference++) {
    plain first = {.mean = {0}}, trained = {.mean = {0}}, frozen = {.mean = {0}};
    for (int f = 0; f < 2; f++) {
      net n;
      net_sums sums;
      open_net(&n, "layernorm", f == 1, reference == 1);
      read_plain(&n, false, &first);
      net_step(&n, "step", SAMPLES, 0, &sums);
      read_plain(&n, false, f == 1 ? &frozen : &trained);
      net_close(&n);
    }
    assert_memory_not_equal(trained.norm_w, first.norm_w, sizeof first.norm_w);
    assert_memory_not_equal(trained.below_w, first.below_w, sizeof first.below_w);
    memcpy(trained.norm_w, first.norm_w, sizeof first.norm_w);
    memcpy(trained.norm_b, first.norm_b, sizeof first.norm_b);
    assert_memory_equal(&frozen, &trained, sizeof frozen);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(takes_the_step_that_is_written_out),
                                     cmocka_unit_test(rest_does_not_see_a_frozen_layernorm)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}

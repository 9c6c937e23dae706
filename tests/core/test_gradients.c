/* Gradients of every layer against finite differences of the loss, in double precision on the reference device.
 *
 * The loss of a batch is a smooth function of the parameters (dropout's choice is fixed by seed and step), so its directional
 * derivative is (L(p + h d) - L(p - h d)) / 2h up to O(h^2). Each parameter tensor is checked along one random direction, which
 * all of its elements share, and at single elements, which no other can hide. */

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/cases.h"
#include "support/fill.h"
#include "support/net.h"
#include "support/unit.h"

static const double H = 1e-5, TOLERANCE = 1e-6;
enum { ELEMENT_CHECKS = 3, SAMPLES_MAX = 7 };

typedef struct check {
  net net;
  int64_t samples;
  double *param, *grad, *moved, *direction; /* [param_elements]; grad of trained ones */
  double grad_scale;                        /* largest element of the whole gradient */
  double worst;
} check;

static double loss_at(check *c, const double *param) {
  net_sums sums;
  net_write(&c->net, NET_PARAM, 0, c->net.train->param_elements, param);
  net_step(&c->net, "gradients", c->samples, 640, &sums);
  return net_loss(&c->net, &sums);
}

/* Derivative of the loss along c->direction, which is zero outside of [first, first + count). */
static double difference_along(check *c, int64_t first, int64_t count) {
  double loss[2];
  for (int side = 0; side < 2; side++) {
    memcpy(c->moved, c->param, (size_t)c->net.train->param_elements * sizeof(double));
    for (int64_t i = first; i < first + count; i++) c->moved[i] += (side == 0 ? H : -H) * c->direction[i];
    loss[side] = loss_at(c, c->moved);
  }
  return (loss[0] - loss[1]) / (2 * H);
}

static double largest(const double *value, int64_t count) {
  double most = 0;
  for (int64_t i = 0; i < count; i++) most = fmax(most, fabs(value[i]));
  return most;
}

/* Compares along the direction. Errors count relative to the derivative, or where that is small by chance, to what the tensor's
 * gradient could have given. */
static void compare(check *c, const dt_param *p, int64_t first, int64_t count, const char *what) {
  double expected = difference_along(c, first, count), got = 0;
  for (int64_t i = first; i < first + count; i++) got += c->grad[i] * c->direction[i];
  double floor = fmax(0.05 * largest(c->grad + p->offset, p->count), 0.01 * c->grad_scale);
  double error = fabs(got - expected) / fmax(fabs(expected), floor);
  c->worst = fmax(c->worst, error);
  if (!(error <= TOLERANCE)) {
    fail_msg("%s, %s: finite differences give %.12g, backward %.12g (relative error %.2g)", p->name, what, expected, got,
             error);
  }
}

static void check_tensor(check *c, const dt_param *p) {
  uint64_t key = fill_key(p->name);
  double norm = 0;
  for (int64_t i = 0; i < p->count; i++) {
    c->direction[p->offset + i] = fill_value(key + 1, i);
    norm += pow(fill_value(key + 1, i), 2);
  }
  for (int64_t i = 0; i < p->count; i++) c->direction[p->offset + i] /= sqrt(norm);
  compare(c, p, p->offset, p->count, "along a random direction");
  for (int k = 0; k < ELEMENT_CHECKS && k < p->count; k++) {
    int64_t element = (int64_t)((fill_value(key + 2, k) + 1) / 2 * (double)p->count);
    char what[64];
    snprintf(what, sizeof what, "element %lld", (long long)element);
    c->direction[p->offset + element] = 1;
    compare(c, p, p->offset + element, 1, what);
  }
}

static void check_net(const net_case *row, double *out_worst) {
  int64_t samples = row->samples < SAMPLES_MAX ? row->samples : SAMPLES_MAX;
  net_options options = {
      .input = row->input,
      .layers = row->layers,
      .loss = row->loss,
      .global_batch = row->global_batch < samples + 1 ? row->global_batch : samples + 1,
      .shards = row->shards < 2 ? row->shards : 2,
      .pixels = row->pixels,
      .device = dt_reference_create,
  };
  check c = {.samples = samples};
  net_open(&c.net, &options);
  net_fill(&c.net);
  int64_t count = c.net.train->param_elements;
  double **arrays[] = {&c.param, &c.grad, &c.moved, &c.direction};
  for (int i = 0; i < 4; i++) *arrays[i] = net_memory((size_t)count * sizeof(double));
  net_read(&c.net, NET_PARAM, 0, count, c.param);
  loss_at(&c, c.param);
  net_read(&c.net, NET_GRAD, 0, c.net.train->trained_elements, c.grad);
  c.grad_scale = largest(c.grad, count);
  for (int i = 0; i < c.net.train->trained_count; i++) check_tensor(&c, &c.net.train->param[i]);
  for (int i = 0; i < 4; i++) free(*arrays[i]);
  net_close(&c.net);
  *out_worst = c.worst;
}

static void test_gradients(void **state) {
  const net_case *row = *state;
  double worst = 0;
  check_net(row, &worst);
  print_message("             %s: worst relative error %.1e\n", row->name, worst);
}

int main(void) {
  struct CMUnitTest tests[net_case_count];
  for (int i = 0; i < net_case_count; i++) {
    tests[i] =
        (struct CMUnitTest){.name = net_cases[i].name, .test_func = test_gradients, .initial_state = (void *)&net_cases[i]};
  }
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The example that is written wherever automatic differentiation is explained: c = x * y + z, of which dc/dx = y, dc/dy = x and
 * dc/dz = 1. Here x, y and z are layers, and what comes back to c is some g, so that gradients are g y, g x and g. */
#include <math.h>
#include <stdlib.h>

#include "support/net.h"
#include "support/unit.h"

enum { COUNT = 4 };

/* A layer whose weight is zero gives its bias, and the gradient of its bias is that of its output. */
static void set_layer(const net *n, const char *name, const double *value) {
  char full[32];
  double zeros[COUNT * 2] = {0};
  snprintf(full, sizeof full, "%s.weight", name);
  net_write(n, NET_PARAM, net_find(n->train->param, n->train->param_count, full)->offset, COUNT * 2, zeros);
  snprintf(full, sizeof full, "%s.bias", name);
  net_write(n, NET_PARAM, net_find(n->train->param, n->train->param_count, full)->offset, COUNT, value);
}

static void read_gradient(const net *n, const char *name, double *out) {
  char full[32];
  snprintf(full, sizeof full, "%s.bias", name);
  net_read(n, NET_GRAD, net_find(n->train->param, n->train->param_count, full)->offset, COUNT, out);
}

static void check(dt_status (*device)(const dt_device_options *options, dt_device **out), double tolerance) {
  static const double x[COUNT] = {0.5, -1.25, 2, 3}, y[COUNT] = {-0.75, 0.25, 1.5, -2}, z[COUNT] = {1, 0, -1, 0.5};
  const net_options options = {
      .input = "2",
      .layers =
          "[{linear: 4, name: x}, {linear: 4, name: y, from: input}, {linear: 4, name: z, from: input}, {multiply: {}, from: "
          "[x, y]}, {add: {}, from: [multiply1, z], name: c}, {linear: 3}]",
      .global_batch = 1,
      .shards = 1,
      .device = device,
  };
  net n;
  net_sums sums;
  double dx[COUNT], dy[COUNT], g[COUNT];
  net_open(&n, &options);
  net_fill(&n);
  set_layer(&n, "x", x);
  set_layer(&n, "y", y);
  set_layer(&n, "z", z);
  net_step(&n, "product", 1, 0, &sums);
  read_gradient(&n, "x", dx);
  read_gradient(&n, "y", dy);
  read_gradient(&n, "z", g);
  for (int i = 0; i < COUNT; i++) {
    assert_true(fabs(g[i]) > 1e-3);
    assert_true(fabs(dx[i] - g[i] * y[i]) <= tolerance * fabs(g[i]));
    assert_true(fabs(dy[i] - g[i] * x[i]) <= tolerance * fabs(g[i]));
  }
  net_close(&n);
}

static void on_the_reference_device(void **state) {
  check(dt_reference_create, 1e-15);
}

static void on_the_cpu_device(void **state) {
  check(dt_cpu_create, 1e-6);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(on_the_reference_device), cmocka_unit_test(on_the_cpu_device)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}

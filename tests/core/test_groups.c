/* train.groups: what it says of parameters by their names. */
#include <stdlib.h>
#include <string.h>

#include "core/program/graph.h"
#include "cpu/cpu.h"
#include "support/net.h"
#include "support/unit.h"

static dt_status make_graph(const char *layers, const char *groups, dt_config **config, dt_graph **graph) {
  char text[1024];
  *config = NULL;
  *graph = NULL;
  dt_error_clear();
  const int bytes = snprintf(text, sizeof text,
                             "name: t\ndata: {train: {idx: {images: i, labels: l}}}\nmodel: {input: [8], layers: %s}\ntrain: "
                             "{global_batch: 20, epochs: 1, groups: %s}\nschedule: {lr: 0.1}\n",
                             layers, groups);
  DT_TRY(dt_config_parse("c.yaml", text, (size_t)bytes, NULL, 0, config));
  return dt_graph_create(*config, graph);
}

static const dt_graph_param *find(const dt_graph *graph, const char *name) {
  for (int p = 0; p < graph->param_count; p++) {
    if (strcmp(graph->param[p].name, name) == 0) return &graph->param[p];
  }
  fail_msg("the graph has no parameter %s", name);
  return NULL;
}

static void check(const dt_graph *graph, const char *name, double lr_scale, bool decay, bool frozen) {
  const dt_graph_param *param = find(graph, name);
  if (param->lr_scale != lr_scale || param->decay != decay || param->frozen != frozen)
    fail_msg("%s: found lr_scale %g, decay %d, frozen %d", name, param->lr_scale, param->decay, param->frozen);
}

/* Patterns within and across layers, several on one parameter, and what a layer says itself. */
static void test_groups(void **state) {
  dt_config *config;
  dt_graph *graph;
  NET_OK(make_graph(
      "[{linear: 8, name: stem, lr_scale: 0.5}, batchnorm, {residual: [{linear: 8}, tanh, {linear: 8}]}, {linear: 10}]",
      "[{match: \"*.bias\", decay: false}, {match: \"residual1.*\", lr_scale: 0.1}, {match: \"stem.*\", "
      "lr_scale: 4}, {match: \"bn1.?*\", decay: false, freeze: true}, {match: \"residual1.linear2.w[ae]*\", "
      "freeze: true, lr_scale: 5}]",
      &config, &graph));
  check(graph, "stem.weight", 2, true, false);
  check(graph, "stem.bias", 2, false, false);
  check(graph, "bn1.weight", 1, false, true);
  check(graph, "bn1.bias", 1, false, true);
  check(graph, "residual1.linear1.weight", 0.1, true, false);
  check(graph, "residual1.linear1.bias", 0.1, false, false);
  check(graph, "residual1.linear2.weight", 0.1 * 5, true, true);
  check(graph, "residual1.linear2.bias", 0.1, false, false);
  check(graph, "linear2.weight", 1, true, false);
  check(graph, "linear2.bias", 1, false, false);
  for (int n = 0; n < graph->count; n++) assert_true(graph->node[n].frozen == (strcmp(graph->node[n].name, "bn1") == 0));
  dt_graph_destroy(&graph);
  dt_config_destroy(&config);
}

static void test_refused(void **state) {
  static const struct {
    const char *groups, *part;
  } row[] = {
      {"[{match: \"linear1.wieght\", decay: false}]",
       "train.groups.0.match: found \"linear1.wieght\", which is the name of no parameter, expected a pattern such as "
       "\"linear1.weight\""},
      {"[{match: \"*\"}, {match: \"conv*\", freeze: true}]", "train.groups.1.match: found \"conv*\""},
      {"[{match: \"*\", freeze: true}]", "no parameters that are not frozen"},
      {"[{decay: false}]", "found a map of 0 kinds, expected one"},
      {"[{match: \"*\", lr: 2}]", "lr: found an unknown key beside match, expected freeze, lr_scale"},
  };
  for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
    dt_config *config;
    dt_graph *graph;
    assert_int_equal(make_graph("[{linear: 10}]", row[i].groups, &config, &graph), DT_USAGE);
    if (strstr(dt_error_text(), row[i].part) == NULL)
      fail_msg("%s: found\n%s\nexpected %s", row[i].groups, dt_error_text(), row[i].part);
    dt_error_clear();
    dt_config_destroy(&config);
  }
}

/* Copies of the parameters after two steps. */
static double *after_steps(const char *layers, const char *train, int64_t *count) {
  net n;
  net_sums sums;
  const net_options how = {.input = "8",
                           .layers = layers,
                           .optimizer = "{adamw: {weight_decay: 0.1}}",
                           .train = train,
                           .global_batch = 6,
                           .shards = 2,
                           .lr = 0.05,
                           .device = dt_cpu_create};
  net_open(&n, &how);
  net_fill(&n);
  for (int s = 0; s < 2; s++) net_step(&n, s == 0 ? "a" : "b", 6, 6 * s, &sums);
  *count = n.train->param_elements;
  double *p = net_memory((size_t)*count * sizeof *p);
  net_read(&n, NET_PARAM, 0, *count, p);
  net_close(&n);
  return p;
}

/* A group trains as layers do that say the same themselves. */
static void test_as_layers_say(void **state) {
  int64_t count, other;
  double *expected = after_steps(
      "[{linear: 5, lr_scale: 0.25, decay: false}, tanh, {linear: 5, freeze: true}, tanh, {linear: 3}]", "", &count);
  double *got = after_steps(
      "[{linear: 5}, tanh, {linear: 5}, tanh, {linear: 3}]",
      ", groups: [{match: \"linear1.*\", lr_scale: 0.25, decay: false}, {match: \"linear2.*\", freeze: true}]", &other);
  double *plain = after_steps("[{linear: 5}, tanh, {linear: 5, freeze: true}, tanh, {linear: 3}]", "", &other);
  assert_int_equal(count, other);
  assert_memory_equal(got, expected, (size_t)count * sizeof *got);
  assert_memory_not_equal(got, plain, (size_t)count * sizeof *got);
  free(expected), free(got), free(plain);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_groups), cmocka_unit_test(test_refused),
                                     cmocka_unit_test(test_as_layers_say)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Losses and metrics as the graph has them: what is measured, under which names, and what of a config is refused. */
#include "core/program/goals.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/unit.h"

/* `goals` has the lines of model.loss, eval, target and the like, in JSON. */
static dt_status graph_of(const char *layers, const char *loss, const char *goals, dt_config **config, dt_graph **graph) {
  char *text;
  int length = asprintf(&text,
                        "name: t\ndata: {train: {idx: {images: i, labels: l}}}\nmodel:\n  input: [8]\n  layers: %s\n  loss: "
                        "%s\n%s\ntrain: {global_batch: 20, shards: 4, epochs: 1}\nschedule: {lr: 0.1}\n",
                        layers, loss, goals);
  assert_true(length > 0);
  *graph = NULL;
  dt_error_clear();
  dt_status status = dt_config_parse("net.yaml", text, (size_t)length, NULL, 0, config);
  if (status == DT_OK) status = dt_graph_create(*config, graph);
  free(text);
  return status;
}

static const char chain[] = "[{linear: 6}, relu, {linear: 4}, tanh, {linear: 4}]";

/* Names of the measures, one after another. */
static void expect_measures(const char *loss, const char *goals, const char *expected, const char *chief) {
  dt_config *config;
  dt_graph *graph;
  char text[512] = "";
  if (graph_of(chain, loss, goals, &config, &graph) != DT_OK) fail_msg("%s", dt_error_text());
  for (int i = 0; i < graph->goals.measure_count; i++) {
    const size_t used = strlen(text);
    snprintf(text + used, sizeof text - used, "%s%s", i > 0 ? " " : "", graph->goals.measure[i].name);
  }
  assert_string_equal(text, expected);
  assert_string_equal(graph->goals.measure[graph->goals.chief].name, chief);
  dt_graph_destroy(&graph);
  dt_config_destroy(&config);
}

static void what_is_measured(void **state) {
  static const char two[] = "[cross_entropy, {cross_entropy: {of: linear2, weight: 0.3}}]";
  expect_measures("cross_entropy", "", "loss accuracy", "accuracy");
  expect_measures("[cross_entropy]", "eval: {metrics: confusion}", "loss confusion", "loss");
  expect_measures("{cross_entropy: {weight: 2}}", "eval: {metrics: [confusion, accuracy]}", "loss confusion accuracy",
                  "accuracy");
  expect_measures("mse", "", "loss", "loss");
  expect_measures("mse", "eval: {metrics: [mse]}", "loss mse", "mse");
  expect_measures("huber", "", "loss", "loss");
  expect_measures("{huber: {delta: 2}}", "eval: {metrics: [mae]}", "loss mae", "mae");
  expect_measures("binary_cross_entropy", "", "loss accuracy", "accuracy");
  expect_measures(two, "", "loss loss1 loss2 accuracy", "accuracy");
  expect_measures(two, "eval: {metrics: [{accuracy: {of: linear2, name: early}}, accuracy]}", "loss loss1 loss2 early accuracy",
                  "early");
  expect_measures("[cross_entropy, {mse: {of: relu1, name: near}}]", "eval: {metrics: [{mse: {of: relu1, target: target}}]}",
                  "loss loss1 near mse", "mse");
}

/* A metric that a loss has among its sums costs nothing. */
static void sums_are_shared(void **state) {
  static const struct {
    const char *loss, *metrics;
    int nodes; /* behind the network */
  } row[] = {{"cross_entropy", "[accuracy]", 1},
             {"cross_entropy", "[accuracy, confusion]", 2},
             {"cross_entropy", "[{accuracy: {of: linear2}}]", 2},
             {"[cross_entropy, {cross_entropy: {of: linear2}}]", "[{accuracy: {of: linear2}}]", 2},
             {"mse", "[mse]", 1},
             {"mse", "[mae]", 2},
             {"huber", "[mse, mae]", 3}};
  for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
    dt_config *config;
    dt_graph *graph;
    char goals[128];
    snprintf(goals, sizeof goals, "eval: {metrics: %s}", row[i].metrics);
    if (graph_of(chain, row[i].loss, goals, &config, &graph) != DT_OK) fail_msg("%s", dt_error_text());
    assert_int_equal(graph->count, 6 + row[i].nodes);
    dt_graph_destroy(&graph);
    dt_config_destroy(&config);
  }
}

static void values_are_means(void **state) {
  dt_config *config;
  dt_graph *graph;
  assert_int_equal(graph_of(chain, "[cross_entropy, {cross_entropy: {of: linear2, weight: 0.25}}]",
                            "eval: {metrics: [accuracy, {accuracy: {of: linear2, name: early}}]}", &config, &graph),
                   DT_OK);
  const double sum[] = {20, 7, 40, 5}; /* loss1: loss, correct; loss2 */
  dt_evaluation e;
  dt_evaluation_make(&graph->goals, sum, NULL, 10, &e);
  const double expected[] = {3, 2, 4, 0.7, 0.5};
  for (int i = 0; i < 5; i++) assert_true(e.value[i] == expected[i]);
  assert_int_equal(e.count[3], 7);
  assert_int_equal(e.count[4], 5);
  assert_string_equal(graph->goals.measure[3].counts, "correct");
  assert_string_equal(graph->goals.measure[4].counts, "early_correct");
  char text[256];
  assert_string_equal(dt_measures_text(&graph->goals, e.value, e.count, 10, "  ", text, sizeof text),
                      "loss 3.0000  acc 70.00% (7 of 10)  early 50.00% (5 of 10)");
  dt_graph_destroy(&graph);
  dt_config_destroy(&config);
}

/* Of a loss over several outputs, a sample counts several. */
static void shares_of_outputs(void **state) {
  dt_config *config;
  dt_graph *graph;
  assert_int_equal(graph_of(chain, "binary_cross_entropy", "", &config, &graph), DT_OK);
  const double sum[] = {5, 30};
  dt_evaluation e;
  dt_evaluation_make(&graph->goals, sum, NULL, 10, &e);
  assert_true(e.value[0] == 0.5 && e.value[1] == 0.75);
  dt_graph_destroy(&graph);
  dt_config_destroy(&config);
}

static void better_is_the_metric_s(void **state) {
  const dt_measure higher = {.higher = true}, lower = {.higher = false};
  assert_true(dt_measure_is_better(&higher, 0.9, 0.8, 0) && !dt_measure_is_better(&higher, 0.8, 0.8, 0));
  assert_true(dt_measure_is_better(&lower, 0.8, 0.9, 0) && !dt_measure_is_better(&lower, 0.9, 0.8, 0));
  assert_false(dt_measure_is_better(&lower, 0.8, 0.9, 0.2));
  assert_false(dt_measure_is_better(&lower, NAN, 0.9, 0) || dt_measure_is_better(&higher, NAN, 0.9, 0));
}

/* `of` names a composite as `from` does: it means what comes out of it. A layer within goes by its path. */
static void composites_have_names(void **state) {
  static const char layers[] =
      "[{linear: 4}, {residual: [{linear: 4}, tanh]}, {branches: [[{linear: 2}], [{linear: 2}]], name: fork}, {linear: 4}]";
  static const struct {
    const char *of, *node;
  } row[] = {{"residual1", "residual1.add"}, {"fork", "fork.concat"}, {"fork.b2.linear1", "fork.b2.linear1"}};
  for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
    dt_config *config;
    dt_graph *graph;
    char loss[128], goals[128];
    snprintf(loss, sizeof loss, "[cross_entropy, {cross_entropy: {of: %s, weight: 0.5}}]", row[i].of);
    snprintf(goals, sizeof goals, "eval: {metrics: [{confusion: {of: %s}}]}", row[i].of);
    if (graph_of(layers, loss, goals, &config, &graph) != DT_OK) fail_msg("%s", dt_error_text());
    const dt_node *second = &graph->node[graph->goals.loss[1].node], *metric = &graph->node[graph->count - 1];
    assert_string_equal(graph->node[second->input[0]].name, row[i].node);
    assert_string_equal(graph->node[metric->input[0]].name, row[i].node);
    dt_graph_destroy(&graph);
    dt_config_destroy(&config);
  }
}

/* What an input reads may be compared with, as it is or as a vector; it stays what the input says. */
static void an_input_is_a_target(void **state) {
  dt_config *config;
  dt_graph *graph;
  const char *loss[] = {"{mse: {target: input}}", "{binary_cross_entropy: {target: input}}"};
  for (int i = 0; i < 2; i++) {
    if (graph_of("[{linear: 3}, tanh, {linear: 8}]", loss[i], "eval: {metrics: [mse]}", &config, &graph) != DT_OK)
      fail_msg("%s", dt_error_text());
    assert_int_equal(graph->field_count, 1);
    assert_int_equal(dt_graph_input_fields(graph), 1);
    assert_int_equal(graph->node[graph->goals.loss[0].node].field, 0);
    dt_graph_destroy(&graph);
    dt_config_destroy(&config);
  }
}

static void what_is_refused(void **state) {
  static const struct {
    const char *loss, *goals, *part;
  } row[] = {
      {"{cross_entropy: {of: linear2}}", "", "linear3: found no loss that what it gives has a part in"},
      {"{cross_entropy: {of: linear9}}", "", "cross_entropy.of: found \"linear9\", expected the name of a layer"},
      {"{cross_entropy: {of: linear4}}", "", "(did you mean \"linear"},
      {"[cross_entropy, {mse: {target: label}}]", "", "found the field label as I32"},
      {"{cross_entropy: {of: lineer1}}", "", ": input, linear1, relu1, linear2, tanh1, linear3 (did you mean \"linear1\"?)"},
      {"[cross_entropy, {cross_entropy: {of: los}}]", "", "tanh1, linear3\n"},
      {"{mse: {target: input}}", "", "found the field input as U8 [8] elsewhere, expected F32 [4]"},
      {"{cross_entropy: {target: input}}", "", "found the field input as U8 [8] elsewhere, expected I32 []"},
      {"[cross_entropy, {mse: {name: loss1}}]", "", "found the name \"loss1\" for two things"},
      {"[cross_entropy, {mse: {name: relu1}}]", "", "found the name \"relu1\" for two things"},
      {"{cross_entropy: {weight: 0}}", "", "weight"},
      {"[]", "", "loss"},
      {"cross_entropy", "eval: {metrics: [accuracy, {accuracy: {of: linear2}}]}",
       "found two measures of the name \"accuracy\""},
      {"cross_entropy", "eval: {metrics: [{accuracy: {name: loss}}]}", "\"loss\""},
      {"cross_entropy", "eval: {metrics: [{mse: {target: label}}]}", "found the field label as I32"},
      {"cross_entropy", "eval: {metrics: [mse]}", "found the field label as I32"},
      {"cross_entropy", "eval: {metrics: [{top_k: 1}, {top_k: {k: 1000000, name: t}}]}", "top_k: found outputs of the shape"},
      {"cross_entropy", "eval: {metrics: [confusion, {precision: {class: 1000}}]}",
       "precision: class: found 1000, expected 0 to"},
      {"binary_cross_entropy", "eval: {metrics: [precision, {recall: {class: 1}}]}",
       "recall: found class or average for outputs"},
      {"cross_entropy", "target: {mse: 0.1}",
       "target.metric: found \"mse\", expected a measure of this network (loss, accuracy)"},
      {"cross_entropy", "eval: {metrics: [accuracy, confusion]}\ntarget: {confusion: 1}", "target.metric: found \"confusion\""},
      {"cross_entropy", "target: {accuracy: 99}", "target.accuracy: found 99, expected a share above 0 and at most 1"},
      {"cross_entropy", "checkpoint: {best: acuracy}", "checkpoint.best: found \"acuracy\""},
      {"cross_entropy", "checkpoint: {best: acuracy}", "(did you mean \"accuracy\"?)"},
  };
  for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
    dt_config *config = NULL;
    dt_graph *graph;
    dt_status status = graph_of(chain, row[i].loss, row[i].goals, &config, &graph);
    if (status != DT_USAGE) fail_msg("%s %s: status %d", row[i].loss, row[i].goals, (int)status);
    if (strstr(dt_error_text(), row[i].part) == NULL) fail_msg("%s %s:\n%s", row[i].loss, row[i].goals, dt_error_text());
    assert_non_null(strstr(dt_error_text(), "net.yaml:"));
    dt_config_destroy(&config);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(what_is_measured),      cmocka_unit_test(sums_are_shared),        cmocka_unit_test(values_are_means),
      cmocka_unit_test(shares_of_outputs),     cmocka_unit_test(better_is_the_metric_s), cmocka_unit_test(what_is_refused),
      cmocka_unit_test(composites_have_names), cmocka_unit_test(an_input_is_a_target),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

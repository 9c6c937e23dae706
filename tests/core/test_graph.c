#include <stdlib.h>

#include "core/layers/layer.h"
#include "core/program/graph.h"
#include "nets.h"

static dt_status graph_of(const char *input, const char *layers, dt_config **config, dt_graph **graph) {
  *config = NULL;
  *graph = NULL;
  dt_status status = parse_net(input, layers, "", config);
  return status == DT_OK ? dt_graph_create(*config, graph) : status;
}

typedef struct expected_node {
  const char *name;
  dt_shape shape;
} expected_node;

static void expect_nodes(const char *input, const char *layers, const expected_node *expected) {
  dt_config *config;
  dt_graph *graph;
  if (graph_of(input, layers, &config, &graph) != DT_OK) fail_msg("%s", dt_error_text());
  int n = 0;
  for (; expected[n].name != NULL; n++) {
    assert_true(n < graph->count);
    assert_string_equal(graph->node[n].name, expected[n].name);
    if (!dt_shape_equal(&graph->node[n].shape, &expected[n].shape)) fail_msg("shape of %s", expected[n].name);
  }
  assert_int_equal(n, graph->count);
  dt_graph_destroy(&graph);
  dt_config_destroy(&config);
}

/* Shapes by hand, as PyTorch gives them. */
static void names_and_shapes_of_lenet(void **state) {
  expect_nodes(nets[2].input, nets[2].layers,
               (expected_node[]){{"input", {3, {1, 28, 28}}},
                                 {"conv1", {3, {20, 24, 24}}},
                                 {"maxpool1", {3, {20, 12, 12}}},
                                 {"conv2", {3, {50, 8, 8}}},
                                 {"maxpool2", {3, {50, 4, 4}}},
                                 {"flatten1", {1, {800}}},
                                 {"linear1", {1, {500}}},
                                 {"relu1", {1, {500}}},
                                 {"linear2", {1, {10}}},
                                 {"loss", {1, {10}}},
                                 {0}});
}

static void composites_expand_with_scoped_names(void **state) {
  expect_nodes(
      "[3, 7, 9]",
      "[{residual: [{conv: {filters: 4, kernel: 3, pad: 1, stride: 2}}, batchnorm]}, {branches: [[{maxpool: 2}], [{avgpool: "
      "2}, {conv: {filters: 2, kernel: 1}}]]}, global_avgpool, {linear: 10}]",
      (expected_node[]){{"input", {3, {3, 7, 9}}},
                        {"residual1.conv1", {3, {4, 4, 5}}},
                        {"residual1.bn1", {3, {4, 4, 5}}},
                        {"residual1.project", {3, {4, 4, 5}}},
                        {"residual1.project_bn", {3, {4, 4, 5}}},
                        {"residual1.add", {3, {4, 4, 5}}},
                        {"branches1.b1.maxpool1", {3, {4, 2, 2}}},
                        {"branches1.b2.avgpool1", {3, {4, 2, 2}}},
                        {"branches1.b2.conv1", {3, {2, 2, 2}}},
                        {"branches1.concat", {3, {6, 2, 2}}},
                        {"global_avgpool1", {1, {6}}},
                        {"linear1", {1, {10}}},
                        {"loss", {1, {10}}},
                        {0}});
}

static void windows_with_two_numbers_dilation_and_groups(void **state) {
  expect_nodes(
      "[4, 10, 12]",
      "[{conv: {filters: 6, kernel: [3, 5], stride: [1, 2], pad: [0, 2], dilation: [2, 1], groups: 2}}, flatten, {linear: 10}]",
      (expected_node[]){{"input", {3, {4, 10, 12}}},
                        {"conv1", {3, {6, 6, 6}}},
                        {"flatten1", {1, {216}}},
                        {"linear1", {1, {10}}},
                        {"loss", {1, {10}}},
                        {0}});
}

static void names_are_unique(void **state) {
  for (int i = 0; i < NET_COUNT; i++) {
    dt_config *config;
    dt_graph *graph;
    assert_int_equal(graph_of(nets[i].input, nets[i].layers, &config, &graph), DT_OK);
    for (int a = 0; a < graph->count; a++) {
      for (int b = 0; b < a; b++) assert_string_not_equal(graph->node[a].name, graph->node[b].name);
      for (int k = 0; k < graph->node[a].input_count; k++) assert_true(graph->node[a].input[k] < a);
    }
    dt_graph_destroy(&graph);
    dt_config_destroy(&config);
  }
}

static void parameters_have_pytorch_shapes_and_bounds(void **state) {
  dt_config *config;
  dt_graph *graph;
  assert_int_equal(
      graph_of("[4, 8, 8]",
               "[{conv: {filters: 6, kernel: 3, groups: 2}}, batchnorm, flatten, {linear: {units: 10, bias: false}}]", &config,
               &graph),
      DT_OK);
  const dt_node *conv = &graph->node[1], *bn = &graph->node[2], *linear = &graph->node[4];
  assert_true(dt_shape_equal(&conv->param[0].shape, &(dt_shape){4, {6, 2, 3, 3}}));
  assert_true(dt_shape_equal(&conv->param[1].shape, &(dt_shape){1, {6}}));
  assert_float_equal(conv->param[0].bound, 0.23570226, 1e-7); /* 1 / sqrt(2 * 3 * 3) */
  assert_float_equal(conv->param[1].bound, 0.23570226, 1e-7);
  assert_int_equal(bn->state_count, 2);
  assert_int_equal(bn->param[0].init, DT_INIT_ONE);
  assert_int_equal(bn->state[1].init, DT_INIT_ONE);
  assert_int_equal(linear->param_count, 1);
  assert_true(dt_shape_equal(&linear->param[0].shape, &(dt_shape){2, {10, 216}}));
  dt_graph_destroy(&graph);
  dt_config_destroy(&config);
}

/* What a user sees for a network that cannot be: the place, the numbers, a way out. */
static void impossible_networks_are_refused(void **state) {
  static const struct {
    const char *input, *layers, *part;
  } row[] = {
      {"[1, 4, 4]", "[{conv: {filters: 2, kernel: 5}}, flatten, {linear: 10}]",
       "conv1: the window is 5 high, the input only 4"},
      {"[1, 28, 28]", "[{maxpool: 2}, {maxpool: 2}, {maxpool: 2}, {maxpool: 2}, {maxpool: 2}, flatten, {linear: 10}]",
       "maxpool5: the window is 2 high, the input only 1"},
      {"[1, 28, 28]", "[{linear: 10}]", "linear1: the input has the shape [1, 28, 28], linear expects a vector: put `flatten`"},
      {"[8]", "[{conv: {filters: 2, kernel: 1}}, {linear: 10}]", "conv1: the input has the shape [8]"},
      {"[1, 8, 8]", "[{conv: {filters: 2, kernel: 1}}]", "loss: the last layer gives the shape [2, 8, 8]"},
      {"[8]", "[{linear: 1}]", "loss: the last layer gives 1 number"},
      {"[8]", "[{linear: 10}, softmax]", "cross_entropy contains the softmax"},
      {"[8]", "[relu]", "no parameters"},
      {"[8]", "[]", "no parameters"},
      {"[3, 8, 8]", "[{conv: {filters: 4, kernel: 1, groups: 2}}, flatten, {linear: 10}]",
       "3 channels, expected a multiple of groups, 2"},
      {"[3, 8, 8]", "[{residual: [flatten, {linear: 4}]}, {linear: 10}]", "residual1: x is [3, 8, 8] and f(x) is [4]"},
      {"[3, 8, 8]",
       "[{residual: [{conv: {filters: 3, kernel: 1, pad: 0}}, {conv: {filters: 3, kernel: 3, pad: 2}}]}, flatten, {linear: "
       "10}]",
       "residual1: x is [3, 8, 8] and f(x) is [3, 10, 10]"},
      {"[3, 8, 8]", "[{branches: [[{maxpool: 2}], []]}, flatten, {linear: 10}]",
       "input 1 is [3, 4, 4] and input 2 is [3, 8, 8]"},
      {"[1048576]", "[{linear: 16777216}, {linear: 10}]", "more than 1099511627776 elements"},
      {"[3, 16384, 16384]", "[{conv: {filters: 16, kernel: 1}}, {conv: {filters: 2, kernel: 1}}]",
       "[16, 16384, 16384], more than 2147483647 elements"},
      {"[16000, 16000, 16000]", "[flatten, {linear: 10}]", "model.input"},
      {"[1, 30000, 30000]", "[{conv: {filters: 1, kernel: 20001, pad: 20000}}, global_avgpool, {linear: 10}]",
       "conv1: the output would have the shape [1, 50000, 50000], more than 2147483647 elements"},
      {"[1, 30000, 30000]", "[{avgpool: {window: 50000, pad: 25000}}, flatten, {linear: 10}]",
       "avgpool1: the window is 50000 x 50000"},
      {"[7]", "[global_avgpool, {linear: 10}]",
       "global_avgpool1: the input has the shape [7], global_avgpool expects an image"},
      {"[2, 3, 4, 5]", "[batchnorm, {conv: {filters: 2, kernel: 1}}, flatten, {linear: 10}]",
       "conv1: the input has the shape [2, 3, 4, 5], conv expects an image"},
      {"[4, 6]", "[relu, {maxpool: 2}, flatten, {linear: 10}]", "maxpool1: the input has the shape [4, 6], maxpool expects"},
      {"[4, 6]", "[tanh, {linear: 10}]", "linear1: the input has the shape [4, 6], linear expects a vector"},
      {"[4, 6]",
       "[{concat: {}, from: [input, input], name: two}, {residual: [{concat: {}, from: [two, two]}]}, flatten, {linear: 2}]",
       "residual1: x is [8, 6] and f(x) is [16, 6]: a projection takes an image to an image, or a vector to a vector"},
      {"[4, 6]", "[{flatten: {}, name: flat}, {concat: {}, from: [flat, input]}, {linear: 10}]",
       "concat1: input 1 is [24] and"},
  };
  for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
    dt_config *config;
    dt_graph *graph;
    dt_status status = graph_of(row[i].input, row[i].layers, &config, &graph);
    if (status != DT_USAGE) fail_msg("%s: status %d", row[i].layers, (int)status);
    if (strstr(dt_error_text(), row[i].part) == NULL) fail_msg("%s:\n%s", row[i].layers, dt_error_text());
    assert_non_null(strstr(dt_error_text(), "net.yaml:"));
    assert_null(graph);
    dt_graph_destroy(&graph);
    dt_config_destroy(&config);
  }
}

/* Batch normalisation needs two values of each channel; the error stands at its place. */
static void shards_of_a_single_value_are_refused(void **state) {
  static const struct {
    const char *input, *layers;
    int64_t samples;
    const char *part; /* NULL: trains */
  } row[] = {
      {"[8]", "[{linear: 6}, batchnorm, {linear: 3}]", 1, "bn1: found a shard with a single value for each channel"},
      {"[8]", "[{linear: 6}, batchnorm, {linear: 3}]", 2, NULL},
      {"[2, 1, 1]", "[batchnorm, flatten, {linear: 3}]", 1, "bn1"},
      {"[2, 1, 2]", "[batchnorm, flatten, {linear: 3}]", 1, NULL},
      {"[2, 3, 3]", "[{conv: {filters: 4, kernel: 3}}, {residual: [batchnorm, relu]}, flatten, {linear: 3}]", 1,
       "residual1.bn1"},
      {"[8]", "[{linear: 6}, relu, {linear: 3}]", 1, NULL},
  };
  for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
    dt_config *config;
    dt_graph *graph;
    assert_int_equal(graph_of(row[i].input, row[i].layers, &config, &graph), DT_OK);
    dt_status status = dt_graph_check_shard(graph, config, row[i].samples, "take fewer shards");
    assert_int_equal(status, row[i].part != NULL ? DT_USAGE : DT_OK);
    if (status != DT_OK) {
      assert_non_null(strstr(dt_error_text(), row[i].part));
      assert_non_null(strstr(dt_error_text(), "net.yaml:"));
      assert_non_null(strstr(dt_error_text(), "take fewer shards"));
    }
    dt_error_clear();
    dt_graph_destroy(&graph);
    dt_config_destroy(&config);
  }
}

/* A list may have a bounded number of items, so a network gets long through lists in lists. */
static char *many_layers(int blocks, int layers) {
  char *text = malloc((size_t)(blocks * (layers * 6 + 32) + 64));
  char *end = text + sprintf(text, "[");
  for (int i = 0; i < blocks; i++) {
    end += sprintf(end, "{residual: [relu");
    for (int k = 1; k < layers; k++) end += sprintf(end, ", relu");
    end += sprintf(end, "]}, ");
  }
  sprintf(end, "{linear: 10}]");
  return text;
}

static char *nested_layers(int depth) {
  char *text = malloc((size_t)depth * 16 + 64);
  char *end = text + sprintf(text, "[");
  for (int i = 0; i < depth; i++) end += sprintf(end, "{residual: [");
  end += sprintf(end, "relu");
  for (int i = 0; i < depth; i++) end += sprintf(end, "]}");
  sprintf(end, ", {linear: 10}]");
  return text;
}

static dt_status status_of(char *layers) {
  dt_config *config;
  dt_graph *graph;
  dt_status status = graph_of("[8]", layers, &config, &graph);
  dt_graph_destroy(&graph);
  dt_config_destroy(&config);
  free(layers);
  return status;
}

static void length_and_depth_are_bounded(void **state) {
  assert_int_equal(status_of(many_layers(9, 1000)), DT_OK);
  assert_int_equal(status_of(many_layers(12, 1000)), DT_USAGE);
  assert_non_null(strstr(dt_error_text(), "10000"));
  assert_int_equal(status_of(nested_layers(10)), DT_OK);
  assert_int_equal(status_of(nested_layers(40)), DT_USAGE);
  assert_true(dt_error_text()[0] != '\0');
}

/* Nothing that a parser lets through may overflow on the way to the message. */
static void huge_products_do_not_overflow(void **state) {
  dt_shape shape = {4, {INT64_C(1) << 30, INT64_C(1) << 30, INT64_C(1) << 30, 2}};
  assert_int_equal(dt_shape_count(&shape), INT64_MAX);
  assert_int_equal(dt_count_add(INT64_MAX, 1), INT64_MAX);
  assert_int_equal(dt_shape_count(&(dt_shape){0}), 1);
  char text[DT_SHAPE_TEXT];
  shape = (dt_shape){4, {INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX}};
  assert_int_equal(strlen(dt_shape_text(&shape, text)), 4 * 19 + 3 * 2 + 2);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(names_and_shapes_of_lenet),
      cmocka_unit_test(composites_expand_with_scoped_names),
      cmocka_unit_test(windows_with_two_numbers_dilation_and_groups),
      cmocka_unit_test(names_are_unique),
      cmocka_unit_test(parameters_have_pytorch_shapes_and_bounds),
      cmocka_unit_test(impossible_networks_are_refused),
      cmocka_unit_test(shards_of_a_single_value_are_refused),
      cmocka_unit_test(length_and_depth_are_bounded),
      cmocka_unit_test(huge_products_do_not_overflow),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

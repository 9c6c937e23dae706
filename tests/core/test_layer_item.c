/* What layers take beside their kind: read, printed, overridden, and what becomes of it in the graph and the program. */
#include <stdlib.h>

#include "core/config/layer_item.h"
#include "core/layers/layer.h"
#include "fake_device.h"
#include "nets.h"

static dt_status graph_of(const char *layers, dt_config **config, dt_graph **graph) {
  *graph = NULL;
  dt_status status = parse_net("[8]", layers, "", config);
  return status == DT_OK ? dt_graph_create(*config, graph) : status;
}

static void close_both(dt_config **config, dt_graph **graph) {
  dt_graph_destroy(graph);
  dt_config_destroy(config);
}

static const dt_node *node_named(const dt_graph *graph, const char *name) {
  for (int n = 0; n < graph->count; n++) {
    if (strcmp(graph->node[n].name, name) == 0) return &graph->node[n];
  }
  fail_msg("the graph has no node %s", name);
  return NULL;
}

static const dt_graph_param *param_named(const dt_graph *graph, const char *name) {
  for (int p = 0; p < graph->param_count; p++) {
    if (strcmp(graph->param[p].name, name) == 0) return &graph->param[p];
  }
  return NULL;
}

/* Each row is a list of layers with overrides, and a line of what describe --resolved prints, which loads to the same. */
static void items_are_read_printed_and_set(void **state) {
  static const struct {
    const char *layers, *set, *line;
  } row[] = {
      {"[{linear: 10, name: head}]", NULL,
       "    - linear:\n        units: 10\n        bias: true\n        transpose: false\n"
       "      name: head\n"},
      {"[{name: head, linear: 10}]", NULL, "      name: head\n"},
      {"[{linear: 8}, {relu: {}, name: act}, {linear: 10}]", NULL, "    - relu:\n      name: act\n"},
      {"[{linear: 8}, {name: act, relu: {}}, {linear: 10}]", NULL, "    - relu:\n      name: act\n"},
      {"[{linear: 8}, relu, {linear: 10}]", NULL, "    - relu\n    - linear"},
      {"[{linear: 8, name: a}, {add: {}, from: [a, a]}, {linear: 10}]", NULL, "    - add:\n      from: [a, a]\n"},
      {"[{linear: 8, name: a}, {linear: 10, from: a}]", NULL, "      from: [a]\n"},
      {"[{linear: 10, name: head}]", "model.layers.head.units=12", "units: 12\n"},
      {"[{linear: 10, name: head}]", "model.layers.head.lr_scale=0.5", "      name: head\n      lr_scale: 0.5\n"},
      {"[{linear: 10}]", "model.layers.linear1.name=head", "      name: head\n"},
      {"[{linear: 10}]", "model.layers.0.freeze=true", "      freeze: true\n"},
      {"[{linear: 10}]", "model.layers.0={units: 11, decay: false}", "units: 11\n"},
      {"[{linear: 10}]", "model.layers.0={units: 11, decay: false}", "      decay: false\n"},
      {"[{linear: 10, name: head, decay: false}]", "model.layers.head={linear: 9, lr_scale: 2}",
       "      name: head\n      lr_scale: 2\n      decay: false\n"},
      {"[{linear: 10, name: head}, {linear: 10}]", "model.layers.head=relu", "    - relu:\n      name: head\n"},
      {"[{linear: 8, name: a}, {linear: 10, name: b, from: a}]", "model.layers.b.from=null", "      name: b\ntrain:"},
      {"[{residual: [{linear: 8, name: f}], name: block}, {linear: 10}]", "model.layers.block.f.bias=false", "bias: false\n"},
      {"[{residual: [{linear: 8, name: f}], name: block}, {linear: 10}]", "model.layers.block.freeze=true",
       "      name: block\n      freeze: true\n"},
  };
  for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
    char *text, *again, source[1024];
    dt_config *config, *second;
    int bytes = snprintf(source, sizeof source,
                         "name: t\ndata: {train: {idx: {images: i, labels: l}}}\nmodel: {input: [8], layers: %s}\ntrain: "
                         "{global_batch: 20, epochs: 1}\nschedule: {lr: 0.1}\n",
                         row[i].layers);
    if (dt_config_parse("c.yaml", source, (size_t)bytes, &row[i].set, row[i].set != NULL, &config) != DT_OK)
      fail_msg("%s: %s", row[i].layers, dt_error_text());
    assert_int_equal(dt_config_print_text(config, &text), DT_OK);
    /* The loss is behind the layers. */
    char wanted[256];
    const char *end = strstr(row[i].line, "train:");
    snprintf(wanted, sizeof wanted, "%.*s", end != NULL ? (int)(end - row[i].line) : (int)strlen(row[i].line), row[i].line);
    if (strstr(text, wanted) == NULL) fail_msg("%s, %s: expected \"%s\" in\n%s", row[i].layers, row[i].set, wanted, text);
    if (dt_config_parse("again.yaml", text, strlen(text), NULL, 0, &second) != DT_OK) fail_msg("%s", dt_error_text());
    assert_int_equal(dt_config_print_text(second, &again), DT_OK);
    assert_string_equal(text, again);
    free(text);
    free(again);
    dt_config_destroy(&config);
    dt_config_destroy(&second);
  }
}

/* No layer kind has an option, and none is called, as what stands beside it: a key means one thing. */
static void names_of_keys_are_apart(void **state) {
  for (const dt_option *row = dt_layer_item_options; row->name != NULL; row++) {
    assert_null(dt_kind_find(dt_layer_kinds, row->name, strlen(row->name)));
    assert_non_null(row->default_text);
    for (int k = 0; dt_layer_kinds[k] != NULL; k++) {
      assert_null(dt_option_find(dt_layer_kinds[k]->options, row->name, strlen(row->name)));
    }
  }
}

static void what_cannot_be_is_refused(void **state) {
  static const struct {
    const char *layers, *part;
  } row[] = {
      {"[{linear: 8, name: a}, {linear: 10, from: b}]",
       "linear2.from: found \"b\", expected a layer before it or an input: input, a"},
      {"[{linear: 8, name: stem}, {linear: 10, from: stam}]", "(did you mean \"stem\"?)"},
      {"[{linear: 8, from: linear2}, {linear: 10}]", "linear1.from: found \"linear2\""},
      {"[{linear: 8, from: linear1}, {linear: 10}]", "linear1.from: found \"linear1\""},
      {"[{linear: 8, name: 2nd}, {linear: 10}]", "name: found \"2nd\", expected letters"},
      {"[{linear: 8, name: a.b}, {linear: 10}]", "name: found \"a.b\", expected letters"},
      {"[{linear: 8, name: a}, {linear: 10, name: a}]", "a: another layer or input has this name already"},
      {"[{linear: 8, name: input}, {linear: 10}]", "input: another layer or input has this name already"},
      {"[{linear: 8, name: linear2}, {linear: 10}]", "linear2: another layer or input has this name already"},
      {"[{residual: [{linear: 8, name: add}]}, {linear: 10}]", "residual1.add: another layer or input has this name already"},
      {"[{linear: 8}, {add: {}}, {linear: 10}]", "add1: found 1 input, expected 2 to 8: `from` names what a layer reads"},
      {"[{linear: 8}, {linear: 8}, {linear: 10, from: [linear1, linear2]}]", "linear3: found 2 inputs, expected 1"},
      {"[{linear: 8}, {residual: [relu], from: [linear1, input]}, {linear: 10}]", "residual1: found 2 inputs, expected 1"},
      {"[{linear: 8}, {multiply: {}, from: [input, input, input]}, {linear: 10}]", "multiply1: found 3 inputs, expected 2"},
      {"[{linear: 6}, {add: {}, from: [linear1, input]}, {linear: 10}]", "input 1 is [6] and input 2 is [8]"},
      {"[{linear: 6}, {add: {}, from: [input, input, input, input, input, input, input, input, input]}, {linear: 10}]",
       "add1.from: found 9 names, expected at most 8"},
      {"[{linear: 8}, {linear: 10, from: input}]", "linear1: found no loss that what it gives has a part in"},
      {"[{linear: 8, share: b}, {linear: 10}]",
       "linear1.share: found \"b\", expected a layer before it, or a parameter as layer.role"},
      {"[{linear: 8}, relu, {linear: 10, share: relu1}]", "linear2.share: found \"relu1\", a relu, expected another linear"},
      {"[{linear: 8}, {linear: 10, share: input}]", "linear2.share: found \"input\", an input, expected another linear"},
      {"[{linear: 8}, {linear: 10, share: linear1}]",
       "linear2: linear1.weight has the shape [8, 8], this layer's weight [10, 8]"},
      {"[{linear: {units: 8, bias: false}}, {linear: 8, share: linear1}, {linear: 10}]", "has no bias: expected equal options"},
      {"[{linear: 8}, {linear: 8, share: linear1.scale}, {linear: 10}]", "linear2.share: found \"linear1.scale\""},
      {"[{linear: 8}, {batchnorm: {}, share: linear1.weight}, {linear: 10}]", "linear1.weight has the shape [8, 8]"},
      {"[{linear: 8}, relu, {relu: {}, share: relu1}, {linear: 10}]",
       "relu2.share: found a name for a layer that takes no such"},
      {"[{linear: 8}, {linear: 8, share: linear1, freeze: true}, {linear: 10}]", "found share beside freeze"},
      {"[{linear: 8, freeze: true}, {linear: 10, freeze: true}]", "no parameters that are not frozen"},
      {"[{linear: 8, nam: x}, {linear: 10}]", "nam: found an unknown key beside linear, expected name, from, share"},
      {"[{linear: 8, nam: x}, {linear: 10}]", "(did you mean \"name\"?)"},
      {"[{linear: 8, relu: {}}, {linear: 10}]", "found a map of 2 kinds, expected one"},
      {"[{name: x}, {linear: 10}]", "found a map of 0 kinds, expected one"},
      {"[{linear: 8, lr_scale: -1}, {linear: 10}]", "lr_scale: found \"-1\""},
  };
  for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
    dt_config *config;
    dt_graph *graph;
    dt_status status = graph_of(row[i].layers, &config, &graph);
    if (status != DT_USAGE) fail_msg("%s: status %d", row[i].layers, (int)status);
    if (strstr(dt_error_text(), row[i].part) == NULL) fail_msg("%s:\n%s", row[i].layers, dt_error_text());
    assert_non_null(strstr(dt_error_text(), "net.yaml:"));
    close_both(&config, &graph);
  }
}

/* Names are looked for from the inside out, and a whole path always means what it says. */
static void names_are_found_from_the_inside_out(void **state) {
  dt_config *config;
  dt_graph *graph;
  if (graph_of(
          "[{linear: 8, name: a}, {residual: [{linear: 8, name: a}, {linear: 8, name: b}, {add: {}, from: [a, b]}, {add: {}, "
          "from: [add1, linear1]}]}, {linear: 8, name: linear1, from: a}, {residual: [relu], from: residual1}, {add: {}, "
          "from: [residual1.a, residual2, linear1]}, {linear: 10}]",
          &config, &graph) == DT_OK)
    fail_msg("linear1 is not before residual1");
  close_both(&config, &graph);
  if (graph_of(
          "[{linear: 8, name: a}, {residual: [{linear: 8, name: a}, {linear: 8, name: b}, {add: {}, from: [a, b]}, {add: {}, "
          "from: [add1, input]}], name: r}, {linear: 8, from: a}, {residual: [relu], from: r}, {add: {}, from: [r.a, "
          "residual2, linear2]}, {linear: 10}]",
          &config, &graph) != DT_OK)
    fail_msg("%s", dt_error_text());
  const dt_node *first = node_named(graph, "r.add1"), *second = node_named(graph, "r.add2");
  assert_int_equal(first->input[0], node_named(graph, "r.a")->index);
  assert_int_equal(second->input[1], 0);
  assert_int_equal(node_named(graph, "linear2")->input[0], node_named(graph, "a")->index);
  assert_int_equal(node_named(graph, "residual2.relu1")->input[0], node_named(graph, "r.add")->index);
  const dt_node *last = node_named(graph, "add1");
  assert_int_equal(last->input[0], node_named(graph, "r.a")->index);
  assert_int_equal(last->input[1], node_named(graph, "residual2.add")->index);
  close_both(&config, &graph);
}

/* A composite's rules hold for all within it, its projection too, on top of theirs. */
static void rules_reach_into_composites(void **state) {
  dt_config *config;
  dt_graph *graph;
  if (graph_of(
          "[{residual: [{linear: 6, lr_scale: 0.5}, {linear: 6, decay: false}], lr_scale: 4, name: r}, {residual: [{linear: "
          "6}], freeze: true}, {linear: 10}]",
          &config, &graph) != DT_OK)
    fail_msg("%s", dt_error_text());
  const dt_graph_param *a = param_named(graph, "r.linear1.weight"), *b = param_named(graph, "r.linear2.bias"),
                       *project = param_named(graph, "r.project.weight"),
                       *frozen = param_named(graph, "residual2.linear1.bias"), *plain = param_named(graph, "linear1.weight");
  assert_true(a->lr_scale == 2 && a->decay && !a->frozen);
  assert_true(b->lr_scale == 4 && !b->decay && !b->frozen);
  assert_true(project->lr_scale == 4 && project->decay);
  assert_true(frozen->frozen && frozen->lr_scale == 1);
  assert_true(plain->lr_scale == 1 && plain->decay && !plain->frozen);
  close_both(&config, &graph);
}

/* Nodes that share refer to one parameter, a composite's layer by layer; a single role may be taken alone. */
static void sharing_makes_one_parameter(void **state) {
  dt_config *config;
  dt_graph *graph;
  if (graph_of("[{residual: [{linear: 5}, {linear: 8}], name: left}, {residual: [{linear: 5}, {linear: 8}], name: right, from: "
               "input, share: left}, {add: {}, from: [left, right]}, {linear: 5, share: left.linear1.weight}, {linear: 10}]",
               &config, &graph) != DT_OK)
    fail_msg("%s", dt_error_text());
  const dt_node *left = node_named(graph, "left.linear1"), *right = node_named(graph, "right.linear1"),
                *third = node_named(graph, "linear1");
  assert_int_equal(left->param_index[0], right->param_index[0]);
  assert_int_equal(left->param_index[1], right->param_index[1]);
  assert_int_equal(third->param_index[0], left->param_index[0]);
  assert_int_not_equal(third->param_index[1], left->param_index[1]);
  assert_non_null(param_named(graph, "linear1.bias"));
  assert_null(param_named(graph, "right.linear1.weight"));
  assert_int_equal(graph->param_count, 4 + 1 + 2);
  close_both(&config, &graph);
}

static int count_ops(const dt_program *program, dt_op op, const char *node) {
  int count = 0;
  for (int i = 0; i < program->count; i++) {
    const dt_instr *instr = &program->instr[i];
    if (instr->op == op) count += node == NULL || strcmp(program->graph->node[instr->node].name, node) == 0;
  }
  return count;
}

/* A frozen layer costs no gradient, and before the first one that is trained nothing is computed backwards. */
static void frozen_layers_have_no_gradients(void **state) {
  const test_net net = {"frozen", "[8]",
                        "[{linear: 7, freeze: true}, relu, {linear: 6}, tanh, {linear: 5, freeze: true}, {linear: 10}]"};
  fake_device device = fake_make(0, 0);
  lowered l = lower_net(&net, &device.base, DT_PROGRAM_TRAIN, "");
  assert_int_equal(count_ops(l.program, DT_OP_LINEAR_WGRAD, NULL), 2);
  assert_int_equal(count_ops(l.program, DT_OP_LINEAR_DGRAD, NULL), 2);
  assert_int_equal(count_ops(l.program, DT_OP_LINEAR_DGRAD, "linear2"), 0);
  assert_int_equal(count_ops(l.program, DT_OP_ACT_BWD, "relu1"), 0);
  assert_int_equal(l.program->param_count, 8);
  assert_int_equal(l.program->trained_count, 4);
  for (int p = 0; p < l.program->param_count; p++) {
    const dt_param *param = &l.program->param[p];
    assert_int_equal(param->frozen, p >= l.program->trained_count);
    assert_int_equal(param->frozen, param->offset >= l.program->trained_elements);
  }
  int64_t in_buckets = 0;
  for (int k = 0; k < l.program->bucket_count; k++) in_buckets += l.program->bucket[k].param_count;
  assert_int_equal(in_buckets, l.program->trained_elements);
  assert_true(l.program->grad_elements < l.program->param_elements);
  lowered_free(&l);
}

/* Each further user of a parameter has a slice of its own, and all are brought together between the last reduction and the
 * first update. */
static void contributions_meet_before_the_updates(void **state) {
  const test_net net = {"shared", "[8]",
                        "[{linear: 8}, tanh, {linear: 8, share: linear1}, tanh, {linear: 8, share: linear1}, {linear: 10}]"};
  fake_device device = fake_make(0, 0);
  lowered l = lower_net(&net, &device.base, DT_PROGRAM_TRAIN, "");
  const dt_program *program = l.program;
  int last_end = -1, first_update = program->count, sums = 0;
  for (int i = program->micro_batch_end; i < program->count; i++) {
    if (program->instr[i].op == DT_OP_REDUCE_END) last_end = i;
    if (program->instr[i].op == DT_OP_UPDATE && i < first_update) first_update = i;
  }
  for (int i = 0; i < program->count; i++) {
    const dt_instr *instr = &program->instr[i];
    if (instr->op != DT_OP_GRAD_ADD) continue;
    sums++;
    assert_true(i > last_end && i < first_update);
    const dt_buffer *from = &program->buffer[instr->arg[DT_ARG_X]], *into = &program->buffer[instr->arg[DT_ARG_DW]];
    assert_true(from->offset >= program->trained_elements &&
                from->offset + dt_shape_count(&from->shape) <= program->statistics);
    assert_true(into->offset < program->trained_elements);
    assert_true(dt_shape_equal(&from->shape, &into->shape));
  }
  assert_int_equal(sums, 4);
  assert_int_equal(program->param_count, 4);
  lowered_free(&l);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(items_are_read_printed_and_set),  cmocka_unit_test(names_of_keys_are_apart),
      cmocka_unit_test(what_cannot_be_is_refused),       cmocka_unit_test(names_are_found_from_the_inside_out),
      cmocka_unit_test(rules_reach_into_composites),     cmocka_unit_test(sharing_makes_one_parameter),
      cmocka_unit_test(frozen_layers_have_no_gradients), cmocka_unit_test(contributions_meet_before_the_updates),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

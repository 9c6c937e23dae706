/* Networks that every test of lowering sweeps over, and the way from their text to a program. */
#ifndef DT_TESTS_CORE_NETS_H
#define DT_TESTS_CORE_NETS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/config/spec.h"
#include "core/program/program.h"
#include "support/unit.h"

typedef struct test_net {
  const char *name, *input, *layers;
} test_net;

static const test_net nets[] = {
    {"logistic", "[1, 28, 28]", "[flatten, {linear: 10}]"},
    {"mlp", "[784]", "[{linear: 64}, relu, {linear: 32}, tanh, {linear: 10}]"},
    {"lenet", "[1, 28, 28]",
     "[{conv: {filters: 20, kernel: 5}}, {maxpool: 2}, {conv: {filters: 50, kernel: 5}}, {maxpool: 2}, flatten, {linear: 500}, "
     "relu, {linear: 10}]"},
    {"conv-relu-pool", "[3, 16, 16]",
     "[{conv: {filters: 8, kernel: 3, pad: 1}}, relu, {maxpool: 2}, {conv: {filters: 8, kernel: 3}}, sigmoid, {maxpool: 2}, "
     "flatten, "
     "{linear: 10}]"},
    {"resnet", "[3, 8, 8]",
     "[{conv: {filters: 4, kernel: 3, pad: 1, bias: false}}, batchnorm, relu, {residual: [{conv: {filters: 4, kernel: 3, pad: "
     "1}}, "
     "batchnorm, relu, {conv: {filters: 4, kernel: 3, pad: 1}}, batchnorm]}, relu, {residual: [{conv: {filters: 8, kernel: 3, "
     "pad: 1, "
     "stride: 2}}, batchnorm, relu, {conv: {filters: 8, kernel: 3, pad: 1}}, batchnorm]}, relu, global_avgpool, {linear: 10}]"},
    {"inception", "[2, 9, 9]",
     "[{conv: {filters: 4, kernel: 3, pad: 1}}, relu, {branches: [[{conv: {filters: 3, kernel: 1}}, relu], [{maxpool: {window: "
     "3, "
     "stride: 1, pad: 1}}, {conv: {filters: 2, kernel: 1}}], []]}, {avgpool: 3}, flatten, {dropout: 0.5}, {linear: 10}]"},
    {"residual-relu", "[6]",
     "[{linear: 6}, {residual: [{linear: 6}, relu]}, {residual: [{linear: 8}, tanh]}, relu, {dropout: 0.1}, {linear: 10}]"},
    {"gelu", "[3, 16, 16]",
     "[{conv: {filters: 8, kernel: 3, pad: 1}}, gelu, {maxpool: 2}, {residual: [{conv: {filters: 8, kernel: 3, pad: 1}}, "
     "layernorm, batchnorm, gelu_tanh]}, {conv: {filters: 4, kernel: 3}}, {leaky_relu: 0.2}, {maxpool: 2}, flatten, {linear: "
     "12}, gelu, "
     "{dropout: 0.1}, {linear: 10}]"},
    {"nested", "[2, 8, 8]",
     "[{branches: [[{residual: [{conv: {filters: 2, kernel: 3, pad: 1}}, relu]}], [{branches: [[batchnorm], [{conv: {filters: "
     "2, "
     "kernel: 1, groups: 2}}, batchnorm]]}]]}, {conv: {filters: 3, kernel: 3, dilation: 2}}, relu, flatten, {linear: 10}]"},
    {"shared tower", "[2, 8, 8]",
     "[{residual: [{conv: {filters: 2, kernel: 3, pad: 1}}, batchnorm, relu], name: left}, {tanh: {}, name: other, from: "
     "input}, "
     "{residual: [{conv: {filters: 2, kernel: 3, pad: 1}}, batchnorm, relu], share: left}, {multiply: {}, from: [left, "
     "residual2]}, {concat: {}, from: [left, multiply1]}, {maxpool: 2}, flatten, {linear: 10}]"},
    {"tied and frozen", "[12]",
     "[{linear: 12, freeze: true}, batchnorm, {linear: 5, name: code}, sigmoid, {linear: {units: 12, transpose: true}, share: "
     "code.weight}, tanh, {batchnorm: {}, freeze: true}, relu, {linear: 5, share: code}, {add: {}, from: [code, linear4, "
     "sigmoid1]}, relu, {linear: {units: 10, transpose: true, bias: false}}]"},
};
enum { NET_COUNT = sizeof nets / sizeof *nets };

typedef struct lowered {
  dt_config *config;
  dt_graph *graph;
  dt_program *program;
} lowered;

/* `set` overrides a key; NULL = none. */
static inline dt_status parse_net_set(const char *input, const char *layers, const char *train, const char *set,
                                      dt_config **out) {
  char *text;
  int length =
      asprintf(&text,
               "name: t\nseed: 1\ndata: {train: {idx: {images: i, labels: l}}}\nmodel:\n  input: %s\n  layers: %s\n  loss: "
               "cross_entropy\ntrain: {global_batch: 20, shards: 4, epochs: 1%s}\noptimizer: {sgd: {momentum: "
               "0.9}}\nschedule: {lr: 0.1}\n",
               input, layers, train);
  assert_true(length > 0);
  dt_error_clear();
  dt_status status = dt_config_parse("net.yaml", text, (size_t)length, &set, set != NULL, out);
  free(text);
  return status;
}

static inline dt_status parse_net(const char *input, const char *layers, const char *train, dt_config **out) {
  return parse_net_set(input, layers, train, NULL, out);
}

static inline lowered lower_net_set(const test_net *which, const dt_device *device, dt_program_mode mode, const char *train,
                                    const char *set) {
  lowered l = {0};
  dt_status status = parse_net_set(which->input, which->layers, train, set, &l.config);
  if (status == DT_OK) status = dt_graph_create(l.config, &l.graph);
  if (status == DT_OK) {
    dt_spec spec = *dt_config_spec(l.config);
    spec.comm.bucket_bytes = 512; /* less than a config may ask for, so that small nets have several */
    status = dt_program_create(l.graph, &spec, device, mode, 2, &l.program);
  }
  if (status != DT_OK) fail_msg("%s: %s", which->name, dt_error_text());
  return l;
}

static inline lowered lower_net(const test_net *which, const dt_device *device, dt_program_mode mode, const char *train) {
  return lower_net_set(which, device, mode, train, NULL);
}

static inline void lowered_free(lowered *l) {
  dt_program_destroy(&l->program);
  dt_graph_destroy(&l->graph);
  dt_config_destroy(&l->config);
}

#endif

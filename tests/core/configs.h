/* What the tests of the config reader share: a config with something of everything, and reading and printing one. */
#ifndef DT_TESTS_CORE_CONFIGS_H
#define DT_TESTS_CORE_CONFIGS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/config/internal.h"
#include "support/unit.h"

static const char base[] =
    "name: fashion-lenet\n"
    "data:\n"
    "  dir: /usr/share/datasets/fashion-mnist\n"
    "  train: {idx: {images: train-images, labels: train-labels}}\n"
    "  eval: {idx: {images: test-images, labels: test-labels}}\n"
    "  augment: [{shift: 2}, flip]\n"
    "model:\n"
    "  input: [1, 28, 28]\n"
    "  layers:\n"
    "    - conv: {filters: 32, kernel: 5, pad: 2}\n"
    "    - relu\n"
    "    - residual:\n"
    "        - conv: {filters: 32, kernel: 3, pad: 1, bias: false}\n"
    "        - batchnorm\n"
    "    - branches:\n"
    "        - [{conv: {filters: 16, kernel: 1}}]\n"
    "        - [{conv: {filters: 16, kernel: 3, pad: 1}}, relu]\n"
    "    - dropout: 0.5\n"
    "    - linear: 10\n"
    "train:\n"
    "  global_batch: 256\n"
    "  epochs: 10\n"
    "optimizer: {sgd: {momentum: 0.9, nesterov: true, weight_decay: 5e-4}}\n"
    "schedule:\n"
    "  lr: {warmup: 1 epoch, peak: 0.1, decay: cosine, final: 0}\n"
    "  momentum: 0.9\n"
    "checkpoint: {every: 5 min, keep: 3}\n";

/* NULL where it is refused. */
static inline dt_config *parse(const char *text, const char *const *sets, int set_count) {
  dt_config *config = NULL;
  dt_error_clear();
  if (dt_config_parse("c.yaml", text, strlen(text), sets, set_count, &config) != DT_OK) return NULL;
  return config;
}

static inline dt_config *parse_well(const char *text, const char *const *sets, int set_count) {
  dt_config *config = parse(text, sets, set_count);
  if (config == NULL) fail_msg("%s", dt_error_text());
  return config;
}

static inline char *print(const dt_config *config, bool origins) {
  char *text = NULL;
  size_t bytes = 0;
  FILE *out = open_memstream(&text, &bytes);
  assert_int_equal(dt_config_print(config, origins, out), DT_OK);
  fclose(out);
  return text;
}

#endif

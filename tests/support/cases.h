/* Small networks that together hold every layer, every option of a layer, and every pair that a device may fuse. The tests of
 * gradients and the parity tests sweep the same table: a new layer or option is a row here. */
#ifndef DT_TESTS_SUPPORT_CASES_H
#define DT_TESTS_SUPPORT_CASES_H

#include <stdbool.h>
#include <stdint.h>

typedef struct net_case {
  const char *name;
  const char *input;  /* "C, H, W" or "D" */
  const char *layers; /* YAML; the layer in question has a convolution before it, so that the input's gradient shows */
  int64_t global_batch, samples; /* samples < global_batch: a last short batch */
  int shards;
  bool pixels;
  const char *loss, *metrics; /* YAML; NULL = cross_entropy, and what goes with it */
  bool byte_targets;
} net_case;

extern const net_case net_cases[];
extern const int net_case_count;

#endif

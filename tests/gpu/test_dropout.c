/* Dropout keeps exactly the elements that dt_rng says, whatever the order of elements in the device's memory. */
#include "core/rng.h"
#include "gpu/device.h"
#include "support/net.h"
#include "support/unit.h"

static device_create *create;

typedef struct dropout_case {
  const char *name, *input, *precision;
  double p, tolerance; /* relative, of kept elements */
} dropout_case;

/* Vectors that quads divide and do not; images that are in order, whose planes quads divide, and others. */
static const dropout_case cases[] = {
    {"vector of 40", "40", "fp32", 0.3, 0},
    {"vector of 7", "7", "fp32", 0.5, 0},
    {"one channel", "1, 5, 7", "fp32", 0.25, 0},
    {"one pixel", "9, 1, 1", "fp32", 0.1, 0},
    {"planes of 12", "5, 4, 3", "fp32", 0.3, 0},
    {"planes of 15", "6, 5, 3", "fp32", 0.6, 0},
    {"vector in bf16", "40", "bf16", 0.3, 0.01},
    {"planes of 15 in bf16", "6, 5, 3", "bf16", 0.6, 0.01},
    {"planes of 12 in fp16", "5, 4, 3", "fp16", 0.3, 0.001},
};

enum { BATCH = 9, SHARDS = 2, SAMPLES = 8 };
static const int64_t samples_seen = (INT64_C(5) << 32) + 17;

static bool is_kept(const net *n, int layer, double p, int64_t place, int64_t element) {
  dt_rng_block block = dt_rng(dt_executor_run_state(n->trainer)->seed, DT_RNG_DROPOUT, (uint64_t)samples_seen,
                              (uint64_t)layer << 32 | (uint64_t)place, (uint32_t)(element / 4));
  return dt_rng_float(block.word[element % 4]) >= p;
}

/* Dropout twice, so that a layer's number shows; `got` is what came out for the sample in this place of the last shard. The
 * last class belongs to another branch, which is there because a net needs parameters. */
static void check_sample(const net *n, const dropout_case *row, const double *got, int64_t slot, int64_t place) {
  int64_t count = net_classes(n) - 1;
  for (int64_t e = 0; e < count; e++) {
    float x = ((const float *)net_field(n, "input"))[slot * count + e], factor = (float)(1 / (1 - row->p));
    bool kept = is_kept(n, 0, row->p, place, e) && is_kept(n, 1, row->p, place, e);
    double expected = kept ? (double)(x * factor * factor) : 0;
    double apart = got[e] > expected ? got[e] - expected : expected - got[e];
    double size = expected < 0 ? -expected : expected;
    if (apart > row->tolerance * size) {
      fail_msg("place %lld, element %lld: found %.9g, expected %.9g", (long long)place, (long long)e, got[e], expected);
    }
  }
}

static void test_bits(void **state) {
  const dropout_case *row = *state;
  char layers[128];
  net_sums sums;
  snprintf(layers, sizeof layers, "[{branches: [[{dropout: %g}, {dropout: %g}, flatten], [flatten, {linear: 1}]]}]", row->p,
           row->p);
  net n;
  net_open(&n, &(net_options){.input = row->input,
                              .layers = layers,
                              .global_batch = BATCH,
                              .shards = SHARDS,
                              .micro_batch_shards = 1,
                              .device = create,
                              .precision = row->precision});
  net_step(&n, "dropout", SAMPLES, samples_seen, &sums);
  dt_micro_batch last = {.index = 1, .first_shard = 1, .shard_count = 1, .batch = &n.batch};
  double *got = net_memory((size_t)(n.train->shard_capacity * net_classes(&n)) * sizeof(double));
  NET_OK(n.device->ops->read_value(dt_executor_run_state(n.trainer), n.train->logits, &last, got));
  for (int64_t i = 0; i < n.filled[0]; i++) check_sample(&n, row, got + i * net_classes(&n), i, n.place[0] + i);
  free(got);
  net_close(&n);
}

int main(int argc, char **argv) {
  enum { COUNT = sizeof cases / sizeof *cases };
  struct CMUnitTest tests[COUNT];
  create = device_wanted(argc, argv);
  int missing = device_missing(create, "gpu.dropout");
  if (missing != 0) return missing;
  for (int i = 0; i < COUNT; i++) {
    tests[i] = (struct CMUnitTest){.name = cases[i].name, .test_func = test_bits, .initial_state = (void *)&cases[i]};
  }
  return cmocka_run_group_tests(tests, NULL, NULL);
}

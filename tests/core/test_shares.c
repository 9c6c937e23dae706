/* How ranks share the work: whoever loses much by it is told, with numbers that were counted by hand; all others hear nothing.
 */
#include "train/shares.h"

#include <string.h>

#include "support/unit.h"

static const char base[] =
    "name: x\n"
    "data: {train: {synthetic: [1, 8, 8]}}\n"
    "model: {input: [1, 8, 8], layers: [flatten, {linear: 10}]}\n"
    "train: {global_batch: 128, epochs: 1}\n"
    "schedule: {lr: 0.1}\n";

static void add_line(void *context, const char *line) {
  assert_null(strchr(line, '\n'));
  strcat(strcat(context, line), "\n");
}

static const dt_device_ops in_vectors = {.name = "cpu", .sample_group = 16}, alone = {.name = "gpu"};

static void collect(const char *set, int ranks, const dt_device_ops *ops, char *text) {
  dt_config *config = NULL;
  const dt_device device = {.ops = ops};
  const dt_shares shares = {.ranks = ranks, .local_ranks = ranks, .train_samples = 60000};
  text[0] = '\0';
  dt_error_clear();
  if (dt_config_parse("c.yaml", base, strlen(base), &set, 1, &config) != DT_OK) fail_msg("%s", dt_error_text());
  dt_share_warnings(dt_config_spec(config), &device, &shares, &(dt_warnings){add_line, text});
  dt_config_destroy(&config);
}

static void test_shares(void **state) {
  static const struct {
    const char *train;
    int ranks;
    const dt_device_ops *ops;
    const char *said; /* the whole text */
  } row[] = {
      {"{global_batch: 128, epochs: 1}", 1, &in_vectors, ""},
      {"{global_batch: 128, epochs: 1}", 2, &in_vectors, ""},
      {"{global_batch: 128, epochs: 1}", 4, &in_vectors, ""},
      {"{global_batch: 128, epochs: 1}", 8, &in_vectors, ""},
      {"{global_batch: 64, shards: 4, epochs: 1}", 1, &in_vectors, ""},
      {"{global_batch: 64, epochs: 1}", 1, &alone, ""},
      {"{global_batch: 4000, shards: 1000, epochs: 1}", 7, &alone, ""}, /* 143 x 7 = 1001 */
      {"{global_batch: 64, shards: 1, epochs: 1}", 2, &in_vectors,
       "1 of 2 ranks stand idle: train.shards is 1, and a rank computes whole shards; more of them use more ranks, with other "
       "bits\n"},
      {"{global_batch: 128, epochs: 1}", 3, &alone,
       "3 ranks share 8 shards, 3 + 3 + 2: at most 89 % of the speed of 3; train.shards: 6 or 9 would be better, with other "
       "bits\n"},
      {"{global_batch: 132, epochs: 1}", 3, &alone,
       "3 ranks share 8 shards, 3 + 3 + 2: at most 89 % of the speed of 3; train.shards: 6 or 9 would be better, with other "
       "bits\n"},
      {"{global_batch: 144, epochs: 1}", 3, &in_vectors, /* 3 shards of 18 samples in 2 vectors each, or of 16 in one */
       "3 ranks share 8 shards, 3 + 3 + 2: at most 89 % of the speed of 3; train.shards: 6 or 9 would be better, with other "
       "bits\n"
       "shards of 18 samples fill only part of the cpu's vectors of 16: train.shards: 9 gives up to 2.0 times the speed, with "
       "other bits\n"},
      {"{global_batch: 128, epochs: 1}", 3, &in_vectors, /* 128 samples are 8 vectors however they are cut */
       "3 ranks share 8 shards, 3 + 3 + 2: at most 89 % of the speed of 3\n"},
      {"{global_batch: 4096, shards: 8, epochs: 1}", 6, &alone,
       "6 ranks share 8 shards, 2 with 2 and 4 with 1: at most 67 % of the speed of 6; train.shards: 6 or 12 would be better, "
       "with other bits\n"},
      {"{global_batch: 64, epochs: 1}", 1, &in_vectors,
       "shards of 8 samples fill only part of the cpu's vectors of 16: train.shards: 4 gives up to 2.0 times the speed, with "
       "other bits\n"},
      {"{global_batch: 64, epochs: 1}", 8, &in_vectors, ""}, /* 4 shards would leave four ranks idle */
      {"{global_batch: 1000000, shards: 16, epochs: 1}", 1, &in_vectors,
       "train.global_batch: 1000000 is more than the 60000 training samples: each step is a whole epoch of 60000\n"},
  };
  char text[2048], set[256];
  for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
    snprintf(set, sizeof set, "train=%s", row[i].train);
    collect(set, row[i].ranks, row[i].ops, text);
    if (strcmp(text, row[i].said) != 0) fail_msg("%s on %d ranks: %s", row[i].train, row[i].ranks, text);
  }
}

static void test_efficiency(void **state) {
  assert_true(dt_share_efficiency(8, 3) == 8.0 / 9.0);
  assert_true(dt_share_efficiency(8, 8) == 1);
  assert_true(dt_share_efficiency(2, 8) == 0.25);
  assert_true(dt_share_efficiency(1 << 16, 1 << 20) == 1.0 / 16);
}

static void test_threads(void **state) {
  static const struct {
    const char *threads;
    double cores;
    const char *said;
  } row[] = {
      {"threads=4", 2, "2 ranks x 4 threads on 4 cores: they wait for one another; threads: auto shares the cores out\n"},
      {"threads=2", 1.5, "2 ranks x 2 threads on 4 cores: they wait for one another; threads: auto shares the cores out\n"},
      {"threads=2", 2, ""},
      {"threads=4", 4, ""}, /* bound to cores of their own */
      {"threads=5", 2, ""}, /* told of where the config is looked at */
      {"threads=auto", 0.5, ""},
  };
  for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
    dt_config *config = NULL;
    const dt_device device = {.ops = &alone};
    const dt_shares shares = {.ranks = 2, .local_ranks = 2, .cores = row[i].cores, .available = 4};
    char text[1024] = "";
    assert_int_equal(dt_config_parse("c.yaml", base, strlen(base), &row[i].threads, 1, &config), DT_OK);
    dt_share_warnings(dt_config_spec(config), &device, &shares, &(dt_warnings){add_line, text});
    assert_string_equal(text, row[i].said);
    dt_config_destroy(&config);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_shares), cmocka_unit_test(test_efficiency),
                                     cmocka_unit_test(test_threads)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}

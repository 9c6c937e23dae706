/* Every slot of every optimizer is part of a training's state: one that goes on with all of them has the bits of one that never
 * stopped, and one from which a slot was left out has others. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "core/optim/average.h"
#include "cpu/cpu.h"
#include "support/net.h"
#include "support/unit.h"

enum { BEFORE = 3, AFTER = 3, SAMPLES = 8 };

/* Options with which all slots of an optimizer count; others are swept as they are. */
static const struct {
  const char *name, *options;
} settings[] = {
    {"sgd", "{momentum: 0.9}"},
    {"amsgrad", "{beta2: 0.5}"},
    {"rmsprop", "{momentum: 0.9, centered: true}"},
};

/* What is trained by. */
typedef struct way {
  const char *optimizer, *average; /* average NULL: none */
} way;

static void open_net(net *n, const way *by) {
  char text[128];
  const char *options = "{}";
  for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
    if (strcmp(settings[i].name, by->optimizer) == 0) options = settings[i].options;
  }
  snprintf(text, sizeof text, "{%s: %s}", by->optimizer, options);
  const net_options how = {.input = "6",
                           .layers = "[{linear: 5}, tanh, {linear: 3}]",
                           .optimizer = text,
                           .average = by->average,
                           .global_batch = SAMPLES,
                           .shards = 2,
                           .lr = 0.05,
                           .device = dt_cpu_create};
  net_open(n, &how);
  net_fill(n);
}

static void make_steps(net *n, int count) {
  net_sums sums;
  for (int i = 0; i < count; i++) {
    char tag[16];
    snprintf(tag, sizeof tag, "step %d", (int)n->steps);
    net_step(n, tag, SAMPLES, n->steps * SAMPLES, &sums);
  }
}

/* All that a checkpoint would have, in its order. */
typedef struct saved {
  dt_tensor_ref *model, *optimizer;
  int model_count, optimizer_count;
} saved;

static saved look_at(net *n) {
  saved s;
  NET_OK(dt_executor_download(n->trainer, &s.model, &s.model_count, &s.optimizer, &s.optimizer_count));
  return s;
}

static size_t bytes_of(const dt_tensor_ref *tensor) {
  return (size_t)dt_shape_count(&tensor->shape) * dt_dtype_bytes(tensor->dtype);
}

static void copy_tensors(const dt_tensor_ref *from, int count, const dt_tensor_ref *to) {
  for (int i = 0; i < count; i++) {
    assert_string_equal(from[i].name, to[i].name);
    memcpy(to[i].data, from[i].data, bytes_of(&from[i]));
  }
}

/* Whether a tensor of the checkpoint is the slot's. */
static bool is_of_slot(const dt_tensor_ref *tensor, const char *slot) {
  const char *dot = strrchr(tensor->name, '.');
  return dot != NULL && strcmp(dot + 1, slot) == 0;
}

/* Of the parameters and of what evaluations take for them: a slot that only keeps itself would count for nothing. */
static uint64_t hash_params(net *n) {
  const int64_t count = n->train->param_elements;
  uint64_t hash = 0;
  double *value = net_memory((size_t)count * sizeof *value);
  for (int turn = 0; turn < 2; turn++) {
    net_read(n, NET_PARAM, 0, count, value);
    hash = XXH3_64bits_withSeed(value, (size_t)count * sizeof *value, hash);
    NET_OK(dt_executor_exchange(n->trainer));
  }
  free(value);
  return hash;
}

/* What a training comes to that goes on from another's state, without the slot left_out if it is not NULL. */
static uint64_t go_on(net *from, const way *by, const char *left_out) {
  net n;
  open_net(&n, by);
  const saved there = look_at(from), here = look_at(&n);
  assert_int_equal(there.model_count, here.model_count);
  assert_int_equal(there.optimizer_count, here.optimizer_count);
  copy_tensors(there.model, there.model_count, here.model);
  copy_tensors(there.optimizer, there.optimizer_count, here.optimizer);
  for (int i = 0; i < here.optimizer_count && left_out != NULL; i++) {
    if (is_of_slot(&here.optimizer[i], left_out)) memset(here.optimizer[i].data, 0, bytes_of(&here.optimizer[i]));
  }
  NET_OK(dt_executor_upload(n.trainer));
  n.steps = from->steps;
  make_steps(&n, AFTER);
  const uint64_t hash = hash_params(&n);
  net_close(&n);
  return hash;
}

static void check_way(const char *optimizer, const char *average) {
  const way by = {optimizer, average};
  net stopped, whole;
  open_net(&stopped, &by);
  open_net(&whole, &by);
  make_steps(&stopped, BEFORE);
  make_steps(&whole, BEFORE + AFTER);
  const uint64_t expected = hash_params(&whole);
  if (go_on(&stopped, &by, NULL) != expected) fail_msg("%s: gone on with, it has other bits", optimizer);
  for (int s = 0; s < dt_slot_count(stopped.spec); s++) {
    const char *slot = dt_slot_name(stopped.spec, s);
    if (go_on(&stopped, &by, slot) == expected)
      fail_msg("%s: %s can be left out of a checkpoint, and nothing changes", optimizer, slot);
  }
  net_close(&whole);
  net_close(&stopped);
}

static void test_every_slot(void **state) {
  for (const dt_kind *const *kind = dt_optimizer_kinds; *kind != NULL; kind++) check_way((*kind)->name, NULL);
  check_way("adam", "{ema: 0.5}");
  check_way("sgd", "{swa: {start: 1 steps, every: 1 steps}}");
}

/* Without a step in between nothing is left of two exchanges; with an average they show it. */
static void test_exchange(void **state) {
  const way plain = {"sgd", NULL}, averaged = {"sgd", "{ema: 0.5}"};
  net n;
  uint64_t before, between, after;
  open_net(&n, &averaged);
  make_steps(&n, BEFORE);
  NET_OK(dt_executor_hash(n.trainer, &before));
  NET_OK(dt_executor_exchange(n.trainer));
  NET_OK(dt_executor_hash(n.trainer, &between));
  NET_OK(dt_executor_exchange(n.trainer));
  NET_OK(dt_executor_hash(n.trainer, &after));
  assert_true(before == after && before != between);
  net_close(&n);
  open_net(&n, &plain);
  make_steps(&n, BEFORE);
  NET_OK(dt_executor_hash(n.trainer, &before));
  NET_OK(dt_executor_exchange(n.trainer));
  NET_OK(dt_executor_hash(n.trainer, &after));
  assert_true(before == after);
  net_close(&n);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_slot), cmocka_unit_test(test_exchange)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The events of a program against their definition: every two instructions on different streams of which one writes what the
 * other uses are ordered by streams and waits, and no wait can be left out. What conflicts is found here the slow way, byte by
 * byte and element by element. */
#include "core/program/order.h"

#include "fake_device.h"
#include "nets.h"

enum { BYTES_MAX = 1 << 22 };

/* Marks what an instruction touches: 1 read, 3 written. One map for the arena and one for each flat block. */
typedef struct touched {
  uint8_t *arena, *grad, *param, *state;
} touched;

static void mark(uint8_t *map, int64_t first, int64_t count, bool written) {
  for (int64_t i = first; i < first + count; i++) map[i] |= written ? 3 : 1;
}

static void mark_args(const dt_program *program, const dt_instr *instr, const touched *map) {
  for (int a = 0; a < DT_ARG_COUNT; a++) {
    int id = instr->arg[a];
    if (id < 0) continue;
    while (program->buffer[id].alias_of >= 0) id = program->buffer[id].alias_of;
    const dt_buffer *b = &program->buffer[id];
    bool written = a == DT_ARG_WORK || (dt_op_infos[instr->op].writes & (1u << a)) != 0;
    if (b->kind == DT_BUF_GRAD) {
      mark(map->grad, b->offset, dt_shape_count(&b->shape), written);
    } else if (b->kind == DT_BUF_PARAM) {
      mark(map->param, b->offset, dt_shape_count(&b->shape), written);
    } else if (b->kind == DT_BUF_STATE) {
      mark(map->state, b->offset, dt_shape_count(&b->shape), written);
    } else {
      mark(map->arena, b->offset, (int64_t)b->bytes, written);
    }
  }
}

static dt_reducing reducing = DT_REDUCING_SPANS;
static bool partial; /* the step that is looked at is of a partial batch */

static void mark_bucket(const dt_program *program, const dt_instr *instr, const touched *map) {
  if (reducing != DT_REDUCING_SPANS && instr->op == DT_OP_REDUCE_END) return;
  if (reducing == DT_REDUCING_NOTHING && instr->op == DT_OP_REDUCE_BEGIN) return;
  if (instr->op == DT_OP_GRAD_NORM || instr->op == DT_OP_TENSOR_NORM) mark(map->grad, 0, program->trained_elements, false);
  if (instr->op == DT_OP_TENSOR_NORM) mark(map->param, 0, program->trained_elements, false);
  if (instr->op == DT_OP_ASCEND) mark(map->grad, 0, program->trained_elements, false);
  if (instr->op == DT_OP_ASCEND || instr->op == DT_OP_RETURN) mark(map->param, 0, program->trained_elements, true);
  if (instr->op == DT_OP_PENALTY || instr->op == DT_OP_CLIP_UNITS || instr->op == DT_OP_DIRECTION ||
      instr->op == DT_OP_ORTHOGONALISE) {
    mark(map->param, 0, program->trained_elements, false);
    mark(map->grad, 0, program->trained_elements, true);
  }
  if (instr->op == DT_OP_MAX_NORM) mark(map->param, 0, program->trained_elements, true);
  if (dt_instr_bucket(instr) < 0) return;
  const dt_bucket *b = &program->bucket[instr->bucket];
  bool update = instr->op == DT_OP_UPDATE;
  mark(map->grad, b->first, update ? b->param_count : b->count, !update);
  if (update) mark(map->param, b->first, b->param_count, true);
}

static uint8_t *touch(const dt_program *program, const dt_instr *instr, size_t bytes) {
  uint8_t *all = calloc(bytes, 1);
  touched map = {.arena = all, .grad = all + program->arena_bytes};
  map.param = map.grad + program->grad_elements;
  map.state = map.param + program->param_elements;
  mark_args(program, instr, &map);
  mark_bucket(program, instr, &map);
  return all;
}

/* Whether both touch a byte that one of them writes. Without a branch in it the loop is one of vectors. */
static bool meet(const uint8_t *a, const uint8_t *b, size_t bytes) {
  uint8_t found = 0;
  for (size_t i = 0; i < bytes; i++) found |= a[i] & b[i] & (a[i] | b[i]) >> 1;
  return found != 0;
}

/* conflict[i * count + j], j < i */
static bool *find_conflicts(const dt_program *program) {
  int count = program->count;
  size_t bytes = program->arena_bytes + (size_t)(program->grad_elements + program->param_elements + program->state_elements);
  assert_true(bytes < BYTES_MAX);
  bool *conflict = calloc((size_t)(count * count), sizeof *conflict);
  uint8_t **map = calloc((size_t)count, sizeof *map);
  for (int i = 0; i < count; i++) map[i] = touch(program, &program->instr[i], bytes);
  for (int i = 0; i < count; i++) {
    for (int j = 0; j < i; j++) conflict[i * count + j] = meet(map[i], map[j], bytes);
  }
  for (int i = 0; i < count; i++) free(map[i]);
  free(map);
  return conflict;
}

static bool enqueues(const dt_instr *instr) {
  if (instr->op == DT_OP_REDUCE_BEGIN) return reducing != DT_REDUCING_NOTHING;
  return instr->op != DT_OP_REDUCE_END || reducing == DT_REDUCING_SPANS;
}

static int recorder_of(const dt_program *program, const dt_order *order, int event) {
  for (int i = 0; i < program->count; i++) {
    if (order->record[i] == event) return i;
  }
  fail_msg("event %d is never recorded", event);
  return -1;
}

/* What a step issues, one behind the other: instructions, and at the end of each micro-batch the compute stream's wait for the
 * side stream. before[i * count + j]: j is sure to have ended when i begins. */
enum { SIDE_END = -1 };
typedef struct issued {
  int count, *instr;
  bool *before;
} issued;

static void comes_after(issued *all, int i, int j) {
  assert_true(j < i);
  all->before[i * all->count + j] = true;
  for (int k = 0; k < j; k++) all->before[i * all->count + k] |= all->before[j * all->count + k];
}

/* An event is that of the last time that it was recorded. */
static void comes_after_event(const dt_program *program, const dt_order *order, issued *all, int i, int event) {
  const int recorder = recorder_of(program, order, event);
  for (int j = i - 1; j >= 0; j--) {
    if (all->instr[j] != recorder) continue;
    comes_after(all, i, j);
    return;
  }
  fail_msg("instruction %d is waited for, and not there yet", recorder);
}

static void list_instructions(const dt_program *program, const dt_order *order, int micro_batches, issued *all) {
  for (int m = 0; m < micro_batches; m++) {
    for (int i = 0; i < program->micro_batch_end; i++) {
      if (program->instr[i].op != DT_OP_REDUCE_BEGIN || m + 1 == micro_batches) all->instr[all->count++] = i;
    }
    if (order->side_end >= 0) all->instr[all->count++] = SIDE_END;
  }
  const int end = partial ? program->update_begin : program->count;
  for (int i = program->micro_batch_end; i < end; i++) {
    if (partial || i < program->partial_begin || i >= program->update_begin) all->instr[all->count++] = i;
  }
}

static issued issue(const dt_program *program, const dt_order *order, int micro_batches) {
  issued all = {.instr = calloc((size_t)(micro_batches * (program->count + 1)), sizeof(int))};
  int last[DT_STREAMS];
  list_instructions(program, order, micro_batches, &all);
  all.before = calloc((size_t)(all.count * all.count), sizeof *all.before);
  for (int s = 0; s < DT_STREAMS; s++) last[s] = -1;
  for (int i = 0; i < all.count; i++) {
    const int k = all.instr[i], stream = k == SIDE_END ? DT_STREAM_COMPUTE : (int)program->instr[k].stream;
    if (last[stream] >= 0) comes_after(&all, i, last[stream]);
    for (int s = 0; s < DT_STREAMS; s++) {
      const int event = k == SIDE_END ? order->side_end : order->wait[k][s];
      if (event >= 0) comes_after_event(program, order, &all, i, event);
    }
    last[stream] = i;
  }
  return all;
}

static void issued_free(issued *all) {
  free(all->instr);
  free(all->before);
}

/* Whether every conflict is ordered; names one that is not. */
static bool is_pass_ordered(const dt_program *program, const dt_order *order, const bool *conflict, int micro_batches,
                            int *out_i, int *out_j) {
  issued all = issue(program, order, micro_batches);
  bool ordered = true;
  for (int i = 0; i < all.count && ordered; i++) {
    for (int j = 0; j < i && ordered; j++) {
      *out_i = all.instr[i];
      *out_j = all.instr[j];
      if (*out_i == SIDE_END || *out_j == SIDE_END) continue;
      const int later = *out_i > *out_j ? *out_i : *out_j, earlier = *out_i + *out_j - later;
      ordered = !conflict[later * program->count + earlier] || all.before[i * all.count + j];
    }
  }
  issued_free(&all);
  return ordered;
}

/* In the last pass over a batch, and in the first where that is another. */
static bool is_ordered(const dt_program *program, const dt_order *order, const bool *conflict, int micro_batches, int *out_i,
                       int *out_j) {
  bool ordered = is_pass_ordered(program, order, conflict, micro_batches, out_i, out_j);
  if (program->partial_begin == program->update_begin) return ordered;
  partial = true;
  ordered = ordered && is_pass_ordered(program, order, conflict, micro_batches, out_i, out_j);
  partial = false;
  return ordered;
}

/* Every stream's last instruction that does anything is waited for at the end, or is before something that the compute stream
 * waited for. */
static void check_join(const dt_program *program, const dt_order *order) {
  issued all = issue(program, order, 1);
  int last[DT_STREAMS];
  for (int s = 0; s < DT_STREAMS; s++) last[s] = -1;
  for (int i = 0; i < all.count; i++) {
    const int k = all.instr[i];
    if (k == SIDE_END)
      last[DT_STREAM_COMPUTE] = i;
    else if (enqueues(&program->instr[k]))
      last[program->instr[k].stream] = i;
  }
  for (int s = 0; s < DT_STREAMS; s++) {
    if (s == DT_STREAM_COMPUTE || last[s] < 0) continue;
    bool joined = order->join[s] >= 0 && recorder_of(program, order, order->join[s]) == all.instr[last[s]];
    int compute = last[DT_STREAM_COMPUTE];
    assert_true(joined || (compute >= 0 && all.before[compute * all.count + last[s]]));
  }
  issued_free(&all);
}

static void check_needed(const dt_program *program, dt_order *order, const bool *conflict, const char *net) {
  int i, j, waits = 0;
  for (int k = 0; k < program->count; k++) {
    for (int s = 0; s < DT_STREAMS; s++) {
      int event = order->wait[k][s];
      if (event < 0) continue;
      waits++;
      order->wait[k][s] = -1;
      if (is_ordered(program, order, conflict, 1, &i, &j)) fail_msg("%s: the wait of instruction %d is not needed", net, k);
      order->wait[k][s] = event;
    }
  }
  bool one_stream = true;
  for (int k = 0; k < program->count; k++)
    one_stream &= program->instr[k].stream == DT_STREAM_COMPUTE || !enqueues(&program->instr[k]);
  assert_true(one_stream == (waits == 0));
}

static void check_program(const dt_program *program, const char *net, int micro_batches) {
  dt_order *order;
  int i, j;
  assert_int_equal(dt_order_create(program, reducing, &order), DT_OK);
  bool *conflict = find_conflicts(program);
  for (int m = 1; m <= micro_batches; m++) {
    if (is_ordered(program, order, conflict, m, &i, &j)) continue;
    fail_msg("%s, %d micro-batches: instructions %d and %d use the same memory and are not ordered", net, m, j, i);
  }
  check_join(program, order);
  check_needed(program, order, conflict, net);
  free(conflict);
  dt_order_destroy(&order);
  assert_null(order);
}

static void lower_and_check_set(const test_net *net, const char *train, const char *set, unsigned streams_seed) {
  fake_device device = fake_make(FAKE_FUSES_ALL, 64);
  lowered l = lower_net_set(net, &device.base, DT_PROGRAM_TRAIN, train, set);
  srand(streams_seed);
  for (int i = 0; streams_seed > 0 && i < l.program->count; i++) l.program->instr[i].stream = (dt_stream)(rand() % DT_STREAMS);
  check_program(l.program, net->name, streams_seed == 0 ? 2 : 1);
  lowered_free(&l);
}

static void lower_and_check(const test_net *net, const char *train, unsigned streams_seed) {
  lower_and_check_set(net, train, NULL, streams_seed);
}

/* Also where a step is several batches: the template closes the last brace. */
static void buckets_are_ordered(void **state) {
  for (int n = 0; n < NET_COUNT; n++) lower_and_check(&nets[n], "", 0);
  lower_and_check(&nets[2], "}\nsolver: {gradient_descent: {}", 0);
}

/* The first update waits for its own bucket, not for those that were begun after it. */
static void a_bucket_waits_for_itself(void **state) {
  reducing = DT_REDUCING_AT_BEGIN;
  for (int n = 0; n < NET_COUNT; n++) lower_and_check(&nets[n], "", 0);
  fake_device device = fake_make(FAKE_FUSES_ALL, 64);
  lowered l = lower_net(&nets[2], &device.base, DT_PROGRAM_TRAIN, "");
  dt_order *order;
  assert_true(l.program->bucket_count > 1);
  assert_int_equal(dt_order_create(l.program, reducing, &order), DT_OK);
  for (int i = l.program->micro_batch_end; i < l.program->count; i++) {
    if (l.program->instr[i].op != DT_OP_UPDATE) continue;
    const dt_instr *begin = &l.program->instr[recorder_of(l.program, order, order->wait[i][DT_STREAM_COMM])];
    assert_int_equal(begin->op, DT_OP_REDUCE_BEGIN);
    assert_int_equal(begin->bucket, l.program->instr[i].bucket);
  }
  dt_order_destroy(&order);
  lowered_free(&l);
  reducing = DT_REDUCING_SPANS;
}

static void clipped_buckets_are_ordered(void **state) {
  for (int n = 0; n < NET_COUNT; n++) lower_and_check(&nets[n], ", clip_norm: 1", 0);
}

/* The norms of tensors read all gradients and all parameters. */
static void tensor_norms_are_ordered(void **state) {
  for (int n = 0; n < NET_COUNT; n++) lower_and_check_set(&nets[n], "", "optimizer=lars", 0);
  for (int n = 0; n < NET_COUNT; n++) lower_and_check_set(&nets[n], ", clip_units: 0.01", "optimizer=lamb", 0);
  for (int n = 0; n < NET_COUNT; n++) lower_and_check_set(&nets[n], ", l1: 0.01, max_norm: 2", NULL, 0);
  for (unsigned seed = 1; seed <= 3; seed++) lower_and_check_set(&nets[3], ", clip_norm: 1, l2: 1", "optimizer=lars", seed);
}

/* Each of the two passes leaves out what is the other's. */
static void passes_are_ordered(void **state) {
  for (int n = 0; n < NET_COUNT; n++) lower_and_check_set(&nets[n], "", "solver=sam", 0);
  for (int n = 0; n < NET_COUNT; n++) lower_and_check_set(&nets[n], "", "optimizer=muon", 0);
}

/* --- the side stream --- */

static lowered lower_with_side(const test_net *net, size_t work) {
  fake_device device = fake_make(FAKE_FUSES_ALL, work);
  device.base.side_stream = true;
  return lower_net(net, &device.base, DT_PROGRAM_TRAIN, "");
}

static bool is_weight_gradient(const dt_instr *instr) {
  return instr->op == DT_OP_CONV_WGRAD || instr->op == DT_OP_LINEAR_WGRAD || instr->op == DT_OP_BIAS_WGRAD;
}

/* Whatever is reduced how, over several micro-batches too. */
static void the_side_stream_is_ordered(void **state) {
  for (reducing = DT_REDUCING_SPANS; reducing <= DT_REDUCING_NOTHING; reducing++) {
    for (int n = 0; n < NET_COUNT; n++) {
      lowered l = lower_with_side(&nets[n], 64);
      check_program(l.program, nets[n].name, 3);
      lowered_free(&l);
    }
  }
  reducing = DT_REDUCING_SPANS;
}

/* All weight gradients are on it, and the merges of what they leave; a micro-batch ends when they have. */
static void what_is_on_the_side_stream(void **state) {
  for (int n = 0; n < NET_COUNT; n++) {
    lowered l = lower_with_side(&nets[n], 64);
    const dt_program *program = l.program;
    dt_order *order;
    int i, j, last = -1, first = program->count;
    assert_int_equal(dt_order_create(program, DT_REDUCING_NOTHING, &order), DT_OK);
    for (int k = 0; k < program->count; k++) {
      const dt_instr *instr = &program->instr[k];
      bool side = is_weight_gradient(instr) || instr->op == DT_OP_COMBINE;
      assert_int_equal(instr->stream == DT_STREAM_SIDE, side);
      if (side) last = k;
      if (side && first > k) first = k;
    }
    assert_int_equal(recorder_of(program, order, order->side_end), last);
    assert_true(order->wait[first][DT_STREAM_COMPUTE] >= 0); /* it is behind the micro-batches before */
    bool *conflict = find_conflicts(program);
    order->side_end = -1;
    assert_false(is_ordered(program, order, conflict, 2, &i, &j));
    free(conflict);
    dt_order_destroy(&order);
    lowered_free(&l);
  }
}

/* The compute stream may be two weight gradients ahead, whatever the memory plan has put where. */
static void the_compute_stream_goes_ahead(void **state) {
  int waits = 0;
  for (int n = 0; n < NET_COUNT; n++) {
    lowered l = lower_with_side(&nets[n], 1000);
    const dt_program *program = l.program;
    dt_order *order;
    assert_int_equal(dt_order_create(program, DT_REDUCING_AT_BEGIN, &order), DT_OK);
    for (int k = 0; k < program->micro_batch_end; k++) {
      if (program->instr[k].stream != DT_STREAM_COMPUTE || order->wait[k][DT_STREAM_SIDE] < 0) continue;
      int ahead = 0, behind = recorder_of(program, order, order->wait[k][DT_STREAM_SIDE]);
      for (int i = behind + 1; i < k; i++) ahead += is_weight_gradient(&program->instr[i]);
      if (ahead < 2) fail_msg("%s: instruction %d waits for %d on the side stream", nets[n].name, k, behind);
      waits++;
    }
    dt_order_destroy(&order);
    lowered_free(&l);
  }
  assert_true(waits > 0); /* memory is used again */
}

/* Whatever stream an instruction is on, and wherever in the arena its neighbours lie. */
static void any_streams_are_ordered(void **state) {
  for (unsigned seed = 1; seed <= 3; seed++) lower_and_check(&nets[4], "", seed);
  for (unsigned seed = 1; seed <= 3; seed++) lower_and_check(&nets[3], "", seed);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(buckets_are_ordered),
      cmocka_unit_test(a_bucket_waits_for_itself),
      cmocka_unit_test(clipped_buckets_are_ordered),
      cmocka_unit_test(tensor_norms_are_ordered),
      cmocka_unit_test(passes_are_ordered),
      cmocka_unit_test(any_streams_are_ordered),
      cmocka_unit_test(the_side_stream_is_ordered),
      cmocka_unit_test(what_is_on_the_side_stream),
      cmocka_unit_test(the_compute_stream_goes_ahead),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

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

static bool begins_alone;

static void mark_bucket(const dt_program *program, const dt_instr *instr, const touched *map) {
  if (begins_alone && instr->op == DT_OP_REDUCE_END) return;
  if (instr->op == DT_OP_GRAD_NORM || instr->op == DT_OP_TENSOR_NORM) mark(map->grad, 0, program->trained_elements, false);
  if (instr->op == DT_OP_TENSOR_NORM) mark(map->param, 0, program->trained_elements, false);
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

static int recorder_of(const dt_program *program, const dt_order *order, int event) {
  for (int i = 0; i < program->count; i++) {
    if (order->record[i] == event) return i;
  }
  fail_msg("event %d is never recorded", event);
  return -1;
}

/* before[i * count + j]: j is sure to have ended when i begins. */
static bool *find_before(const dt_program *program, const dt_order *order) {
  int count = program->count, last[DT_STREAMS] = {-1, -1, -1};
  bool *before = calloc((size_t)(count * count), sizeof *before);
  for (int i = 0; i < count; i++) {
    int after[DT_STREAMS + 1] = {last[program->instr[i].stream]};
    for (int s = 0; s < DT_STREAMS; s++) {
      after[s + 1] = order->wait[i][s] < 0 ? -1 : recorder_of(program, order, order->wait[i][s]);
    }
    for (int a = 0; a <= DT_STREAMS; a++) {
      if (after[a] < 0) continue;
      assert_true(after[a] < i);
      before[i * count + after[a]] = true;
      for (int j = 0; j < after[a]; j++) before[i * count + j] |= before[after[a] * count + j];
    }
    last[program->instr[i].stream] = i;
  }
  return before;
}

/* Whether every conflict is ordered; names one that is not. */
static bool is_ordered(const dt_program *program, const dt_order *order, const bool *conflict, int *out_i, int *out_j) {
  bool *before = find_before(program, order), ordered = true;
  for (int i = 0; i < program->count && ordered; i++) {
    for (int j = 0; j < i && ordered; j++) {
      ordered = !conflict[i * program->count + j] || before[i * program->count + j];
      *out_i = i;
      *out_j = j;
    }
  }
  free(before);
  return ordered;
}

/* Every stream's last instruction that does anything is waited for at the end, or is before something that the compute stream
 * waited for. */
static void check_join(const dt_program *program, const dt_order *order) {
  bool *before = find_before(program, order);
  int last[DT_STREAMS] = {-1, -1, -1};
  for (int i = 0; i < program->count; i++) {
    if (!begins_alone || program->instr[i].op != DT_OP_REDUCE_END) last[program->instr[i].stream] = i;
  }
  for (int s = 0; s < DT_STREAMS; s++) {
    if (s == DT_STREAM_COMPUTE || last[s] < 0) continue;
    bool joined = order->join[s] >= 0 && recorder_of(program, order, order->join[s]) == last[s];
    int compute = last[DT_STREAM_COMPUTE];
    assert_true(joined || (compute >= 0 && before[compute * program->count + last[s]]));
  }
  free(before);
}

static void check_program(const dt_program *program, const char *net) {
  dt_order *order;
  int i, j, waits = 0;
  assert_int_equal(dt_order_create(program, begins_alone, &order), DT_OK);
  bool *conflict = find_conflicts(program);
  if (!is_ordered(program, order, conflict, &i, &j)) {
    fail_msg("%s: instructions %d and %d use the same memory and are not ordered", net, j, i);
  }
  check_join(program, order);
  for (int k = 0; k < program->count; k++) {
    for (int s = 0; s < DT_STREAMS; s++) {
      int event = order->wait[k][s];
      if (event < 0) continue;
      waits++;
      order->wait[k][s] = -1;
      if (is_ordered(program, order, conflict, &i, &j)) fail_msg("%s: the wait of instruction %d is not needed", net, k);
      order->wait[k][s] = event;
    }
  }
  bool one_stream = true;
  for (int k = 0; k < program->count; k++) one_stream &= program->instr[k].stream == DT_STREAM_COMPUTE;
  assert_true(one_stream == (waits == 0));
  free(conflict);
  dt_order_destroy(&order);
  assert_null(order);
}

static void lower_and_check_set(const test_net *net, const char *train, const char *set, unsigned streams_seed) {
  fake_device device = fake_make(FAKE_FUSES_ALL, 64);
  lowered l = lower_net_set(net, &device.base, DT_PROGRAM_TRAIN, train, set);
  srand(streams_seed);
  for (int i = 0; streams_seed > 0 && i < l.program->count; i++) l.program->instr[i].stream = (dt_stream)(rand() % DT_STREAMS);
  check_program(l.program, net->name);
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
  begins_alone = true;
  for (int n = 0; n < NET_COUNT; n++) lower_and_check(&nets[n], "", 0);
  fake_device device = fake_make(FAKE_FUSES_ALL, 64);
  lowered l = lower_net(&nets[2], &device.base, DT_PROGRAM_TRAIN, "");
  dt_order *order;
  assert_true(l.program->bucket_count > 1);
  assert_int_equal(dt_order_create(l.program, begins_alone, &order), DT_OK);
  for (int i = l.program->micro_batch_end; i < l.program->count; i++) {
    if (l.program->instr[i].op != DT_OP_UPDATE) continue;
    const dt_instr *begin = &l.program->instr[recorder_of(l.program, order, order->wait[i][DT_STREAM_COMM])];
    assert_int_equal(begin->op, DT_OP_REDUCE_BEGIN);
    assert_int_equal(begin->bucket, l.program->instr[i].bucket);
  }
  dt_order_destroy(&order);
  lowered_free(&l);
  begins_alone = false;
}

static void clipped_buckets_are_ordered(void **state) {
  for (int n = 0; n < NET_COUNT; n++) lower_and_check(&nets[n], ", clip_norm: 1", 0);
}

/* The norms of tensors read all gradients and all parameters. */
static void tensor_norms_are_ordered(void **state) {
  for (int n = 0; n < NET_COUNT; n++) lower_and_check_set(&nets[n], "", "optimizer=lars", 0);
  for (unsigned seed = 1; seed <= 3; seed++) lower_and_check_set(&nets[3], ", clip_norm: 1", "optimizer=lars", seed);
}

/* Whatever stream an instruction is on, and wherever in the arena its neighbours lie. */
static void any_streams_are_ordered(void **state) {
  for (unsigned seed = 1; seed <= 3; seed++) lower_and_check(&nets[4], "", seed);
  for (unsigned seed = 1; seed <= 3; seed++) lower_and_check(&nets[3], "", seed);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(buckets_are_ordered),         cmocka_unit_test(a_bucket_waits_for_itself),
      cmocka_unit_test(clipped_buckets_are_ordered), cmocka_unit_test(tensor_norms_are_ordered),
      cmocka_unit_test(any_streams_are_ordered),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <stdlib.h>

#include "core/layer.h"
#include "core/program.h"
#include "fake_device.h"
#include "nets.h"

/* The invariants of program.h, checked by walking the program as it would run. */

typedef struct checker {
  const dt_program *program;
  const char *net;
  int *writes; /* [buffers]: instructions that have written the root so far */
} checker;

static int root_of(const dt_program *program, int id) {
  while (program->buffer[id].alias_of >= 0) id = program->buffer[id].alias_of;
  return id;
}

static bool is_given(dt_buffer_kind kind) {
  return kind == DT_BUF_PARAM || kind == DT_BUF_STATE || kind == DT_BUF_WORK;
}

static void check_arg(checker *c, int i, int a) {
  const dt_instr *instr = &c->program->instr[i];
  const dt_op_info *info = &dt_op_infos[instr->op];
  int root = root_of(c->program, instr->arg[a]);
  const dt_buffer *buffer = &c->program->buffer[root];
  unsigned bit = 1u << a;
  if (!((info->reads | info->writes | DT_BIT(WORK)) & bit)) fail_msg("%s: %d %s has arg %d", c->net, i, info->name, a);
  if ((info->reads & bit) && !is_given(buffer->kind) && c->writes[root] == 0) {
    fail_msg("%s: %d %s reads %s before it is written", c->net, i, info->name, buffer->name);
  }
}

static void note_write(checker *c, int i, int a) {
  const dt_instr *instr = &c->program->instr[i];
  int root = root_of(c->program, instr->arg[a]);
  if (!(dt_op_infos[instr->op].writes & (1u << a)) || c->program->buffer[root].kind == DT_BUF_STATE) return;
  if (c->writes[root]++ > 0 && instr->op != DT_OP_CONCAT)
    fail_msg("%s: %s is written twice", c->net, c->program->buffer[root].name);
}

static void check_single_assignment(const dt_program *program, const char *net) {
  checker c = {program, net, calloc((size_t)program->buffer_count, sizeof(int))};
  for (int i = 0; i < program->count; i++) {
    for (int a = 0; a < DT_ARG_COUNT; a++) {
      if (program->instr[i].arg[a] >= 0) check_arg(&c, i, a);
    }
    for (int a = 0; a < DT_ARG_COUNT; a++) {
      if (program->instr[i].arg[a] >= 0) note_write(&c, i, a);
    }
  }
  for (int b = 0; b < program->buffer_count; b++) {
    if (program->buffer[b].kind == DT_BUF_GRAD && c.writes[b] != 1) {
      fail_msg("%s: %s is written %d times", net, program->buffer[b].name, c.writes[b]);
    }
  }
  free(c.writes);
}

static int find_op(const dt_program *program, dt_op op, int bucket) {
  int found = -1;
  for (int i = 0; i < program->count; i++) {
    if (program->instr[i].op != op || program->instr[i].bucket != bucket) continue;
    assert_int_equal(found, -1);
    found = i;
  }
  return found;
}

/* Every element of the block is in one bucket, and what writes it comes before the bucket is combined. */
static void check_buckets(const dt_program *program, const char *net) {
  int64_t end = 0, params = 0;
  for (int k = 0; k < program->bucket_count; k++) {
    const dt_bucket *bucket = &program->bucket[k];
    assert_int_equal(bucket->first, end);
    assert_true(bucket->count > 0);
    end = bucket->first + bucket->count;
    params += bucket->param_count;
    int combine = find_op(program, DT_OP_COMBINE, k), begin = find_op(program, DT_OP_REDUCE_BEGIN, k);
    int finish = find_op(program, DT_OP_REDUCE_END, k), update = find_op(program, DT_OP_UPDATE, k);
    assert_true(bucket->ready < combine && combine < begin && begin < program->pass_end);
    assert_true(program->pass_end <= finish && finish < update);
    assert_true(find_op(program, DT_OP_GRAD_NORM, -1) > finish);
    for (int i = 0; i < program->pass_end; i++) {
      for (int a = 0; a < DT_ARG_COUNT; a++) {
        int id = program->instr[i].arg[a];
        if (id < 0 || program->buffer[id].kind != DT_BUF_GRAD) continue;
        int64_t at = program->buffer[id].offset;
        if (at >= bucket->first && at < end) assert_true(i <= bucket->ready);
      }
    }
  }
  assert_int_equal(end, program->grad_elements);
  assert_int_equal(params, program->param_elements);
}

static void check_slices(const dt_program *program) {
  for (int p = 0; p < program->param_count; p++) {
    const dt_param *param = &program->param[p];
    assert_int_equal(param->offset % 16, 0);
    int64_t next = p + 1 < program->param_count ? program->param[p + 1].offset : program->param_elements;
    assert_true(param->offset + param->count <= next && next - param->offset - param->count < 16);
  }
  assert_int_equal(program->tail % 16, 0);
  assert_true(program->tail + DT_TAIL_COUNT <= program->grad_elements);
}

static void invariants_hold_for_every_net(void **state) {
  static const unsigned fusions[] = {0, FAKE_FUSES_ALL, 1u << DT_FUSE_FORWARD_ACT, 1u << DT_FUSE_BACKWARD_MASK,
                                     1u << DT_FUSE_BACKWARD_ADD | 1u << DT_FUSE_FORWARD_ADD};
  for (int n = 0; n < NET_COUNT; n++) {
    for (size_t f = 0; f < sizeof fusions / sizeof *fusions; f++) {
      fake_device device = fake_make(fusions[f], 100);
      for (int mode = DT_PROGRAM_TRAIN; mode <= DT_PROGRAM_PREDICT; mode++) {
        lowered l = lower_net(&nets[n], &device.base, (dt_program_mode)mode, "");
        check_single_assignment(l.program, nets[n].name);
        check_slices(l.program);
        if (mode == DT_PROGRAM_TRAIN) check_buckets(l.program, nets[n].name);
        if (mode != DT_PROGRAM_TRAIN) assert_int_equal(l.program->pass_end, l.program->count);
        lowered_free(&l);
      }
    }
  }
}

static int count_ops(const dt_program *program, dt_op op) {
  int count = 0;
  for (int i = 0; i < program->count; i++) count += program->instr[i].op == op;
  return count;
}

/* By hand: LeNet has two convolutions, two pools, two linear layers; nothing needs the gradient of the input. */
static void lenet_has_the_expected_instructions(void **state) {
  fake_device device = fake_make(0, 0);
  lowered l = lower_net(&nets[2], &device.base, DT_PROGRAM_TRAIN, "");
  assert_int_equal(count_ops(l.program, DT_OP_CONV_FWD), 2);
  assert_int_equal(count_ops(l.program, DT_OP_CONV_WGRAD), 2);
  assert_int_equal(count_ops(l.program, DT_OP_CONV_DGRAD), 1);
  assert_int_equal(count_ops(l.program, DT_OP_POOL_BWD), 2);
  assert_int_equal(count_ops(l.program, DT_OP_LINEAR_DGRAD), 2);
  assert_int_equal(count_ops(l.program, DT_OP_ACT_BWD), 1);
  assert_int_equal(count_ops(l.program, DT_OP_LOSS), 1);
  assert_int_equal(l.program->param_elements, 500 * 800 + 512 + 500 * 10 + 8 + 16 + 50 * 500 + 8 + 64 + 500 + 12 + 32);
  lowered_free(&l);
  l = lower_net(&nets[2], &device.base, DT_PROGRAM_EVAL, "");
  assert_int_equal(l.program->count, 1 + 2 + 2 + 2 + 1 + 1);
  lowered_free(&l);
}

static void the_last_layer_lies_first(void **state) {
  fake_device device = fake_make(0, 0);
  lowered l = lower_net(&nets[2], &device.base, DT_PROGRAM_TRAIN, "");
  assert_string_equal(l.program->param[0].name, "linear2.weight");
  assert_string_equal(l.program->param[l.program->param_count - 1].name, "conv1.bias");
  lowered_free(&l);
}

/* Evaluation runs on the parameters of training, so both must lay them out alike, whatever is fused. */
static void modes_share_one_layout(void **state) {
  for (int n = 0; n < NET_COUNT; n++) {
    fake_device fuses = fake_make(FAKE_FUSES_ALL, 0), plain = fake_make(0, 0);
    lowered train = lower_net(&nets[n], &fuses.base, DT_PROGRAM_TRAIN, "");
    lowered eval = lower_net(&nets[n], &plain.base, DT_PROGRAM_EVAL, "");
    assert_int_equal(train.program->param_count, eval.program->param_count);
    for (int p = 0; p < train.program->param_count; p++) {
      assert_string_equal(train.program->param[p].name, eval.program->param[p].name);
      assert_int_equal(train.program->param[p].offset, eval.program->param[p].offset);
    }
    for (int s = 0; s < train.program->state_count; s++) {
      assert_int_equal(train.program->state[s].offset, eval.program->state[s].offset);
    }
    lowered_free(&train);
    lowered_free(&eval);
  }
}

static void clipping_puts_the_norm_before_every_update(void **state) {
  fake_device device = fake_make(0, 0);
  lowered l = lower_net(&nets[1], &device.base, DT_PROGRAM_TRAIN, ", clip_norm: 1");
  assert_true(l.program->bucket_count > 1);
  int norm = find_op(l.program, DT_OP_GRAD_NORM, -1);
  for (int k = 0; k < l.program->bucket_count; k++) assert_true(norm < find_op(l.program, DT_OP_UPDATE, k));
  lowered_free(&l);
  l = lower_net(&nets[1], &device.base, DT_PROGRAM_TRAIN, "");
  assert_true(find_op(l.program, DT_OP_UPDATE, 0) < find_op(l.program, DT_OP_REDUCE_END, 1));
  lowered_free(&l);
}

static void equal_inputs_give_equal_hashes_and_others_differ(void **state) {
  fake_device device = fake_make(FAKE_FUSES_ALL, 64);
  uint64_t hash[NET_COUNT];
  for (int n = 0; n < NET_COUNT; n++) {
    lowered a = lower_net(&nets[n], &device.base, DT_PROGRAM_TRAIN, "");
    lowered b = lower_net(&nets[n], &device.base, DT_PROGRAM_TRAIN, "");
    hash[n] = dt_program_hash(a.program);
    assert_true(hash[n] == dt_program_hash(b.program));
    for (int k = 0; k < n; k++) assert_true(hash[k] != hash[n]);
    lowered_free(&a);
    lowered_free(&b);
  }
}

/* Buffers whose size no machine has end in one line, not in an overflow. */
static void too_large_a_batch_is_refused(void **state) {
  static const test_net wide = {"wide", "[1048576]", "[{linear: 1048576}, {linear: 2}]"};
  fake_device device = fake_make(0, 0);
  dt_config *config;
  dt_graph *graph;
  dt_program *program = NULL;
  assert_int_equal(parse_net(wide.input, wide.layers, "", &config), DT_OK);
  assert_int_equal(dt_graph_create(config, &graph), DT_OK);
  dt_spec spec = *dt_config_spec(config);
  spec.train.global_batch = INT64_C(1) << 40;
  assert_int_equal(dt_program_create(graph, &spec, &device.base, DT_PROGRAM_TRAIN, 4, &program), DT_MEMORY);
  assert_null(program);
  dt_graph_destroy(&graph);
  dt_config_destroy(&config);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(invariants_hold_for_every_net),
      cmocka_unit_test(lenet_has_the_expected_instructions),
      cmocka_unit_test(the_last_layer_lies_first),
      cmocka_unit_test(modes_share_one_layout),
      cmocka_unit_test(clipping_puts_the_norm_before_every_update),
      cmocka_unit_test(equal_inputs_give_equal_hashes_and_others_differ),
      cmocka_unit_test(too_large_a_batch_is_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

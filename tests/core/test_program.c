#include <stdlib.h>

#include "core/layers/layer.h"
#include "core/program/program.h"
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
  return kind == DT_BUF_PARAM || kind == DT_BUF_STATE || kind == DT_BUF_WORK || kind == DT_BUF_FIELD;
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
  if (instr->op == DT_OP_GRAD_ADD) { /* it adds to what is there */
    assert_int_equal(c->writes[root], 1);
    return;
  }
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
    if (program->instr[i].op != op || dt_instr_bucket(&program->instr[i]) != bucket) continue;
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
    assert_true(bucket->ready < combine && combine < begin && begin < program->micro_batch_end);
    assert_true(program->micro_batch_end <= finish && finish < update);
    assert_true(find_op(program, DT_OP_GRAD_NORM, -1) > finish);
    for (int i = 0; i < program->micro_batch_end; i++) {
      for (int a = 0; a < DT_ARG_COUNT; a++) {
        int id = program->instr[i].arg[a];
        if (id < 0 || program->buffer[id].kind != DT_BUF_GRAD) continue;
        int64_t at = program->buffer[id].offset;
        if (at >= bucket->first && at < end) assert_true(i <= bucket->ready);
      }
    }
  }
  assert_int_equal(end, program->grad_elements);
  assert_int_equal(params, program->trained_elements);
}

static void check_slices(const dt_program *program) {
  for (int p = 0; p < program->param_count; p++) {
    const dt_param *param = &program->param[p];
    assert_int_equal(param->offset % 16, 0);
    int64_t next = p + 1 < program->param_count ? program->param[p + 1].offset : program->param_elements;
    assert_true(param->offset + param->count <= next && next - param->offset - param->count < 16);
  }
  assert_int_equal(program->statistics % 16, 0);
  assert_true(program->statistics + program->statistics_count <= program->grad_elements);
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
        if (mode != DT_PROGRAM_TRAIN) assert_int_equal(l.program->micro_batch_end, l.program->count);
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
  assert_int_equal(count_ops(l.program, DT_OP_CROSS_ENTROPY), 1);
  assert_int_equal(l.program->param_elements, 500 * 800 + 512 + 500 * 10 + 8 + 16 + 50 * 500 + 8 + 64 + 500 + 12 + 32);
  lowered_free(&l);
  l = lower_net(&nets[2], &device.base, DT_PROGRAM_EVAL, "");
  assert_int_equal(l.program->count, 1 + 2 + 2 + 2 + 1 + 1 + 1);
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

/* An op with each kind of attribute, and the attribute's size. */
static const struct {
  const char *name;
  dt_attr attr;
  size_t bytes;
} attrs[] = {
#define X(member, type) {#member, DT_ATTR_##member, sizeof(type)},
    DT_ATTR_LIST(X)
#undef X
};

static uint64_t hash_with(const dt_program *program, int i, const dt_instr *instr) {
  dt_instr kept = program->instr[i];
  program->instr[i] = *instr;
  uint64_t hash = dt_program_hash(program);
  program->instr[i] = kept;
  return hash;
}

/* Whether changing the byte changes the text, where all else is set and the byte's own word is 0. */
static bool byte_is_printed(const dt_program *program, int i, const dt_instr *base, size_t byte) {
  dt_instr a = *base, b;
  char *attr = (char *)&a.conv;
  memset(attr, 1, sizeof(dt_instr) - offsetof(dt_instr, conv));
  memset(attr + byte / 4 * 4, 0, 4);
  b = a;
  ((char *)&b.conv)[byte] ^= 2;
  return hash_with(program, i, &a) != hash_with(program, i, &b);
}

/* Ranks that differ in any byte of an attribute must notice: a field that its printer forgets, and a new one, fail here. */
static void every_byte_of_an_attribute_is_in_the_text(void **state) {
  fake_device device = fake_make(0, 0);
  lowered l = lower_net(&nets[2], &device.base, DT_PROGRAM_TRAIN, "");
  const int i = 0;
  for (size_t k = 0; k < sizeof attrs / sizeof *attrs; k++) {
    dt_instr base = l.program->instr[i];
    base.op = 0;
    while (base.op < DT_OP_COUNT && dt_op_infos[base.op].attr != attrs[k].attr) base.op++;
    if (base.op == DT_OP_COUNT) fail_msg("no op has the attribute %s", attrs[k].name);
    for (size_t byte = 0; byte < attrs[k].bytes; byte++) {
      if (byte_is_printed(l.program, i, &base, byte)) continue;
      fail_msg("byte %zu of the attribute %s is not in the text", byte, attrs[k].name);
    }
  }
  lowered_free(&l);
}

/* What all instructions have besides the attribute. */
static void every_common_field_is_in_the_text(void **state) {
  fake_device device = fake_make(0, 0);
  lowered l = lower_net(&nets[2], &device.base, DT_PROGRAM_TRAIN, "");
  const int i = 1;
  const dt_instr base = l.program->instr[i];
  const uint64_t hash = dt_program_hash(l.program);
  dt_instr other[4] = {base, base, base, base};
  other[0].op = DT_OP_ADD;
  other[1].stream = DT_STREAM_COPY;
  other[2].node++;
  other[3].act.kind = DT_ACT_TANH;
  for (int k = 0; k < 4; k++) assert_true(hash_with(l.program, i, &other[k]) != hash);
  for (int a = 0; a < DT_ARG_COUNT; a++) {
    dt_instr moved = base;
    moved.arg[a] = base.arg[a] == 0 ? 1 : 0;
    if (hash_with(l.program, i, &moved) == hash) fail_msg("arg %d is not in the text", a);
  }
  lowered_free(&l);
}

/* Whatever a device has no kernel for is refused in one line, at the layer's place, and before anything is computed. */
static void what_a_device_lacks_is_refused(void **state) {
  const test_net net = {"gelu", "[4]", "[{linear: 5}, gelu, {linear: 3}]"};
  const struct {
    dt_op op;
    dt_program_mode mode;
    const char *text;
  } cases[] = {
      {DT_OP_ACT_FWD, DT_PROGRAM_TRAIN, "net.yaml:6:25: error: gelu1 needs act_fwd, for which the fake device has no kernel"},
      {DT_OP_ACT_BWD, DT_PROGRAM_TRAIN, "net.yaml:6:25: error: gelu1 needs act_bwd"},
      {DT_OP_LINEAR_WGRAD, DT_PROGRAM_TRAIN, "net.yaml:6:32: error: linear2 needs linear_wgrad"},
      {DT_OP_SCORE, DT_PROGRAM_EVAL, "the fake device has no kernel for score"},
      {DT_OP_UPDATE, DT_PROGRAM_TRAIN, "the fake device has no kernel for update"},
      {DT_OP_ACT_BWD, DT_PROGRAM_EVAL, NULL},
  };
  for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
    fake_device device = fake_make(0, 0);
    dt_config *config;
    dt_graph *graph;
    dt_program *program = NULL;
    device.base.kernel[cases[k].op] = NULL;
    assert_int_equal(parse_net(net.input, net.layers, "", &config), DT_OK);
    assert_int_equal(dt_graph_create(config, &graph), DT_OK);
    dt_status status = dt_program_create(graph, dt_config_spec(config), &device.base, cases[k].mode, 2, &program);
    assert_int_equal(status, cases[k].text == NULL ? DT_OK : DT_USAGE);
    if (cases[k].text != NULL && strstr(dt_error_text(), cases[k].text) == NULL) fail_msg("%s", dt_error_text());
    dt_program_destroy(&program);
    dt_graph_destroy(&graph);
    dt_config_destroy(&config);
    dt_error_clear();
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
      cmocka_unit_test(every_byte_of_an_attribute_is_in_the_text),
      cmocka_unit_test(every_common_field_is_in_the_text),
      cmocka_unit_test(what_a_device_lacks_is_refused),
      cmocka_unit_test(too_large_a_batch_is_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

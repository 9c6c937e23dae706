/* Fusion must not change what is computed. The oracle is an algebra: each program is run over expressions instead of numbers,
 * with every fused part spelt out as ops.def defines it, and the expressions of all gradients, statistics and the output must
 * be the same with and without fusion. */
#include <stdlib.h>

#include "fake_device.h"
#include "nets.h"

typedef struct expr {
  int64_t tag; /* wide, so that there is no padding and equal expressions are equal bytes */
  uint64_t attr;
  int arg[4];
} expr;

enum { SUM = DT_OP_COUNT, ACT, MASKED, LEAF, WINNERS, COLUMNS, BITS, EXPRS = 4096 };
static expr table[EXPRS];
static int expr_count;

static int make(int tag, uint64_t attr, int a, int b, int c, int d) {
  expr e = {tag, attr, {a, b, c, d}};
  for (int i = 0; i < expr_count; i++) {
    if (memcmp(&table[i], &e, sizeof e) == 0) return i;
  }
  assert_true(expr_count < EXPRS);
  table[expr_count] = e;
  return expr_count++;
}

static uint64_t mix(uint64_t hash, const void *data, size_t bytes) {
  for (size_t i = 0; i < bytes; i++) hash = (hash ^ ((const uint8_t *)data)[i]) * UINT64_C(1099511628211);
  return hash;
}

static uint64_t text_hash(const char *text) {
  return mix(UINT64_C(14695981039346656037), text, strlen(text));
}

static int sum(int a, int b) {
  if (b < 0) return a;
  return a < b ? make(SUM, 0, a, b, -1, -1) : make(SUM, 0, b, a, -1, -1);
}

static int activate(dt_act act, int x) {
  return act.kind == DT_ACT_NONE ? x : make(ACT, mix(1, &act, sizeof act), x, -1, -1, -1);
}

/* The law that lets a pool be fused: the mask of an unpooled gradient is the unpooled gradient, masked by the pooled values. */
static int masked(dt_act act, int dy, int y) {
  if (y < 0) return dy;
  const expr e = table[dy];
  if (e.tag == DT_OP_POOL_BWD && e.arg[1] >= 0 && table[e.arg[1]].arg[0] == y && !dt_act_infos[act.kind].from_x) {
    int pooled = make(DT_OP_POOL_FWD, e.attr, y, -1, -1, -1);
    return make(DT_OP_POOL_BWD, e.attr, masked(act, e.arg[0], pooled), e.arg[1], -1, -1);
  }
  return make(MASKED, mix(1, &act, sizeof act), dy, y, -1, -1);
}

typedef struct algebra {
  const dt_program *program;
  int *value; /* [buffers] expression of the root */
} algebra;

static int root_of(const dt_program *program, int id) {
  while (program->buffer[id].alias_of >= 0) id = program->buffer[id].alias_of;
  return id;
}

static int get(const algebra *m, const dt_instr *instr, dt_arg a) {
  if (instr->arg[a] < 0) return -1;
  int root = root_of(m->program, instr->arg[a]);
  const dt_buffer *buffer = &m->program->buffer[root];
  bool leaf = buffer->kind == DT_BUF_PARAM || buffer->kind == DT_BUF_STATE || buffer->kind == DT_BUF_FIELD;
  if (leaf) return make(LEAF, text_hash(buffer->name), -1, -1, -1, -1);
  return m->value[root];
}

static void set(algebra *m, const dt_instr *instr, dt_arg a, int e) {
  if (instr->arg[a] >= 0) m->value[root_of(m->program, instr->arg[a])] = e;
}

static uint64_t pool_hash(const dt_pool_op *pool) {
  return mix(1, pool, sizeof *pool);
}

static void run_pool(algebra *m, const dt_instr *instr, const dt_pool_op *pool, int v) {
  uint64_t attr = pool_hash(pool);
  set(m, instr, DT_ARG_Y, make(DT_OP_POOL_FWD, attr, v, -1, -1, -1));
  set(m, instr, DT_ARG_AUX, make(WINNERS, attr, v, -1, -1, -1));
}

/* What masks: a value, or the one that bits were made of. */
static int mask_of(const algebra *m, const dt_instr *instr) {
  const int bits = get(m, instr, DT_ARG_BITS);
  if (bits < 0) return get(m, instr, DT_ARG_MASK);
  if (table[bits].tag != BITS || instr->act.kind != DT_ACT_RELU || instr->arg[DT_ARG_MASK] >= 0)
    fail_msg("bits do not mask a relu");
  return table[bits].arg[0];
}

/* The mask of a batch normalisation is applied to what comes in, and what it makes of that is handed on. */
static void run_norm_gradient(algebra *m, const dt_instr *instr) {
  int g = masked(instr->act, get(m, instr, DT_ARG_DY), mask_of(m, instr));
  int x = get(m, instr, DT_ARG_X), aux = get(m, instr, DT_ARG_AUX);
  set(m, instr, DT_ARG_DX, make(instr->op, 0, g, x, aux, get(m, instr, DT_ARG_W)));
  set(m, instr, DT_ARG_DW, make(instr->op, 1, g, x, aux, -1));
  set(m, instr, DT_ARG_DB, make(instr->op, 2, g, -1, -1, -1));
  set(m, instr, DT_ARG_DADD, g);
}

/* Everything that the op is told, but the fused pool, which is spelt out. */
static uint64_t attr_hash(const dt_instr *instr) {
  static const size_t bytes[DT_ATTR_COUNT] = {
#define X(member, type) [DT_ATTR_##member] = sizeof(type),
      DT_ATTR_LIST(X)
#undef X
  };
  dt_instr told = *instr;
  dt_attr attr = dt_op_infos[instr->op].attr;
  if (attr == DT_ATTR_conv) memset(&told.conv.pool, 0, sizeof told.conv.pool);
  return mix(1, &told.conv, bytes[attr]); /* the members begin at one place */
}

/* What fusion adds to an instruction, which its core does not read. */
enum { FUSED = DT_BIT(ADDEND) | DT_BIT(MASK) | DT_BIT(BITS) };

/* The core of an op: an expression of what its row says it reads, another one for each thing that it writes. */
static int core_of(const algebra *m, const dt_instr *instr, int output) {
  const dt_op_info *info = &dt_op_infos[instr->op];
  int read[4] = {-1, -1, -1, -1}, count = 0;
  for (int a = 0; a < DT_ARG_COUNT; a++) {
    if (!((info->reads & ~(unsigned)FUSED) >> a & 1)) continue;
    if (count == 4) fail_msg("%s reads more than an expression has room for", info->name);
    read[count++] = get(m, instr, (dt_arg)a);
  }
  return make(instr->op, attr_hash(instr) + (uint64_t)output, read[0], read[1], read[2], read[3]);
}

static bool has_fused_parts(const dt_instr *instr) {
  return instr->arg[DT_ARG_ADDEND] >= 0 || instr->arg[DT_ARG_MASK] >= 0 || instr->arg[DT_ARG_BITS] >= 0 ||
         instr->act.kind != DT_ACT_NONE;
}

/* For ops into which nothing can be fused. */
static void require_plain(const dt_instr *instr) {
  if (has_fused_parts(instr)) fail_msg("%s has fused parts, and does not take any", dt_op_infos[instr->op].name);
}

/* Any op that run_instr has no case for: what it writes are functions of what it reads, and y or dx takes the fused parts in.
 * So a new op is compared as soon as it has its row; one into which something is fused in another way needs a case. */
static void run_by_row(algebra *m, const dt_instr *instr) {
  const dt_op_info *info = &dt_op_infos[instr->op];
  int addend = get(m, instr, DT_ARG_ADDEND), mask = get(m, instr, DT_ARG_MASK), outputs = 0;
  bool forward = info->writes & DT_BIT(Y), backward = info->writes & DT_BIT(DX);
  /* Of y an activation, of dx the derivative of one, by a mask. */
  bool known = forward ? mask < 0 : (mask >= 0) == (instr->act.kind != DT_ACT_NONE);
  if (has_fused_parts(instr) && (forward == backward || !known))
    fail_msg("%s has fused parts, and its row does not say where they go", info->name);
  for (int a = 0; a < DT_ARG_COUNT; a++) {
    if (!(info->writes >> a & 1)) continue;
    int v = core_of(m, instr, outputs++);
    if (a == DT_ARG_Y) v = activate(instr->act, sum(v, addend));
    if (a == DT_ARG_DX) v = masked(instr->act, sum(v, addend), mask);
    /* Losses and metrics write a column each. */
    if (a == DT_ARG_TERMS) v = make(COLUMNS, 0, get(m, instr, DT_ARG_TERMS), v, -1, -1);
    set(m, instr, (dt_arg)a, v);
  }
}

static void run_instr(algebra *m, const dt_instr *instr) {
  int x = get(m, instr, DT_ARG_X), dy = get(m, instr, DT_ARG_DY);
  int addend = get(m, instr, DT_ARG_ADDEND), mask = get(m, instr, DT_ARG_MASK);
  switch (instr->op) {
    case DT_OP_CONV_FWD:
      run_by_row(m, instr);
      if (instr->conv.pool.window.kernel[0] > 0) run_pool(m, instr, &instr->conv.pool, get(m, instr, DT_ARG_Y));
      break;
    case DT_OP_POOL_FWD:
      require_plain(instr);
      run_pool(m, instr, &instr->pool, x);
      break;
    case DT_OP_ACT_FWD:
      set(m, instr, DT_ARG_Y, activate(instr->act, x));
      break;
    case DT_OP_ACT_BWD:
      set(m, instr, DT_ARG_DX, masked(instr->act, sum(dy, addend), mask));
      break;
    case DT_OP_ADD:
      x = sum(x, addend);
      mask = mask_of(m, instr);
      set(m, instr, DT_ARG_Y, mask < 0 ? activate(instr->act, x) : masked(instr->act, x, mask));
      break;
    case DT_OP_CONCAT:
      require_plain(instr);
      set(m, instr, DT_ARG_Y, make(DT_OP_CONCAT, (uint64_t)instr->channel, get(m, instr, DT_ARG_Y), x, -1, -1));
      break;
    case DT_OP_BN_FWD:
      run_by_row(m, instr);
      if (instr->arg[DT_ARG_BITS] >= 0) set(m, instr, DT_ARG_BITS, make(BITS, 0, get(m, instr, DT_ARG_Y), -1, -1, -1));
      break;
    case DT_OP_BN_BWD:
      run_norm_gradient(m, instr);
      break;
    default:
      run_by_row(m, instr);
      break;
  }
}

static algebra run(const dt_program *program) {
  algebra m = {program, malloc((size_t)program->buffer_count * sizeof(int))};
  for (int b = 0; b < program->buffer_count; b++) m.value[b] = -1;
  for (int i = 0; i < program->micro_batch_end; i++) run_instr(&m, &program->instr[i]);
  return m;
}

static int find_gradient(const dt_program *program, const char *name) {
  for (int b = 0; b < program->buffer_count; b++) {
    if (program->buffer[b].kind == DT_BUF_GRAD && strcmp(program->buffer[b].name, name) == 0) return b;
  }
  return -1;
}

static void expect_same(const char *net, unsigned fusions, const dt_program *plain, const dt_program *fused) {
  expr_count = 0;
  algebra a = run(plain), b = run(fused);
  for (int g = 0; g < plain->buffer_count; g++) {
    if (plain->buffer[g].kind != DT_BUF_GRAD) continue;
    int other = find_gradient(fused, plain->buffer[g].name);
    if (other < 0 || a.value[g] != b.value[other]) {
      dt_program_print(fused, true, stderr);
      fail_msg("%s with fusions %x: %s differs", net, fusions, plain->buffer[g].name);
    }
  }
  assert_int_equal(a.value[root_of(plain, plain->logits)], b.value[root_of(fused, fused->logits)]);
  free(a.value);
  free(b.value);
}

static void fused_programs_compute_the_same(void **state) {
  for (int n = 0; n < NET_COUNT; n++) {
    for (unsigned fusions = 1; fusions < 64; fusions++) {
      fake_device without = fake_make(0, 0), with = fake_make(fusions, 0);
      for (int mode = DT_PROGRAM_TRAIN; mode <= DT_PROGRAM_PREDICT; mode++) {
        lowered plain = lower_net(&nets[n], &without.base, (dt_program_mode)mode, "");
        lowered fused = lower_net(&nets[n], &with.base, (dt_program_mode)mode, "");
        expect_same(nets[n].name, fusions, plain.program, fused.program);
        lowered_free(&plain);
        lowered_free(&fused);
      }
    }
  }
}

static int count_ops(const dt_program *program, dt_op op) {
  int count = 0;
  for (int i = 0; i < program->count; i++) count += program->instr[i].op == op;
  return count;
}

/* Nothing stands alone that could have been taken in. */
static void what_can_be_fused_is_fused(void **state) {
  fake_device device = fake_make(FAKE_FUSES_ALL, 0);
  lowered l = lower_net(&nets[4], &device.base, DT_PROGRAM_TRAIN, ""); /* resnet */
  assert_int_equal(count_ops(l.program, DT_OP_ACT_FWD), 0);
  assert_int_equal(count_ops(l.program, DT_OP_ACT_BWD), 0);
  assert_int_equal(count_ops(l.program, DT_OP_ADD), 0);
  lowered_free(&l);
  l = lower_net(&nets[3], &device.base, DT_PROGRAM_TRAIN, ""); /* conv-relu-pool */
  assert_int_equal(count_ops(l.program, DT_OP_POOL_FWD), 0);
  assert_int_equal(count_ops(l.program, DT_OP_ACT_FWD), 0);
  assert_int_equal(count_ops(l.program, DT_OP_ACT_BWD), 0);
  lowered_free(&l);
}

/* Where only batch normalisation takes masks in, the other side of a residual sum reads what it hands on. */
static bool only_norm_masks(const dt_device *device, dt_fusion fusion, const dt_instr *folded, const dt_instr *into) {
  return fusion == DT_FUSE_BACKWARD_MASK && into->op == DT_OP_BN_BWD;
}

static void masks_in_norm_hand_the_gradient_on(void **state) {
  dt_device_ops ops = fake_ops;
  ops.fuses = only_norm_masks;
  fake_device without = fake_make(0, 0), device = fake_make(0, 0);
  device.base.ops = &ops;
  for (int n = 0; n < NET_COUNT; n++) {
    lowered plain = lower_net(&nets[n], &without.base, DT_PROGRAM_TRAIN, "");
    lowered fused = lower_net(&nets[n], &device.base, DT_PROGRAM_TRAIN, "");
    expect_same(nets[n].name, 0, plain.program, fused.program);
    int handed = 0;
    for (int i = 0; i < fused.program->count; i++) handed += fused.program->instr[i].arg[DT_ARG_DADD] >= 0;
    if (n == 4) assert_int_equal(handed, 2);
    lowered_free(&plain);
    lowered_free(&fused);
  }
}

/* As the gpu device has it. */
static bool norms_and_sums_mask(const dt_device *device, dt_fusion fusion, const dt_instr *folded, const dt_instr *into) {
  return fusion != DT_FUSE_BACKWARD_MASK || into->op == DT_OP_BN_BWD || into->op == DT_OP_ADD;
}

/* Where a relu ends a batch normalisation nobody reads its output to mask by it, but where the device keeps no bits. */
static void masks_of_norms_are_bits(void **state) {
  dt_device_ops ops = fake_ops;
  ops.fuses = norms_and_sums_mask;
  fake_device device = fake_make(0, 0), without = fake_make(0, 0);
  device.base.ops = &ops;
  for (int n = 0; n < NET_COUNT; n++) {
    lowered plain = lower_net(&nets[n], &without.base, DT_PROGRAM_TRAIN, "");
    lowered l = lower_net(&nets[n], &device.base, DT_PROGRAM_TRAIN, "");
    expect_same(nets[n].name, 0, plain.program, l.program);
    int written = 0, read = 0;
    for (int i = 0; i < l.program->count; i++) {
      const dt_instr *instr = &l.program->instr[i];
      if (instr->arg[DT_ARG_BITS] < 0) continue;
      const dt_buffer *bits = &l.program->buffer[instr->arg[DT_ARG_BITS]];
      written += instr->op == DT_OP_BN_FWD;
      read += instr->op != DT_OP_BN_FWD;
      assert_int_equal(bits->kind, DT_BUF_BITS);
      assert_int_equal(dt_shape_channels(&bits->shape) % 4, 0);
    }
    if (n == 4) assert_int_equal(written, 5); /* resnet, of 4 and 8 channels */
    if (n == 4) assert_int_equal(read, 5);
    lowered_free(&plain);
    lowered_free(&l);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(fused_programs_compute_the_same),
      cmocka_unit_test(what_can_be_fused_is_fused),
      cmocka_unit_test(masks_in_norm_hand_the_gradient_on),
      cmocka_unit_test(masks_of_norms_are_bits),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Fusion: one table of rewrites over the micro-batch section, each a row that says which instruction it takes away, into which
 * it goes, and which ability of the device it needs. Rows are tried in the order of the table, each over the whole section,
 * until none applies any more.
 *
 * But for the last rows a rewrite folds a consumer into the producer of what it reads, so the value between the two is never
 * written. That is allowed where nobody else reads that value. Views (flatten) do not stand in the way: elementwise work does
 * not see shapes. */
#include <stdlib.h>

#include "core/program/lowering.h"

typedef struct fuser {
  dt_builder *b;
  dt_instr *instr;
  int count;
  int *readers; /* [buffers] how many args read the root */
  int *writer;  /* [buffers] the instruction that writes the root; CONCAT: the last one */
  bool *gone;   /* [count] folded into another instruction */
} fuser;

typedef struct rewrite {
  const char *name;
  dt_fusion needs; /* of the device */
  dt_op takes;     /* the instruction that disappears; of mask bits, that reads them */
  uint64_t into;   /* the instructions that may take it in: bits by op; of mask bits, that write them */
  bool (*apply)(fuser *f, const struct rewrite *row, int i);
} rewrite;

#define OP(name) (UINT64_C(1) << DT_OP_##name)
_Static_assert(DT_OP_COUNT <= 64, "a set of ops is one word");

/* --- who reads and writes what --- */

static int root_of(const fuser *f, int buffer) {
  return dt_buffer_root(f->b->program, buffer);
}

static bool reads(const dt_instr *instr, int a) {
  return instr->arg[a] >= 0 && (dt_op_infos[instr->op].reads & (1u << a));
}

static bool writes(const dt_instr *instr, int a) {
  return instr->arg[a] >= 0 && (dt_op_infos[instr->op].writes & (1u << a));
}

static void count_reads(fuser *f, const dt_instr *instr, int by) {
  for (int a = 0; a < DT_ARG_COUNT; a++) {
    if (reads(instr, a)) f->readers[root_of(f, instr->arg[a])] += by;
  }
}

static void note_writes(fuser *f, int i) {
  for (int a = 0; a < DT_ARG_COUNT; a++) {
    if (writes(&f->instr[i], a)) f->writer[root_of(f, f->instr[i].arg[a])] = i;
  }
}

/* Changes to instructions stand between begin_edit and end_edit, so that the counts stay right. */
static void begin_edit(fuser *f, int i) {
  count_reads(f, &f->instr[i], -1);
}

static void end_edit(fuser *f, int i) {
  count_reads(f, &f->instr[i], 1);
  note_writes(f, i);
}

static void remove_instr(fuser *f, int i) {
  f->gone[i] = true;
}

/* The instruction that made `buffer`, when the row may fold instruction i into it and nobody else reads the buffer; else -1. */
static int producer(const fuser *f, const rewrite *row, int i, int buffer) {
  int root = root_of(f, buffer), p = f->writer[root];
  if (p < 0 || f->readers[root] != 1 || !(row->into >> f->instr[p].op & 1)) return -1;
  return f->b->device->ops->fuses(f->b->device, row->needs, &f->instr[i], &f->instr[p]) ? p : -1;
}

/* The producer p writes `to` in place of `from`, which the folded instruction read. Where `from` is a view of what p writes, p
 * goes on writing that, and `to` becomes a view of it. */
static void hand_over_output(fuser *f, int p, dt_arg out, int from, int to) {
  dt_buffer *buffer = f->b->program->buffer;
  int written = f->instr[p].arg[out];
  if (written == from) {
    f->instr[p].arg[out] = to;
    return;
  }
  buffer[to].alias_of = written;
  f->readers[written] += f->readers[to];
  f->readers[to] = 0;
}

static bool has_pool(const dt_instr *instr) {
  return instr->op == DT_OP_CONV_FWD && instr->conv.pool.window.kernel[0] > 0;
}

static dt_arg output_arg(dt_op op) {
  return dt_op_infos[op].writes & DT_BIT(Y) ? DT_ARG_Y : DT_ARG_DX;
}

/* --- the rewrites --- */

/* ADD(x, addend) into the producer of the one that is made last; the other must then exist already. */
static bool fold_add_operand(fuser *f, const rewrite *row, int i, dt_arg operand, dt_arg other) {
  dt_instr *add = &f->instr[i];
  int from = add->arg[operand], addend = add->arg[other];
  int p = producer(f, row, i, from);
  if (p < 0 || f->writer[root_of(f, addend)] >= p) return false;
  dt_instr *into = &f->instr[p];
  /* A sum comes before activation and mask, so what has one of them already cannot take the sum in. */
  if (into->arg[DT_ARG_ADDEND] >= 0 || into->arg[DT_ARG_MASK] >= 0 || into->act.kind != DT_ACT_NONE || has_pool(into))
    return false;
  begin_edit(f, i);
  begin_edit(f, p);
  into->arg[DT_ARG_ADDEND] = addend;
  into->arg[DT_ARG_MASK] = add->arg[DT_ARG_MASK];
  into->act = add->act;
  hand_over_output(f, p, output_arg(into->op), from, add->arg[DT_ARG_Y]);
  remove_instr(f, i);
  end_edit(f, p);
  return true;
}

static bool fold_add(fuser *f, const rewrite *row, int i) {
  if (f->instr[i].arg[DT_ARG_MASK] >= 0 || f->instr[i].act.kind != DT_ACT_NONE) return false;
  return fold_add_operand(f, row, i, DT_ARG_X, DT_ARG_ADDEND) || fold_add_operand(f, row, i, DT_ARG_ADDEND, DT_ARG_X);
}

static bool fold_act(fuser *f, const rewrite *row, int i) {
  const dt_instr *act = &f->instr[i];
  int from = act->arg[DT_ARG_X], p = producer(f, row, i, from);
  if (p < 0) return false;
  dt_instr *into = &f->instr[p];
  if (into->act.kind != DT_ACT_NONE || has_pool(into)) return false;
  begin_edit(f, i);
  begin_edit(f, p);
  into->act = act->act;
  hand_over_output(f, p, DT_ARG_Y, from, act->arg[DT_ARG_Y]);
  remove_instr(f, i);
  end_edit(f, p);
  return true;
}

static bool fold_mask(fuser *f, const rewrite *row, int i) {
  const dt_instr *act = &f->instr[i];
  int from = act->arg[DT_ARG_DY], p = producer(f, row, i, from);
  if (p < 0) return false;
  dt_instr *into = &f->instr[p];
  if (into->arg[DT_ARG_MASK] >= 0 || into->act.kind != DT_ACT_NONE) return false;
  begin_edit(f, i);
  begin_edit(f, p);
  into->act = act->act;
  into->arg[DT_ARG_MASK] = act->arg[DT_ARG_MASK];
  hand_over_output(f, p, output_arg(into->op), from, act->arg[DT_ARG_DX]);
  remove_instr(f, i);
  end_edit(f, p);
  return true;
}

static int first_reader_after(const fuser *f, int i, int root) {
  for (int r = i + 1; r < f->count; r++) {
    if (f->gone[r]) continue;
    for (int a = 0; a < DT_ARG_COUNT; a++) {
      if (reads(&f->instr[r], a) && root_of(f, f->instr[r].arg[a]) == root) return r;
    }
  }
  return -1;
}

/* ACT_BWD into the BN_BWD that reads its result first. Other readers (the other side of a residual sum) get it as DADD. */
static bool fold_mask_into_norm(fuser *f, const rewrite *row, int i) {
  const dt_instr *act = &f->instr[i];
  int masked = act->arg[DT_ARG_DX];
  int r = first_reader_after(f, i, root_of(f, masked));
  if (r < 0 || !(row->into >> f->instr[r].op & 1) || f->instr[r].arg[DT_ARG_DY] != masked) return false;
  dt_instr *norm = &f->instr[r];
  const bool masked_already = norm->arg[DT_ARG_MASK] >= 0 || norm->arg[DT_ARG_BITS] >= 0;
  if (masked_already || !f->b->device->ops->fuses(f->b->device, row->needs, act, norm)) return false;
  begin_edit(f, i);
  begin_edit(f, r);
  norm->act = act->act;
  norm->arg[DT_ARG_MASK] = act->arg[DT_ARG_MASK];
  norm->arg[DT_ARG_DY] = act->arg[DT_ARG_DY];
  if (f->readers[root_of(f, masked)] > 0) norm->arg[DT_ARG_DADD] = masked;
  remove_instr(f, i);
  end_edit(f, r);
  return true;
}

static bool is_two_by_two_max(const dt_pool_op *pool) {
  const dt_window *w = &pool->window;
  for (int axis = 0; axis < 2; axis++) {
    if (w->kernel[axis] != 2 || w->stride[axis] != 2 || w->pad[axis] != 0) return false;
  }
  return !pool->average;
}

/* The ACT_BWD that reads y as its mask and follows the POOL_BWD of this argmax alone; -1 when backward is not of that form.
 */
static int masked_unpooling(const fuser *f, int y, int argmax) {
  for (int m = 0; m < f->count; m++) {
    const dt_instr *act = &f->instr[m];
    if (f->gone[m] || act->op != DT_OP_ACT_BWD || act->arg[DT_ARG_MASK] != y) continue;
    if (dt_act_infos[act->act.kind].from_x) return -1; /* y is not what comes out of it */
    int dy = act->arg[DT_ARG_DY], k = f->writer[root_of(f, dy)];
    bool alone = f->readers[root_of(f, dy)] == 1 && k >= 0 && f->instr[k].op == DT_OP_POOL_BWD;
    return alone && f->instr[k].arg[DT_ARG_AUX] == argmax && f->instr[k].arg[DT_ARG_DX] == dy ? m : -1;
  }
  return -1;
}

/* The activation's derivative at the argmax is that at the pooled value, and elsewhere there is no gradient, so the mask can be
 * taken before the gradient is spread: POOL_BWD then ACT_BWD becomes ACT_BWD on pooled shapes, then POOL_BWD. */
static void mask_before_unpooling(fuser *f, int m, int pooled) {
  dt_instr *second = &f->instr[m];
  int k = f->writer[root_of(f, second->arg[DT_ARG_DY])];
  dt_instr *first = &f->instr[k];
  begin_edit(f, m);
  begin_edit(f, k);
  dt_instr unpool = *first, act = *second;
  int between = act.arg[DT_ARG_DY];
  f->b->program->buffer[between].shape = f->b->program->buffer[pooled].shape;
  act.arg[DT_ARG_DY] = unpool.arg[DT_ARG_DY];
  act.arg[DT_ARG_MASK] = pooled;
  unpool.arg[DT_ARG_DX] = act.arg[DT_ARG_DX];
  unpool.arg[DT_ARG_DY] = between;
  act.arg[DT_ARG_DX] = between;
  *first = act;
  *second = unpool;
  end_edit(f, k);
  end_edit(f, m);
}

static bool fold_pool(fuser *f, const rewrite *row, int i) {
  const dt_instr *pool = &f->instr[i];
  int y = pool->arg[DT_ARG_X], p = f->writer[root_of(f, y)], mask_at = -1;
  if (p < 0 || f->instr[p].arg[DT_ARG_Y] != y || !(row->into >> f->instr[p].op & 1)) return false;
  dt_instr *into = &f->instr[p];
  if (!is_two_by_two_max(&pool->pool) || has_pool(into) || into->arg[DT_ARG_ADDEND] >= 0) return false;
  if (!f->b->device->ops->fuses(f->b->device, row->needs, pool, into)) return false;
  if (f->readers[y] == 2) mask_at = masked_unpooling(f, y, pool->arg[DT_ARG_AUX]);
  if (f->readers[y] != 1 && mask_at < 0) return false;
  if (mask_at >= 0) mask_before_unpooling(f, mask_at, pool->arg[DT_ARG_Y]);
  begin_edit(f, i);
  begin_edit(f, p);
  into->conv.pool = pool->pool;
  into->arg[DT_ARG_AUX] = pool->arg[DT_ARG_AUX];
  into->arg[DT_ARG_Y] = pool->arg[DT_ARG_Y];
  remove_instr(f, i);
  end_edit(f, p);
  return true;
}

/* A relu's mask as bits, where a batch normalisation ends in the relu: it writes them beside its output, and what masks by the
 * output reads a sixteenth of it or less. */
static bool fold_mask_bits(fuser *f, const rewrite *row, int i) {
  const int mask = f->instr[i].arg[DT_ARG_MASK];
  const dt_device_ops *device = f->b->device->ops;
  if (mask < 0 || f->instr[i].act.kind != DT_ACT_RELU) return false;
  const int p = f->writer[root_of(f, mask)];
  if (p < 0 || !(row->into >> f->instr[p].op & 1) || f->instr[p].act.kind != DT_ACT_RELU) return false;
  const dt_buffer *y = &f->b->program->buffer[root_of(f, mask)];
  if (!device->fuses(f->b->device, row->needs, &f->instr[p], &f->instr[i])) return false;
  if (device->buffer_bytes(f->b->device, DT_BUF_BITS, &y->shape, 1, 1) == 0) return false;
  begin_edit(f, p);
  begin_edit(f, i);
  if (f->instr[p].arg[DT_ARG_BITS] < 0) f->instr[p].arg[DT_ARG_BITS] = dt_builder_new_bits(f->b, root_of(f, mask));
  f->instr[i].arg[DT_ARG_BITS] = f->instr[p].arg[DT_ARG_BITS];
  f->instr[i].arg[DT_ARG_MASK] = -1;
  end_edit(f, p);
  end_edit(f, i);
  return true;
}

static const rewrite rewrites[] = {
    {"sum into layer", DT_FUSE_FORWARD_ADD, DT_OP_ADD, OP(CONV_FWD) | OP(LINEAR_FWD) | OP(BN_FWD) | OP(BN_EVAL), fold_add},
    {"activation into layer", DT_FUSE_FORWARD_ACT, DT_OP_ACT_FWD,
     OP(CONV_FWD) | OP(LINEAR_FWD) | OP(ADD_BIAS) | OP(BN_FWD) | OP(BN_EVAL) | OP(ADD), fold_act},
    {"pool into convolution", DT_FUSE_CONV_POOL, DT_OP_POOL_FWD, OP(CONV_FWD), fold_pool},
    {"sum into gradient", DT_FUSE_BACKWARD_ADD, DT_OP_ADD,
     OP(CONV_DGRAD) | OP(LINEAR_DGRAD) | OP(POOL_BWD) | OP(DROPOUT_BWD) | OP(SLICE), fold_add},
    {"mask into gradient", DT_FUSE_BACKWARD_MASK, DT_OP_ACT_BWD,
     OP(CONV_DGRAD) | OP(LINEAR_DGRAD) | OP(POOL_BWD) | OP(DROPOUT_BWD) | OP(SLICE) | OP(ADD), fold_mask},
    {"mask into norm", DT_FUSE_BACKWARD_MASK, DT_OP_ACT_BWD, OP(BN_BWD), fold_mask_into_norm},
    {"bits for a norm's mask", DT_FUSE_MASK_BITS, DT_OP_BN_BWD, OP(BN_FWD), fold_mask_bits},
    {"bits for a sum's mask", DT_FUSE_MASK_BITS, DT_OP_ADD, OP(BN_FWD), fold_mask_bits},
};

static bool apply_row(fuser *f, const rewrite *row) {
  bool any = false;
  for (int i = 0; i < f->count; i++) {
    if (!f->gone[i] && f->instr[i].op == row->takes) any |= row->apply(f, row, i);
  }
  return any;
}

static void apply_rows(fuser *f) {
  for (bool any = true; any;) {
    any = false;
    for (size_t r = 0; r < sizeof rewrites / sizeof *rewrites; r++) any |= apply_row(f, &rewrites[r]);
  }
}

/* --- what is left --- */

static void drop_instrs(fuser *f) {
  int kept = 0;
  for (int i = 0; i < f->count; i++) {
    if (!f->gone[i]) f->instr[kept++] = f->instr[i];
  }
  f->b->micro.count = kept;
}

static void mark_used(const dt_builder *b, const dt_instr_list *list, bool *used) {
  for (int i = 0; i < list->count; i++) {
    for (int a = 0; a < DT_ARG_COUNT; a++) {
      int id = list->item[i].arg[a];
      if (id < 0) continue;
      used[id] = true;
      used[dt_buffer_root(b->program, id)] = true;
    }
  }
}

static void renumber_list(dt_instr_list *list, const int *id) {
  for (int i = 0; i < list->count; i++) {
    for (int a = 0; a < DT_ARG_COUNT; a++) {
      if (list->item[i].arg[a] >= 0) list->item[i].arg[a] = id[list->item[i].arg[a]];
    }
  }
}

static void renumber_params(dt_builder *b, const int *id) {
  for (int p = 0; p < b->graph->param_count; p++) {
    if (b->param[p].gradient >= 0) b->param[p].gradient = id[b->param[p].gradient];
  }
}

/* Views are flattened to their root on the way, so that later steps need one look. */
static void renumber_buffers(dt_builder *b, const bool *used, int *id) {
  dt_program *program = b->program;
  int kept = 0;
  for (int i = 0; i < program->buffer_count; i++) {
    if (program->buffer[i].alias_of >= 0) program->buffer[i].alias_of = dt_buffer_root(program, i);
  }
  for (int i = 0; i < program->buffer_count; i++) id[i] = used[i] ? kept++ : -1;
  for (int i = 0; i < program->buffer_count; i++) {
    if (!used[i]) continue;
    program->buffer[id[i]] = program->buffer[i];
    if (program->buffer[id[i]].alias_of >= 0) program->buffer[id[i]].alias_of = id[program->buffer[id[i]].alias_of];
  }
  program->buffer_count = kept;
  renumber_list(&b->micro, id);
  renumber_list(&b->step, id);
  renumber_list(&b->additions, id);
  renumber_params(b, id);
  program->logits = id[program->logits];
}

static dt_status drop_buffers(dt_builder *b) {
  bool *used = NULL;
  int *id = NULL;
  dt_status status = dt_alloc((size_t)b->program->buffer_count, sizeof *used, &used);
  if (status == DT_OK) status = dt_alloc((size_t)b->program->buffer_count, sizeof *id, &id);
  if (status == DT_OK) {
    mark_used(b, &b->micro, used);
    mark_used(b, &b->step, used);
    mark_used(b, &b->additions, used);
    renumber_buffers(b, used, id);
  }
  free(used);
  free(id);
  return status;
}

static dt_status fuser_init(fuser *f, dt_builder *b) {
  /* Bits that a rewrite makes are one more buffer of an instruction at most. */
  const size_t buffers = (size_t)(b->program->buffer_count + b->micro.count);
  *f = (fuser){.b = b, .instr = b->micro.item, .count = b->micro.count};
  DT_TRY(dt_alloc(buffers, sizeof *f->readers, &f->readers));
  DT_TRY(dt_alloc(buffers, sizeof *f->writer, &f->writer));
  DT_TRY(dt_alloc((size_t)f->count, sizeof *f->gone, &f->gone));
  for (size_t i = 0; i < buffers; i++) f->writer[i] = -1;
  for (int i = 0; i < f->count; i++) end_edit(f, i);
  /* The output is read when the micro-batch is over. */
  f->readers[root_of(f, b->program->logits)]++;
  return DT_OK;
}

static void fuser_free(fuser *f) {
  free(f->readers);
  free(f->writer);
  free(f->gone);
}

dt_status dt_fuse(dt_builder *b) {
  fuser f;
  dt_status status = fuser_init(&f, b);
  if (status == DT_OK) {
    apply_rows(&f);
    drop_instrs(&f);
    status = b->status;
  }
  fuser_free(&f);
  DT_TRY(status);
  return drop_buffers(b);
}

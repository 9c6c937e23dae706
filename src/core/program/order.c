#include "core/program/order.h"

#include <stdlib.h>
#include <string.h>

#include "core/program/lowering.h"

/* A stretch of memory that an instruction uses. Spaces are apart from each other. */
typedef struct stretch {
  enum { ARENA, PARAM, GRAD, STATE } space;
  int64_t first, end; /* bytes of the arena, elements of a flat block */
  bool written;
} stretch;

enum { STRETCHES = DT_ARG_COUNT + 2 };

typedef struct usage {
  stretch part[STRETCHES];
  int count;
} usage;

static void use(usage *u, int space, int64_t first, int64_t count, bool written) {
  if (count > 0) u->part[u->count++] = (stretch){.space = space, .first = first, .end = first + count, .written = written};
}

static void use_argument(const dt_program *program, const dt_instr *instr, int a, usage *u) {
  static const int space[] = {
      [DT_BUF_VALUE] = ARENA, [DT_BUF_INDEX] = ARENA,  [DT_BUF_BITS] = ARENA,  [DT_BUF_TERMS] = ARENA, [DT_BUF_SHARD] = ARENA,
      [DT_BUF_WORK] = ARENA,  [DT_BUF_TENSOR] = ARENA, [DT_BUF_PARAM] = PARAM, [DT_BUF_GRAD] = GRAD,   [DT_BUF_STATE] = STATE};
  const dt_buffer *buffer = &program->buffer[dt_buffer_root(program, instr->arg[a])];
  if (buffer->kind == DT_BUF_FIELD) return; /* no instruction writes it */
  bool flat = space[buffer->kind] != ARENA;
  bool written = a == DT_ARG_WORK || (dt_op_infos[instr->op].writes >> a & 1);
  use(u, space[buffer->kind], buffer->offset, flat ? dt_shape_count(&buffer->shape) : (int64_t)buffer->bytes, written);
}

/* What the instructions on buckets use besides their args. */
static void use_bucket(const dt_program *program, const dt_instr *instr, dt_reducing reducing, usage *u) {
  const int index = dt_instr_bucket(instr);
  const dt_bucket *bucket = index >= 0 ? &program->bucket[index] : NULL;
  switch (instr->op) {
    case DT_OP_REDUCE_BEGIN:
      if (reducing != DT_REDUCING_NOTHING) use(u, GRAD, bucket->first, bucket->count, true);
      break;
    case DT_OP_REDUCE_END:
      if (reducing == DT_REDUCING_SPANS) use(u, GRAD, bucket->first, bucket->count, true);
      break;
    case DT_OP_COMBINE:
    case DT_OP_ACCUMULATE:
      use(u, GRAD, bucket->first, bucket->count, true);
      break;
    case DT_OP_TENSOR_NORM:
      use(u, PARAM, 0, program->trained_elements, false);
      /* fall through */
    case DT_OP_GRAD_NORM:
      use(u, GRAD, 0, program->trained_elements, false);
      break;
    case DT_OP_ASCEND:
      use(u, GRAD, 0, program->trained_elements, false);
      /* fall through */
    case DT_OP_RETURN:
      use(u, PARAM, 0, program->trained_elements, true);
      break;
    case DT_OP_PENALTY:
    case DT_OP_CLIP_UNITS:
    case DT_OP_DIRECTION:
    case DT_OP_ORTHOGONALISE:
      use(u, PARAM, 0, program->trained_elements, false);
      use(u, GRAD, 0, program->trained_elements, true);
      break;
    case DT_OP_MAX_NORM:
      use(u, PARAM, 0, program->trained_elements, true);
      break;
    case DT_OP_UPDATE:
      use(u, GRAD, bucket->first, bucket->param_count, false);
      use(u, PARAM, bucket->first, bucket->param_count, true);
      break;
    default:
      break;
  }
}

static usage usage_of(const dt_program *program, const dt_instr *instr, dt_reducing reducing) {
  usage u = {.count = 0};
  for (int a = 0; a < DT_ARG_COUNT; a++) {
    if (instr->arg[a] >= 0) use_argument(program, instr, a, &u);
  }
  use_bucket(program, instr, reducing, &u);
  return u;
}

static bool conflict(const usage *a, const usage *b) {
  for (int i = 0; i < a->count; i++) {
    for (int k = 0; k < b->count; k++) {
      const stretch *x = &a->part[i], *y = &b->part[k];
      if (x->space == y->space && (x->written || y->written) && x->first < y->end && y->first < x->end) return true;
    }
  }
  return false;
}

/* behind[s][t]: the last instruction of stream t that stream s is known to come after; -1 = none. Waiting for instruction j of
 * stream t puts a stream behind all that j was behind. */
typedef struct sweep {
  const dt_program *program;
  dt_order *order;
  usage *used;                        /* [count] */
  int (*known)[DT_STREAMS];           /* [count] what instruction i is behind, itself included */
  int behind[DT_STREAMS][DT_STREAMS]; /* what each stream is behind now */
  int last[DT_STREAMS];               /* its last instruction that uses any memory */
} sweep;

static void come_after(sweep *w, int stream, int i) {
  for (int t = 0; t < DT_STREAMS; t++) {
    if (w->known[i][t] > w->behind[stream][t]) w->behind[stream][t] = w->known[i][t];
  }
}

static int event_after(sweep *w, int i) {
  if (w->order->record[i] < 0) w->order->record[i] = w->order->events++;
  return w->order->record[i];
}

/* The last instruction of stream t, before i, that i conflicts with and its stream is not behind yet; -1 = none. */
static int find_conflict(const sweep *w, int i, int t) {
  const dt_instr *instr = w->program->instr;
  for (int j = i - 1; j > w->behind[instr[i].stream][t]; j--) {
    if ((int)instr[j].stream == t && conflict(&w->used[i], &w->used[j])) return j;
  }
  return -1;
}

/* Whether waiting for another of the conflicts puts a stream behind the one on stream t as well. */
static bool is_implied(const sweep *w, const int *found, int t) {
  for (int u = 0; u < DT_STREAMS; u++) {
    if (u != t && found[u] >= 0 && w->known[found[u]][t] >= found[t]) return true;
  }
  return false;
}

static void visit(sweep *w, int i) {
  int stream = (int)w->program->instr[i].stream, found[DT_STREAMS];
  for (int t = 0; t < DT_STREAMS; t++) found[t] = t == stream ? -1 : find_conflict(w, i, t);
  for (int t = 0; t < DT_STREAMS; t++) {
    bool wait = found[t] >= 0 && !is_implied(w, found, t);
    w->order->wait[i][t] = wait ? event_after(w, found[t]) : -1;
  }
  for (int t = 0; t < DT_STREAMS; t++) {
    if (found[t] >= 0) come_after(w, stream, found[t]);
  }
  w->behind[stream][stream] = i;
  if (w->used[i].count > 0) w->last[stream] = i;
  for (int t = 0; t < DT_STREAMS; t++) w->known[i][t] = w->behind[stream][t];
}

/* Also where another stream that the compute stream waits for implies it: not all of those do their part in every micro-batch.
 */
static void end_micro_batch(sweep *w) {
  const int last = w->last[DT_STREAM_SIDE];
  w->order->side_end = last >= 0 ? event_after(w, last) : -1;
  if (last >= 0) come_after(w, DT_STREAM_COMPUTE, last);
}

/* What partial batches alone do is left out by the others, which know nothing of it. */
static void step_section(sweep *w) {
  const dt_program *program = w->program;
  int behind[DT_STREAMS][DT_STREAMS], last[DT_STREAMS];
  for (int i = program->micro_batch_end; i < program->partial_begin; i++) visit(w, i);
  memcpy(behind, w->behind, sizeof behind);
  memcpy(last, w->last, sizeof last);
  for (int i = program->partial_begin; i < program->update_begin; i++) visit(w, i);
  for (int i = program->partial_begin; i < program->update_begin; i++) w->used[i].count = 0;
  memcpy(w->behind, behind, sizeof behind);
  memcpy(w->last, last, sizeof last);
  for (int i = program->update_begin; i < program->count; i++) visit(w, i);
}

static void join_streams(sweep *w) {
  for (int t = 0; t < DT_STREAMS; t++) {
    bool open = t != DT_STREAM_COMPUTE && w->last[t] > w->behind[DT_STREAM_COMPUTE][t];
    w->order->join[t] = open ? event_after(w, w->last[t]) : -1;
  }
}

static dt_status allocate(const dt_program *program, sweep *w) {
  size_t count = (size_t)program->count;
  DT_TRY(dt_alloc(1, sizeof *w->order, &w->order));
  DT_TRY(dt_alloc(count, sizeof *w->order->record, &w->order->record));
  DT_TRY(dt_alloc(count, sizeof *w->order->wait, &w->order->wait));
  DT_TRY(dt_alloc(count, sizeof *w->used, &w->used));
  return dt_alloc(count, sizeof *w->known, &w->known);
}

dt_status dt_order_create(const dt_program *program, dt_reducing reducing, dt_order **out) {
  sweep w = {.program = program};
  dt_status status = allocate(program, &w);
  if (status == DT_OK) {
    for (int s = 0; s < DT_STREAMS; s++) {
      w.last[s] = -1;
      for (int t = 0; t < DT_STREAMS; t++) w.behind[s][t] = -1;
    }
    for (int i = 0; i < program->count; i++) {
      w.order->record[i] = -1;
      w.used[i] = usage_of(program, &program->instr[i], reducing);
    }
    for (int i = 0; i < program->micro_batch_end; i++) visit(&w, i);
    end_micro_batch(&w);
    step_section(&w);
    join_streams(&w);
  }
  free(w.used);
  free(w.known);
  if (status != DT_OK) dt_order_destroy(&w.order);
  *out = w.order;
  return status;
}

void dt_order_destroy(dt_order **order) {
  if (*order == NULL) return;
  free((*order)->record);
  free((*order)->wait);
  free(*order);
  *order = NULL;
}

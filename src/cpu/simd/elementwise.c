/* Kernels without sums: activations, additions, joins. They are bound by memory, so threads get pieces that fit into L1. */
#include "cpu/simd/common.h"

enum { PIECE = 512 }; /* vectors */

typedef struct elements {
  float *out;
  const float *in, *addend, *mask;
  int64_t vectors;
  dt_act act;
} elements;

static int pieces(int64_t vectors) {
  return (int)((vectors + PIECE - 1) / PIECE);
}

static int64_t piece_end(const elements *e, int index) {
  int64_t end = ((int64_t)index + 1) * PIECE;
  return end < e->vectors ? end : e->vectors;
}

/* Where nothing is added, each function has a loop of its own. */
static void forward_piece(void *context, int index, int thread) {
  const elements *e = context;
  const int64_t first = (int64_t)index * PIECE, end = piece_end(e, index);
  switch (e->addend == NULL ? e->act.kind : DT_ACT_COUNT) {
#define DT_FUNCTION_ROW(NAME, name, at, params, doc)                                                                      \
  case DT_ACT_##NAME:                                                                                                     \
    for (int64_t i = first; i < end; i++) v16_store(e->out + i * 16, name##_value(v16_load(e->in + i * 16), e->act.param)); \
    break;
#include "core/functions/functions.def"
#undef DT_FUNCTION_ROW
    case DT_ACT_NONE:
    case DT_ACT_COUNT:
      for (int64_t i = first; i < end; i++) {
        v16_store(e->out + i * 16, forward_finish(&e->act, v16_load(e->in + i * 16), at(e->addend, i * 16)));
      }
      break;
  }
}

static void backward_piece(void *context, int index, int thread) {
  const elements *e = context;
  const int64_t first = (int64_t)index * PIECE, end = piece_end(e, index);
  switch (e->addend == NULL && e->mask != NULL ? e->act.kind : DT_ACT_COUNT) {
#define DT_FUNCTION_ROW(NAME, name, at, params, doc)                                                      \
  case DT_ACT_##NAME:                                                                                     \
    for (int64_t i = first; i < end; i++) {                                                               \
      v16 g = v16_load(e->in + i * 16);                                                                   \
      v16_store(e->out + i * 16, name##_gradient(g, v16_load(e->mask + i * 16), e->act.param));           \
    }                                                                                                     \
    break;
#include "core/functions/functions.def"
#undef DT_FUNCTION_ROW
    case DT_ACT_NONE:
    case DT_ACT_COUNT:
      for (int64_t i = first; i < end; i++) {
        v16 g = gradient_finish(&e->act, v16_load(e->in + i * 16), at(e->addend, i * 16), at(e->mask, i * 16));
        v16_store(e->out + i * 16, g);
      }
      break;
  }
}

dt_status DT_SIMD(dt_cpu_act_fwd)(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  elements e = {.out = dt_cpu_arg(run, instr, micro, DT_ARG_Y), .in = dt_cpu_arg(run, instr, micro, DT_ARG_X), .act = instr->act};
  e.vectors = arg_count(run, instr, DT_ARG_Y) * micro_batch_blocks(run, micro);
  dt_threads_run(run_threads(run), pieces(e.vectors), forward_piece, &e);
  return DT_OK;
}

dt_status DT_SIMD(dt_cpu_act_bwd)(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  elements e = {.out = dt_cpu_arg(run, instr, micro, DT_ARG_DX),
                .in = dt_cpu_arg(run, instr, micro, DT_ARG_DY),
                .addend = dt_cpu_arg(run, instr, micro, DT_ARG_ADDEND),
                .mask = dt_cpu_arg(run, instr, micro, DT_ARG_MASK),
                .act = instr->act};
  e.vectors = arg_count(run, instr, DT_ARG_DX) * micro_batch_blocks(run, micro);
  dt_threads_run(run_threads(run), pieces(e.vectors), backward_piece, &e);
  return DT_OK;
}

/* With a mask the sum is a gradient: act names the derivative. Without, act is applied. */
dt_status DT_SIMD(dt_cpu_add)(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  elements e = {.out = dt_cpu_arg(run, instr, micro, DT_ARG_Y),
                .in = dt_cpu_arg(run, instr, micro, DT_ARG_X),
                .addend = dt_cpu_arg(run, instr, micro, DT_ARG_ADDEND),
                .mask = dt_cpu_arg(run, instr, micro, DT_ARG_MASK),
                .act = instr->act};
  e.vectors = arg_count(run, instr, DT_ARG_Y) * micro_batch_blocks(run, micro);
  dt_threads_run(run_threads(run), pieces(e.vectors), e.mask != NULL ? backward_piece : forward_piece, &e);
  return DT_OK;
}

/* A block of vectors and their bias. */
typedef struct biased {
  float *out;
  const float *in, *bias;
  int64_t count;
  dt_act act;
} biased;

static void bias_block(void *context, int index, int thread) {
  const biased *e = context;
  int64_t first = index * e->count * 16;
  for (int64_t i = 0; i < e->count; i++) {
    v16 a = v16_add(v16_load(e->in + first + i * 16), v16_set1(e->bias[i]));
    v16_store(e->out + first + i * 16, forward_finish(&e->act, a, NULL));
  }
}

dt_status DT_SIMD(dt_cpu_add_bias)(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  biased e = {.out = dt_cpu_arg(run, instr, micro, DT_ARG_Y),
              .in = dt_cpu_arg(run, instr, micro, DT_ARG_X),
              .bias = dt_cpu_arg(run, instr, micro, DT_ARG_B),
              .count = arg_count(run, instr, DT_ARG_Y),
              .act = instr->act};
  dt_threads_run(run_threads(run), micro_batch_blocks(run, micro), bias_block, &e);
  return DT_OK;
}

typedef struct factors {
  float *out;
  const float *x, *factor;
  int64_t vectors;
} factors;

static void multiply_piece(void *context, int index, int thread) {
  const factors *f = context;
  int64_t first = (int64_t)index * PIECE, end = first + PIECE < f->vectors ? first + PIECE : f->vectors;
  for (int64_t i = first * 16; i < end * 16; i += 16)
    v16_store(f->out + i, v16_mul(v16_load(f->x + i), v16_load(f->factor + i)));
}

dt_status DT_SIMD(dt_cpu_multiply)(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  factors f = {.out = dt_cpu_arg(run, instr, micro, DT_ARG_Y),
               .x = dt_cpu_arg(run, instr, micro, DT_ARG_X),
               .factor = dt_cpu_arg(run, instr, micro, DT_ARG_FACTOR),
               .vectors = arg_count(run, instr, DT_ARG_Y) * micro_batch_blocks(run, micro)};
  dt_threads_run(run_threads(run), pieces(f.vectors), multiply_piece, &f);
  return DT_OK;
}

/* The channels of one tensor inside another, block by block. */
typedef struct join {
  float *out;
  const float *in, *addend, *mask;
  int64_t vectors;              /* copied per block */
  int64_t out_stride, in_stride; /* floats between blocks */
  dt_act act;
} join;

static void join_block(void *context, int index, int thread) {
  const join *j = context;
  elements e = {.out = j->out + index * j->out_stride,
                .in = j->in + index * j->in_stride,
                .addend = at(j->addend, index * j->out_stride),
                .mask = at(j->mask, index * j->out_stride),
                .vectors = j->vectors,
                .act = j->act};
  for (int piece = 0; piece < pieces(e.vectors); piece++) backward_piece(&e, piece, thread);
}

dt_status DT_SIMD(dt_cpu_concat)(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  int64_t in = arg_count(run, instr, DT_ARG_X), out = arg_count(run, instr, DT_ARG_Y);
  int64_t first = instr->channel * dt_shape_inner(arg_shape(run, instr, DT_ARG_Y));
  join j = {.out = dt_cpu_arg(run, instr, micro, DT_ARG_Y) + first * 16,
            .in = dt_cpu_arg(run, instr, micro, DT_ARG_X),
            .vectors = in,
            .out_stride = out * 16,
            .in_stride = in * 16};
  dt_threads_run(run_threads(run), micro_batch_blocks(run, micro), join_block, &j);
  return DT_OK;
}

dt_status DT_SIMD(dt_cpu_slice)(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  int64_t in = arg_count(run, instr, DT_ARG_DY), out = arg_count(run, instr, DT_ARG_DX);
  int64_t first = instr->channel * dt_shape_inner(arg_shape(run, instr, DT_ARG_DY));
  join j = {.out = dt_cpu_arg(run, instr, micro, DT_ARG_DX),
            .in = dt_cpu_arg(run, instr, micro, DT_ARG_DY) + first * 16,
            .addend = dt_cpu_arg(run, instr, micro, DT_ARG_ADDEND),
            .mask = dt_cpu_arg(run, instr, micro, DT_ARG_MASK),
            .vectors = out,
            .out_stride = out * 16,
            .in_stride = in * 16,
            .act = instr->act};
  dt_threads_run(run_threads(run), micro_batch_blocks(run, micro), join_block, &j);
  return DT_OK;
}

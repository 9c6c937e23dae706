/* Kernels without sums: activations, additions, joins. They are bound by memory, so the pool gets pieces that fit into L1. */
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

static void forward_piece(void *context, int index, int thread) {
  const elements *e = context;
  for (int64_t i = (int64_t)index * PIECE, end = piece_end(e, index); i < end; i++) {
    v16 a = forward_finish(e->act, v16_load(e->in + i * 16), at(e->addend, i * 16));
    v16_store(e->out + i * 16, a);
  }
}

static void backward_piece(void *context, int index, int thread) {
  const elements *e = context;
  for (int64_t i = (int64_t)index * PIECE, end = piece_end(e, index); i < end; i++) {
    v16 g = gradient_finish(e->act, v16_load(e->in + i * 16), at(e->addend, i * 16), at(e->mask, i * 16));
    v16_store(e->out + i * 16, g);
  }
}

dt_status DT_SIMD(dt_cpu_act_fwd)(dt_run *run, const dt_instr *instr, const dt_pass *pass) {
  elements e = {.out = dt_cpu_arg(run, instr, pass, DT_ARG_Y), .in = dt_cpu_arg(run, instr, pass, DT_ARG_X), .act = instr->act};
  e.vectors = arg_count(run, instr, DT_ARG_Y) * pass_blocks(run, pass);
  dt_pool_run(run_pool(run), pieces(e.vectors), forward_piece, &e);
  return DT_OK;
}

dt_status DT_SIMD(dt_cpu_act_bwd)(dt_run *run, const dt_instr *instr, const dt_pass *pass) {
  elements e = {.out = dt_cpu_arg(run, instr, pass, DT_ARG_DX),
                .in = dt_cpu_arg(run, instr, pass, DT_ARG_DY),
                .addend = dt_cpu_arg(run, instr, pass, DT_ARG_ADDEND),
                .mask = dt_cpu_arg(run, instr, pass, DT_ARG_MASK),
                .act = instr->act};
  e.vectors = arg_count(run, instr, DT_ARG_DX) * pass_blocks(run, pass);
  dt_pool_run(run_pool(run), pieces(e.vectors), backward_piece, &e);
  return DT_OK;
}

/* With a mask the sum is a gradient: act names the derivative. Without, act is applied. */
dt_status DT_SIMD(dt_cpu_add)(dt_run *run, const dt_instr *instr, const dt_pass *pass) {
  elements e = {.out = dt_cpu_arg(run, instr, pass, DT_ARG_Y),
                .in = dt_cpu_arg(run, instr, pass, DT_ARG_X),
                .addend = dt_cpu_arg(run, instr, pass, DT_ARG_ADDEND),
                .mask = dt_cpu_arg(run, instr, pass, DT_ARG_MASK),
                .act = instr->act};
  e.vectors = arg_count(run, instr, DT_ARG_Y) * pass_blocks(run, pass);
  dt_pool_run(run_pool(run), pieces(e.vectors), e.mask != NULL ? backward_piece : forward_piece, &e);
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

dt_status DT_SIMD(dt_cpu_concat)(dt_run *run, const dt_instr *instr, const dt_pass *pass) {
  int64_t in = arg_count(run, instr, DT_ARG_X), out = arg_count(run, instr, DT_ARG_Y);
  int64_t first = instr->channel * shape_positions(arg_shape(run, instr, DT_ARG_Y));
  join j = {.out = dt_cpu_arg(run, instr, pass, DT_ARG_Y) + first * 16,
            .in = dt_cpu_arg(run, instr, pass, DT_ARG_X),
            .vectors = in,
            .out_stride = out * 16,
            .in_stride = in * 16};
  dt_pool_run(run_pool(run), pass_blocks(run, pass), join_block, &j);
  return DT_OK;
}

dt_status DT_SIMD(dt_cpu_slice)(dt_run *run, const dt_instr *instr, const dt_pass *pass) {
  int64_t in = arg_count(run, instr, DT_ARG_DY), out = arg_count(run, instr, DT_ARG_DX);
  int64_t first = instr->channel * shape_positions(arg_shape(run, instr, DT_ARG_DY));
  join j = {.out = dt_cpu_arg(run, instr, pass, DT_ARG_DX),
            .in = dt_cpu_arg(run, instr, pass, DT_ARG_DY) + first * 16,
            .addend = dt_cpu_arg(run, instr, pass, DT_ARG_ADDEND),
            .mask = dt_cpu_arg(run, instr, pass, DT_ARG_MASK),
            .vectors = out,
            .out_stride = out * 16,
            .in_stride = in * 16,
            .act = instr->act};
  dt_pool_run(run_pool(run), pass_blocks(run, pass), join_block, &j);
  return DT_OK;
}

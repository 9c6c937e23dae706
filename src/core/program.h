/* The step program: a list of instructions, known before the first step runs.
 *
 * The program is in single-assignment form over buffers: every buffer is written by one instruction (CONCAT writes its Y in
 * pieces). Lowering: forward instructions, automatic differentiation by the layers, fusion (fuse.c), liveness and the memory
 * plan (plan.c), buckets. The pass section runs once per pass (a complete subtree of shards, core/tree.h); the step section
 * runs once per step. The same program is executed by every device, reduced by every communicator, printed, hashed, priced.
 *
 * Invariants
 * 1. No instruction reads a buffer before it is written; no two live buffers overlap in the arena.
 * 2. Gradients, statistics and sums are *sums over samples*, never means; UPDATE divides by the global sample count.
 * 3. A gradient slice is written by exactly one instruction of the pass section, before the COMBINE of its bucket.
 * 4. All ranks run equal programs: equal text, equal hash. */
#ifndef DT_CORE_PROGRAM_H
#define DT_CORE_PROGRAM_H

#include <stdio.h>

#include "core/graph.h"
#include "core/tensor.h"
#include "core/tree.h"

/* Roles of an instruction's buffers. */
typedef enum dt_arg {
  DT_ARG_X,  /* input activation */
  DT_ARG_W,  /* weight (conv, linear), gamma (batchnorm) */
  DT_ARG_B,  /* bias, beta */
  DT_ARG_Y,  /* output activation */
  DT_ARG_DY, /* gradient of the output */
  DT_ARG_DX, /* gradient of the input */
  DT_ARG_DW, /* gradient slices */
  DT_ARG_DB,
  DT_ARG_AUX,    /* what forward leaves for backward: pool's winners, batchnorm's per-shard mean and 1/std */
  DT_ARG_ADDEND, /* fused addition, same shape as what is written (Y or DX), added before act or mask */
  DT_ARG_MASK,   /* fused activation backward: the *output* of the activation whose derivative scales what is written */
  DT_ARG_DADD,   /* batchnorm backward after a fused add: the masked DY, gradient of the addend */
  DT_ARG_STATE,  /* running mean [C], then running variance [C] */
  DT_ARG_STAT,   /* slice of the gradient block: sums over shards of n_s*mean[C], then n_s*var[C] (var unbiased) */
  DT_ARG_WORK,   /* scratch of the device, alive in this instruction only */
  DT_ARG_COUNT
} dt_arg;

/* name in print-outs, args read, args written (bit masks by DT_BIT), what it computes */
#define DT_BIT(arg) (1u << DT_ARG_##arg)
#define DT_OP_LIST(X)                                                                                             \
  X(LOAD, "load", 0, DT_BIT(Y))                                                                                   \
  X(CONV_FWD, "conv_fwd", DT_BIT(X) | DT_BIT(W) | DT_BIT(B) | DT_BIT(ADDEND), DT_BIT(Y) | DT_BIT(AUX))            \
  X(CONV_DGRAD, "conv_dgrad", DT_BIT(DY) | DT_BIT(W) | DT_BIT(ADDEND) | DT_BIT(MASK), DT_BIT(DX))                 \
  X(CONV_WGRAD, "conv_wgrad", DT_BIT(X) | DT_BIT(DY), DT_BIT(DW) | DT_BIT(DB))                                    \
  X(LINEAR_FWD, "linear_fwd", DT_BIT(X) | DT_BIT(W) | DT_BIT(B) | DT_BIT(ADDEND), DT_BIT(Y))                      \
  X(LINEAR_DGRAD, "linear_dgrad", DT_BIT(DY) | DT_BIT(W) | DT_BIT(ADDEND) | DT_BIT(MASK), DT_BIT(DX))             \
  X(LINEAR_WGRAD, "linear_wgrad", DT_BIT(X) | DT_BIT(DY), DT_BIT(DW) | DT_BIT(DB))                                \
  X(POOL_FWD, "pool_fwd", DT_BIT(X), DT_BIT(Y) | DT_BIT(AUX))                                                     \
  X(POOL_BWD, "pool_bwd", DT_BIT(DY) | DT_BIT(AUX) | DT_BIT(ADDEND) | DT_BIT(MASK), DT_BIT(DX))                   \
  X(ACT_FWD, "act_fwd", DT_BIT(X), DT_BIT(Y))                                                                     \
  X(ACT_BWD, "act_bwd", DT_BIT(DY) | DT_BIT(MASK) | DT_BIT(ADDEND), DT_BIT(DX))                                   \
  X(BN_FWD, "bn_fwd", DT_BIT(X) | DT_BIT(W) | DT_BIT(B) | DT_BIT(ADDEND), DT_BIT(Y) | DT_BIT(AUX) | DT_BIT(STAT)) \
  X(BN_EVAL, "bn_eval", DT_BIT(X) | DT_BIT(W) | DT_BIT(B) | DT_BIT(STATE) | DT_BIT(ADDEND), DT_BIT(Y))            \
  X(BN_BWD, "bn_bwd", DT_BIT(DY) | DT_BIT(X) | DT_BIT(AUX) | DT_BIT(W) | DT_BIT(MASK),                            \
    DT_BIT(DX) | DT_BIT(DW) | DT_BIT(DB) | DT_BIT(DADD))                                                          \
  X(DROPOUT_FWD, "dropout_fwd", DT_BIT(X), DT_BIT(Y))                                                             \
  X(DROPOUT_BWD, "dropout_bwd", DT_BIT(DY) | DT_BIT(ADDEND) | DT_BIT(MASK), DT_BIT(DX))                           \
  X(ADD, "add", DT_BIT(X) | DT_BIT(ADDEND) | DT_BIT(MASK), DT_BIT(Y))                                             \
  X(CONCAT, "concat", DT_BIT(X), DT_BIT(Y))                                                                       \
  X(SLICE, "slice", DT_BIT(DY) | DT_BIT(ADDEND) | DT_BIT(MASK), DT_BIT(DX))                                       \
  X(FLATTEN, "flatten", DT_BIT(X), DT_BIT(Y))                                                                     \
  X(UNFLATTEN, "unflatten", DT_BIT(DY), DT_BIT(DX))                                                               \
  X(SOFTMAX, "softmax", DT_BIT(X), DT_BIT(Y))                                                                     \
  X(LOSS, "loss", DT_BIT(X), DT_BIT(DX) | DT_BIT(STAT))                                                           \
  X(SCORE, "score", DT_BIT(X), 0)                                                                                 \
  X(COMBINE, "combine", 0, 0)                                                                                     \
  X(REDUCE_BEGIN, "reduce_begin", 0, 0)                                                                           \
  X(REDUCE_END, "reduce_end", 0, 0)                                                                               \
  X(GRAD_NORM, "grad_norm", 0, 0)                                                                                 \
  X(UPDATE, "update", 0, 0)                                                                                       \
  X(BN_UPDATE, "bn_update", DT_BIT(STAT), DT_BIT(STATE))

typedef enum dt_op {
#define X(name, text, reads, writes) DT_OP_##name,
  DT_OP_LIST(X)
#undef X
      DT_OP_COUNT
} dt_op;

/* What each op computes (n ranges over the samples of a pass, s over its shards; sums over n are taken within a shard first,
 * then over shards by the tree):
 *   LOAD         y = pixel * scale[c] + shift[c], with scale = 1/(255 std[c]), shift = -mean[c]/std[c]; 0 in empty places
 *   CONV_FWD     y = act(conv(x, w) + b + addend): cross-correlation, weights [O, I/groups, KH, KW]; with attr.pool fused:
 *                y = maxpool(act(...)), aux = winners
 *   CONV_DGRAD   dx = (transpose of conv)(dy, w) [+ addend] [* act'(mask)]
 *   CONV_WGRAD   dw = sum over n, y, x of dy * x; db = sum of dy
 *   LINEAR_*     the same for y = act(w x + b), w [O, I]
 *   POOL_FWD     max: first largest in scan order wins, aux = its place in the window (u8); avg: divides by KH*KW, padding
 *                counted as zeros (PyTorch's count_include_pad); BWD the adjoint
 *   ACT_FWD      y = act(x);  ACT_BWD dx = dy [+ addend] times act'(mask), mask = y
 *   BN_FWD       per shard and channel over its samples and positions: y = act((x - mean) / sqrt(var + eps) * w + b + addend),
 *                var biased; aux = mean[C], 1/sqrt(var + eps)[C] per shard; stat += n_s * (mean, unbiased var), n_s = samples
 *                of the shard; empty places take no part and get y = 0
 *   BN_BWD       with g = dy [* act'(mask)], xh = (x - mean) * invstd, m = count per channel of the shard:
 *                dw = sum g*xh, db = sum g, dx = w * invstd * (g - (sum g)/m - xh * (sum g*xh)/m); dadd = g
 *   DROPOUT      y = keep ? x / (1-p) : 0; keep = u >= p with u = dt_rng_float(dt_rng(seed, DROPOUT, samples_seen,
 *                attr.dropout.layer << 32 | place in the global batch, e / 4).word[e % 4]), e = element in [C, H, W] order
 *   ADD          y = act(x + addend) [* act'(mask)];  CONCAT copies x to channels [first, ..) of y; SLICE is its adjoint
 *   FLATTEN      y = x in the order [C, H, W]; UNFLATTEN the adjoint. Only on devices that keep channels last; elsewhere a
 *                flatten is a view
 *   LOSS         dx = softmax(x) - onehot(label), 0 in empty places; stat = the tail: sums of loss, correct and samples, the
 *                samples whose loss is not finite, and step.flags in the first pass, zeros in others
 *   SCORE        evaluation: adds to the score (correct, loss); writes nothing else
 *   COMBINE b    the merges due after this pass (dt_pass_plan), for bucket b's elements
 *   REDUCE_*  b  the reduction of bucket b over ranks, in the last pass
 *   GRAD_NORM    the global norm of the mean gradient (before clipping), into step.grad_norm
 *   UPDATE b     the optimizer over bucket b's parameters
 *   BN_UPDATE    running = (1-momentum) * running + momentum * stat / samples */

typedef enum dt_stream { DT_STREAM_COMPUTE, DT_STREAM_COMM, DT_STREAM_COPY } dt_stream;
typedef enum dt_act { DT_ACT_NONE, DT_ACT_RELU, DT_ACT_SIGMOID, DT_ACT_TANH } dt_act;

typedef struct dt_window {
  int kernel[2], stride[2], pad[2], dilation[2]; /* height, width */
} dt_window;

typedef struct dt_conv_attr_op {
  dt_window window;
  int groups;
} dt_conv_op;

typedef struct dt_pool_op {
  dt_window window;
  bool average;
} dt_pool_op;

typedef struct dt_instr {
  dt_op op;
  dt_stream stream;
  int node;              /* in the graph; -1 for instructions of the whole step */
  int arg[DT_ARG_COUNT]; /* buffer ids; -1 = absent */
  dt_act act;            /* fused activation of what is written (forward), or whose derivative MASK gives (backward) */
  dt_conv_op conv;       /* CONV_* */
  dt_pool_op pool;       /* POOL_*, and CONV_FWD with a fused max pool (window.kernel[0] > 0) */
  struct {
    double eps, momentum;
  } bn;
  struct {
    double p;
    int layer; /* counts dropout layers from 0 */
  } dropout;
  int channel; /* CONCAT, SLICE: first channel in the joined tensor */
  int bucket;  /* COMBINE, REDUCE_*, UPDATE */
} dt_instr;

typedef enum dt_buffer_kind {
  DT_BUF_VALUE, /* activation or its gradient: shape per sample, device's element type */
  DT_BUF_INDEX, /* one byte per element and sample */
  DT_BUF_SHARD, /* shape per shard, device's element type */
  DT_BUF_PARAM, /* slice of the parameter block (optimizer slots have the same offsets) */
  DT_BUF_GRAD,  /* slice of the gradient block (of the node that the pass writes) */
  DT_BUF_STATE, /* slice of the state block */
  DT_BUF_WORK,  /* scratch bytes */
} dt_buffer_kind;

typedef struct dt_buffer {
  dt_buffer_kind kind;
  const char *name; /* "conv1.y", "d conv1.y", "conv1.weight" */
  dt_shape shape;
  int alias_of;    /* another view of the same memory with another shape (flatten); -1 = none */
  int64_t offset;  /* VALUE, INDEX, SHARD, WORK: bytes in the arena; PARAM, GRAD, STATE: elements in the flat block */
  size_t bytes;    /* in the arena */
  int first, last; /* instructions of the pass section between which it lives */
} dt_buffer;

/* A bucket is a slice of the gradient block: nothing is copied. Elements beyond the parameters are statistics and the tail. */
typedef struct dt_bucket {
  int64_t first, count; /* elements of the gradient block */
  int64_t param_count;  /* of them, parameters; they come first */
  int ready;            /* the pass instruction after which it is complete */
} dt_bucket;

/* The last elements of the gradient block: sums that ride on the last bucket. */
typedef enum dt_tail {
  DT_TAIL_LOSS,    /* sum of losses */
  DT_TAIL_CORRECT, /* samples whose largest logit is the label */
  DT_TAIL_SAMPLES,
  DT_TAIL_STOP, /* flags: > 0 when any rank raised it. Written by the loop before the last REDUCE_BEGIN. */
  DT_TAIL_SAVE,
  DT_TAIL_PREEMPT,
  DT_TAIL_FAIL,
  DT_TAIL_NONFINITE,
  DT_TAIL_COUNT
} dt_tail;

typedef enum dt_program_mode { DT_PROGRAM_TRAIN, DT_PROGRAM_EVAL, DT_PROGRAM_PREDICT } dt_program_mode;

typedef struct dt_param {
  const char *name; /* "conv1.weight" */
  int node, role;   /* index in the graph's node and its param (or state) list */
  dt_shape shape;
  int64_t offset, count; /* elements in the parameter (or state) block */
} dt_param;

typedef struct dt_program {
  const dt_graph *graph;
  dt_program_mode mode;
  dt_buffer *buffer;
  int buffer_count;
  dt_instr *instr; /* [0, pass_end) the pass section, [pass_end, count) the step section */
  int count, pass_end;
  dt_bucket *bucket;
  int bucket_count;
  dt_param *param, *state; /* in block order: the order in which backward finishes them; graph order for state */
  int param_count, state_count;
  int64_t param_elements, state_elements;
  int64_t grad_elements; /* parameters, padding to 16, statistics, tail: the stride between gradient nodes */
  int64_t tail;          /* element of DT_TAIL_LOSS */
  int64_t global_batch;
  int shards, pass_shards; /* S, and the most shards in a pass */
  int64_t shard_slots;     /* sample places a shard has: ceil(global_batch / shards) */
  size_t arena_bytes;
  size_t arena_naive_bytes; /* what it would take without sharing memory, for describe */
  int logits;               /* the buffer of the network's output */
} dt_program;

typedef struct dt_device dt_device;

/* Lowers the graph for a device: fuses what the device fuses and asks it for sizes. Deterministic: equal inputs give equal
 * programs on every rank. Returns new; borrows graph. */
dt_status dt_program_create(const dt_graph *graph, const dt_spec *spec, const dt_device *device, dt_program_mode mode,
                            int pass_shards, dt_program **out);
void dt_program_destroy(dt_program **program);

/* Prints the instructions, one a line with buffers and shapes: the same text on every rank. places adds where buffers and
 * scratch lie in the arena, which may depend on a rank's number of threads. */
void dt_program_print(const dt_program *program, bool places, FILE *out);
/* XXH3-64 of the text without places. */
uint64_t dt_program_hash(const dt_program *program);

typedef struct dt_op_info {
  const char *name;
  unsigned reads, writes; /* DT_BIT masks */
} dt_op_info;
extern const dt_op_info dt_op_infos[DT_OP_COUNT];

#endif

/* The step program: a list of instructions, known before the first step runs.
 *
 * The program is in single-assignment form over buffers: every buffer is written by one instruction (CONCAT writes its Y in
 * pieces). Lowering: forward instructions, automatic differentiation by the layers, fusion (fuse.c), liveness and the memory
 * plan (plan.c), buckets. The micro-batch section runs once per micro-batch (a complete subtree of shards, core/tree.h); the
 * step section runs once per step. The same program is executed by every device, reduced by every communicator, printed,
 * hashed, priced.
 *
 * Invariants
 * 1. No instruction reads a buffer before it is written; no two live buffers overlap in the arena.
 * 2. Gradients, statistics and sums are *sums over samples*, never means; UPDATE divides by the global sample count.
 * 3. A gradient slice is written by exactly one instruction of the micro-batch section, before the COMBINE of its bucket. A
 * parameter that several nodes use has a slice for each: all are reduced, and GRAD_ADD brings them together in the step
 * section, so that each is summed over shards by the tree and the sum has the same bits however shards are dealt.
 * 4. All ranks run equal programs: equal text, equal hash. */
#ifndef DT_CORE_PROGRAM_PROGRAM_H
#define DT_CORE_PROGRAM_PROGRAM_H

#include <stdio.h>

#include "core/field.h"
#include "core/functions/functions.h"
#include "core/program/graph.h"
#include "core/tensor.h"
#include "core/tree.h"

/* Roles of an instruction's buffers. */
typedef enum dt_arg {
  DT_ARG_X,  /* input activation; of LOAD the field */
  DT_ARG_W,  /* weight (conv, linear), gamma (batchnorm) */
  DT_ARG_B,  /* bias, beta */
  DT_ARG_Y,  /* output activation */
  DT_ARG_DY, /* gradient of the output */
  DT_ARG_DX, /* gradient of the input */
  DT_ARG_DW, /* gradient slices */
  DT_ARG_DB,
  DT_ARG_TARGET, /* field that a loss or a metric compares X with */
  DT_ARG_AUX,    /* what forward leaves for backward: pool's argmax, batchnorm's per-shard mean and 1/std */
  DT_ARG_FACTOR, /* the other factor of a product */
  DT_ARG_ADDEND, /* fused addition, same shape as what is written (Y or DX), added before act or mask */
  DT_ARG_MASK,  /* what the derivative that scales what is written comes from: an activation's output, or input (functions.h) */
  DT_ARG_BITS,  /* the same of a relu, a bit for each element: whether its output is above zero */
  DT_ARG_DADD,  /* batchnorm backward after a fused add: the masked DY, gradient of the addend */
  DT_ARG_STATE, /* running mean [C], then running variance [C] */
  DT_ARG_STAT,  /* slice of the gradient block: sums over shards of n_s*mean[C], then n_s*var[C] (var unbiased) */
  DT_ARG_TERMS, /* what losses and metrics give of each sample, a column for each sum of the program */
  DT_ARG_WORK,  /* scratch of the device, alive in this instruction only */
  DT_ARG_COUNT
} dt_arg;

#define DT_BIT(arg) (1u << DT_ARG_##arg)

/* ops.def has a row for each, with what it computes. */
typedef enum dt_op {
#define DT_OP(OP, name, section, attr, reference, cpu, gpu, reads, writes) DT_OP_##OP,
#include "core/program/ops.def"
#undef DT_OP
  DT_OP_COUNT
} dt_op;

/* What is said of an op where a device's column is 1, and is left out where it is 0: DT_WHERE_##cpu(...). */
#define DT_WHERE_0(...)
#define DT_WHERE_1(...) __VA_ARGS__

/* Where an op stands: in the section that runs once for each micro-batch, or in the one that runs once a step. */
typedef enum dt_section { DT_SECTION_PASS, DT_SECTION_STEP } dt_section;

/* SIDE computes too, beside COMPUTE: what only the gradient block waits for (side.c). */
typedef enum dt_stream { DT_STREAM_COMPUTE, DT_STREAM_COMM, DT_STREAM_COPY, DT_STREAM_SIDE } dt_stream;
enum { DT_STREAMS = DT_STREAM_SIDE + 1 };

/* A window that slides over 1 to 3 directions of an input [channels, ...], in the order of the input's dimensions: height, then
 * width. */
enum { DT_WINDOW_DIMS = 3 };
typedef struct dt_window {
  int ndim;
  int kernel[DT_WINDOW_DIMS], stride[DT_WINDOW_DIMS], pad[DT_WINDOW_DIMS], dilation[DT_WINDOW_DIMS];
} dt_window;

/* What an op is told besides its buffers. None has padding bytes, so that each byte is in the text that ranks compare. */
typedef struct dt_pool_op {
  dt_window window;
  int average; /* 0: the largest, 1: the mean */
} dt_pool_op;

typedef struct dt_conv_op {
  dt_window window;
  int groups;
  dt_pool_op pool; /* CONV_FWD: a max pool that is fused into it; window.kernel[0] is 0 where there is none */
} dt_conv_op;

typedef struct dt_norm_op {
  double eps, momentum;
} dt_norm_op;

typedef struct dt_dropout_op {
  double p;
  int64_t layer; /* counts dropout layers from 0 */
} dt_dropout_op;

typedef struct dt_noise_op {
  double std;
  int64_t layer; /* counts noise layers from 0 */
} dt_noise_op;

enum { DT_LOSS_PARAMS = 2 };
typedef struct dt_loss_op {
  int64_t column;      /* of the terms: the first of the node's sums */
  double weight;       /* of the loss in what training makes small */
  double target_scale; /* of ops whose targets are numbers: what the field's are multiplied by: 1/255 of bytes that an input
                          reads as well, as LOAD counts them, else 1 */
  double param[DT_LOSS_PARAMS]; /* HUBER: delta; ACTIVITY_KL: rho; zeros behind those that an op has */
} dt_loss_op;

/* Member of dt_instr, and its type. print.c has print_<member> for each, without which it does not compile. */
#define DT_ATTR_LIST(X)                                                                       \
  X(conv, dt_conv_op)                                                                         \
  X(pool, dt_pool_op)                                                                         \
  X(norm, dt_norm_op)                                                                         \
  X(dropout, dt_dropout_op)                                                                   \
  X(noise, dt_noise_op)                                                                       \
  X(channel, int) /* CONCAT, SLICE: the first in the joined tensor; LOAD: among all inputs */ \
  X(loss, dt_loss_op)                                                                         \
  X(bucket, int)

typedef enum dt_attr {
  DT_ATTR_none,
#define X(member, type) DT_ATTR_##member,
  DT_ATTR_LIST(X)
#undef X
      DT_ATTR_COUNT
} dt_attr;

typedef struct dt_instr {
  dt_op op;
  dt_stream stream;
  int node;              /* in the graph; -1 for instructions of the whole step */
  int arg[DT_ARG_COUNT]; /* buffer ids; -1 = absent */
  dt_act act;            /* fused activation of what is written (forward), or whose derivative MASK gives (backward) */
  union {                /* the one that the op's row names */
#define X(member, type) type member;
    DT_ATTR_LIST(X)
#undef X
  };
} dt_instr;

typedef enum dt_buffer_kind {
  DT_BUF_VALUE,  /* activation or its gradient: shape per sample, device's element type */
  DT_BUF_INDEX,  /* one byte per element and sample */
  DT_BUF_BITS,   /* one bit per element and sample, packed in the device's way */
  DT_BUF_TERMS,  /* shape per sample, in the type of gradients even where values are narrower */
  DT_BUF_SHARD,  /* shape per shard, device's element type */
  DT_BUF_PARAM,  /* slice of the parameter block (optimizer slots have the same offsets) */
  DT_BUF_GRAD,   /* slice of the gradient block (of the partial sum that the micro-batch writes) */
  DT_BUF_STATE,  /* slice of the state block */
  DT_BUF_TENSOR, /* double [columns] for each trained parameter, of the step section */
  DT_BUF_WORK,   /* scratch bytes */
  DT_BUF_FIELD,  /* a field of the batch: read only, in the field's own type */
} dt_buffer_kind;

typedef struct dt_buffer {
  dt_buffer_kind kind;
  const char *name; /* "conv1.y", "d conv1.y", "conv1.weight" */
  dt_shape shape;
  int alias_of;   /* another view of the same memory with another shape (flatten); -1 = none */
  int64_t offset; /* VALUE, INDEX, BITS, TERMS, SHARD, WORK: bytes in the arena; PARAM, GRAD, STATE: elements in the flat block;
                     FIELD: index in dt_program.field */
  size_t bytes;   /* in the arena */
  int first, last; /* instructions of the micro-batch section between which it lives */
  int until;       /* last, or a later instruction until which its memory is kept, so that the side stream has time */
} dt_buffer;

/* A bucket is a slice of the gradient block: nothing is copied. Elements beyond the parameters are statistics. */
typedef struct dt_bucket {
  int64_t first, count; /* elements of the gradient block */
  int64_t param_count;  /* of them, of parameters, at the same offsets in the parameter block; they come first */
  int ready;            /* the micro-batch instruction after which it is complete */
} dt_bucket;

/* The step statistics: the last elements of the gradient block, which ride on the last bucket. TALLY writes them. Behind these
 * come the sums that nodes declare (dt_sum). */
typedef enum dt_statistic {
  DT_STATISTIC_SAMPLES,
  DT_STATISTIC_STOP, /* flags: > 0 when any rank raised it */
  DT_STATISTIC_SAVE,
  DT_STATISTIC_PREEMPT,
  DT_STATISTIC_FAIL,
  DT_STATISTIC_COUNT
} dt_statistic;

/* Where a sum that a node declares is kept. */
typedef struct dt_sum {
  const dt_sum_decl *decl;
  int node;
  int column;      /* of the terms; -1: this program does not take it */
  int64_t element; /* TRAIN: of the step statistics. REAL takes two: the sum, and how many terms were not finite */
  int64_t word;    /* EVAL: of a score, dt_sum_words(decl) of them; word 0 of a score counts the samples */
} dt_sum;

typedef enum dt_program_mode { DT_PROGRAM_TRAIN, DT_PROGRAM_EVAL, DT_PROGRAM_PREDICT } dt_program_mode;

/* A parameter or a state tensor in its block. */
typedef struct dt_param {
  const char *name;          /* "conv1.weight" */
  int node;                  /* that it belongs to: of a parameter that several use, the first */
  int index;                 /* in the graph's list of parameters, or in the node's of states */
  const dt_param_decl *decl; /* the graph's */
  dt_shape shape;
  int64_t offset, count; /* elements in the parameter (or state) block */
  double lr_scale;       /* times the learning rate; of a parameter, as are the next two */
  bool decay, frozen;    /* whether weight decay applies; whether it stays as it is */
} dt_param;

/* How a program uses a field. */
typedef enum dt_field_use {
  DT_FIELD_UNUSED,
  DT_FIELD_LOADED, /* LOAD alone reads it: a device may hold it */
  DT_FIELD_READ,   /* others read it, LOAD besides or not: it comes with every batch */
} dt_field_use;

/* A run of trained parameters that are updated alike: neighbours in the block with equal multipliers. */
typedef struct dt_segment {
  int64_t first, count; /* elements, the padding behind each parameter among them: multiples of DT_ALIGN_ELEMENTS */
  double lr_scale;      /* times the learning rate */
  bool decay;           /* whether weight decay applies */
  int tensor;           /* the first that it has, as in dt_program.param */
  bool bounded;         /* whether MAX_NORM shortens its units */
  int64_t units;        /* of that tensor, for CLIP_UNITS and MAX_NORM, */
  int64_t unit_count;   /* and their elements */
  bool matrix;          /* whether it has two dimensions or more */
} dt_segment;

typedef struct dt_program {
  const dt_graph *graph;
  const dt_field *field; /* the graph's */
  int field_count;
  dt_field_use field_use[DT_FIELDS_MAX];
  bool field_loaded[DT_FIELDS_MAX]; /* whether LOAD reads it, others besides or not: an input's */
  int input_channels;               /* of all inputs, in the graph's order: what LOAD normalises by */
  dt_program_mode mode;
  dt_buffer *buffer;
  int buffer_count;
  dt_instr *instr; /* [0, micro_batch_end) the micro-batch section, [micro_batch_end, count) the step section */
  int count, micro_batch_end;
  int partial_begin; /* from here to update_begin instructions are for partial batches only */
  int update_begin;  /* from here on instructions are left out of partial batches; micro_batch_end where a step is one batch */
  dt_bucket *bucket;
  int bucket_count;
  int64_t bucket_bytes; /* that one has at most, unless a single parameter has more */
  /* In block order: trained parameters in the order in which backward finishes them, then frozen ones; states as in the graph.
   */
  dt_param *param, *state;
  int param_count, trained_count, state_count;
  dt_segment *segment; /* TRAIN: of the trained parameters, in block order */
  int segment_count;
  int64_t param_elements, state_elements;
  int64_t trained_elements; /* of the parameter block, and of each optimizer slot */
  int64_t grad_elements;    /* of trained parameters, further uses of them, statistics: the stride between partial sums */
  int64_t statistics;       /* element where the step statistics begin */
  int64_t statistics_count; /* their elements: DT_STATISTIC_COUNT, then the sums */
  dt_sum *sum;              /* of all nodes, in the order of the graph: as many in every program of it */
  int sum_count, columns;   /* columns: those of the terms */
  int64_t score_words;      /* of an evaluation's score */
  int64_t global_batch;
  int shards, micro_batch_shards; /* S, and the most shards in a micro-batch */
  int64_t shard_capacity;         /* sample positions a shard has: ceil(global_batch / shards) */
  size_t arena_bytes;
  size_t arena_naive_bytes; /* what it would take without sharing memory, for describe */
  size_t arena_side_bytes;  /* what the side stream adds to it: memory that is kept until it has been there */
  int logits;               /* the buffer of the network's output */
} dt_program;

typedef struct dt_device dt_device;

/* Lowers the graph for a device: fuses what the device fuses and asks it for sizes. DT_USAGE, at the layer's place in the
 * config, where the device has no kernel for an instruction. Deterministic: equal inputs give equal programs on every rank.
 * Returns new; borrows graph. */
dt_status dt_program_create(const dt_graph *graph, const dt_spec *spec, const dt_device *device, dt_program_mode mode,
                            int micro_batch_shards, dt_program **out);
void dt_program_destroy(dt_program **program);

/* Prints the instructions, one a line with buffers and shapes: the same text on every rank. places adds where buffers and
 * scratch lie in the arena, which may depend on a rank's number of threads. */
void dt_program_print(const dt_program *program, bool places, FILE *out);
/* XXH3-64 of the text without places. */
uint64_t dt_program_hash(const dt_program *program);

/* Whether a step may be several batches, or several passes over one: something is kept from the ones to the last. */
static inline bool dt_program_accumulates(const dt_program *program) {
  return program->update_begin > program->micro_batch_end;
}
/* Whether all parameters are updated alike, by the multipliers of segment[0]. */
static inline bool dt_program_is_uniform(const dt_program *program) {
  return program->segment_count == 1;
}
/* Index of the segment that an element of the parameter block lies in. */
int dt_segment_find(const dt_program *program, int64_t element);

typedef struct dt_op_info {
  const char *name;
  dt_section section;
  dt_attr attr;
  unsigned reads, writes; /* DT_BIT masks */
} dt_op_info;
extern const dt_op_info dt_op_infos[DT_OP_COUNT];

/* -1 where the op works on no bucket. */
static inline int dt_instr_bucket(const dt_instr *instr) {
  return dt_op_infos[instr->op].attr == DT_ATTR_bucket ? instr->bucket : -1;
}

#endif

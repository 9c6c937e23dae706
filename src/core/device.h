/* The contract of a device: memory, a table of kernels, and what it can fuse.
 *
 * A kernel enqueues work for one instruction of one pass and may return before it is done; dt_device_ops.sync waits. What
 * changes from step to step is read from dt_step at the time the kernel runs, through a pointer that never changes, so that a
 * GPU can capture the instructions of a step once as a graph and replay them. On the GPU each kernel goes to the stream that
 * the instruction names and events follow from the args; the cpu and reference devices run everything in order. */
#ifndef DT_CORE_DEVICE_H
#define DT_CORE_DEVICE_H

#include "core/program.h"
#include "core/tensor.h"

/* A batch as the loader hands it over: the samples of one pass. Shards stand one after another, each with shard_slots places,
 * of which the first shard_count[s] are filled. */
typedef struct dt_batch {
  const uint8_t *pixels; /* [shards][shard_slots][C*H*W], for DT_U8 data */
  const float *values;   /* the same for DT_F32 data; one of the two is NULL */
  const int32_t *labels; /* [shards][shard_slots] */
  const int32_t *filled; /* [shards]: samples in each shard */
  const int64_t *place;  /* [shards]: place of the shard's first sample in the global batch */
  int64_t samples;       /* in the pass */
} dt_batch;

/* Integer sums of an evaluation: the same whoever adds what in which order. */
typedef struct dt_score {
  int64_t samples, correct;
  int64_t loss;      /* in units of 2^-20, each sample's rounded to nearest */
  int64_t nonfinite; /* samples whose loss is not finite; they add nothing to loss */
} dt_score;

/* What changes from step to step. */
typedef struct dt_step {
  int64_t samples_seen;  /* before this step */
  int64_t batch_samples; /* of the global batch of this step */
  double lr, momentum, weight_decay;
  double clip_norm; /* 0 = off */
  double grad_norm; /* written by GRAD_NORM and read by UPDATE and the record */
} dt_step;

/* One run of the pass section. */
typedef struct dt_pass {
  int first_shard, shard_count;
  int node;              /* gradient node that is written */
  const dt_batch *batch; /* of these shards */
  dt_score *score;       /* EVAL */
} dt_pass;

/* The blocks a program runs on. Flat blocks hold device->dtype elements. */
typedef struct dt_blocks {
  void *param, *state;
  void *slot[4]; /* optimizer slots, each as long as param */
  void *grad;    /* nodes * grad_elements */
  void *arena;
  const float *scale, *shift; /* [C]: LOAD's normalisation, host memory */
} dt_blocks;

typedef struct dt_optimizer dt_optimizer; /* core/optimizer.h */

/* A program bound to memory: what a kernel sees. */
typedef struct dt_run {
  dt_device *device;
  const dt_program *program;
  dt_blocks blocks;
  dt_step *step;
  const dt_optimizer *optimizer; /* NULL in EVAL */
  const void *optimizer_attr;
  uint64_t seed;
} dt_run;

typedef dt_status dt_kernel(dt_run *run, const dt_instr *instr, const dt_pass *pass);

/* Fusions a device may offer; fuse.c has one row each. */
typedef enum dt_fusion {
  DT_FUSE_FORWARD_ACT,   /* act after conv, linear, bn, add */
  DT_FUSE_FORWARD_ADD,   /* add after conv, linear, bn */
  DT_FUSE_CONV_POOL,     /* 2x2 max pool, stride 2, after conv+act */
  DT_FUSE_BACKWARD_ADD,  /* ADDEND of a gradient */
  DT_FUSE_BACKWARD_MASK, /* MASK of a gradient */
} dt_fusion;

typedef struct dt_device_ops {
  const char *name;
  dt_dtype dtype; /* of parameters, gradients, activations */
  bool (*fuses)(const dt_device *device, dt_fusion fusion, const dt_instr *into);
  /* Bytes of a VALUE, INDEX or SHARD buffer for so many shards of shard_slots samples. A multiple of 64. */
  size_t (*buffer_bytes)(const dt_device *device, dt_buffer_kind kind, const dt_shape *shape, int64_t shard_slots, int shards);
  /* Scratch an instruction needs, 0 for none; the buffers' shapes are known. */
  size_t (*work_bytes)(const dt_device *device, const dt_program *program, const dt_instr *instr);
  dt_status (*alloc)(dt_device *device, size_t bytes, void **out); /* zeroed, 64-byte aligned or better */
  void (*free)(dt_device *device, void *memory);
  /* Host <-> flat blocks. */
  dt_status (*upload)(dt_device *device, void *to, const void *from, size_t bytes);
  dt_status (*download)(dt_device *device, void *to, const void *from, size_t bytes);
  /* A VALUE buffer of a pass as host doubles [shards][shard_slots][shape...], and back: for predict and tests. */
  dt_status (*read_value)(dt_run *run, int buffer, const dt_pass *pass, double *out);
  dt_status (*write_value)(dt_run *run, int buffer, const dt_pass *pass, const double *in);
  dt_status (*sync)(dt_device *device);
  void (*destroy)(dt_device **device);
} dt_device_ops;

struct dt_device {
  const dt_device_ops *ops;
  dt_kernel *kernel[DT_OP_COUNT]; /* NULL: not a kernel (COMBINE, REDUCE_*) */
  /* Sums gradient elements [first, first+count): into += from. Runs where the gradients are. */
  dt_status (*add)(dt_device *device, void *into, const void *from, int64_t count);
  int threads;
  const char *kernels; /* which of the device's kernels run, for the record: "avx512" */
  const char *library; /* a library whose arithmetic takes part, with version and variant; NULL: all of it is dtrain's own */
};

typedef struct dt_device_options {
  int threads; /* >= 1 */
  bool spin;   /* false when ranks share cores: waiting threads sleep at once */
  int math;    /* dt_math */
} dt_device_options;

dt_status dt_reference_create(const dt_device_options *options, dt_device **out);
dt_status dt_cpu_create(const dt_device_options *options, dt_device **out);

#endif

/* The contract of a device: memory, a table of kernels, and what it can fuse.
 *
 * A kernel enqueues work for one instruction of one pass and may return before it is done; dt_device_ops.sync waits. What
 * changes from step to step is read from dt_step and from the batch at the time the kernel runs, through memory that never
 * moves, so that a GPU can record the instructions of a step once as a graph and replay them. The reference and cpu devices run
 * everything at once and in order; what only a device with streams needs stands apart in dt_device_ops and is NULL for them. */
#ifndef DT_CORE_DEVICE_H
#define DT_CORE_DEVICE_H

#include "core/program.h"
#include "core/tensor.h"
#include "core/tree.h"

typedef struct dt_comm dt_comm;                       /* comm/comm.h */
typedef struct dt_reducer dt_reducer;                 /* comm/comm.h */
typedef struct dt_reducer_options dt_reducer_options; /* comm/comm.h */
typedef struct dt_optimizer dt_optimizer;             /* core/optimizer.h */

/* One random change of an image's geometry. First the image is mirrored if flip says so, then out[y][x] = in[y + dy][x + dx],
 * 0 outside. */
typedef struct dt_move {
  int16_t dy, dx;
  int32_t flip;
} dt_move;

/* A data set that a device may keep in its own memory. */
typedef struct dt_samples {
  const uint8_t *pixels; /* [count][C*H*W] for DT_U8 data, as on the host: [C, H, W] */
  const float *values;   /* the same for DT_F32 data; one of the two is NULL */
  int64_t count;
  int64_t elements; /* of a sample */
} dt_samples;

/* A batch as the loader hands it over: the samples of one pass. Shards stand one after another, each with shard_slots places,
 * of which the first shard_count[s] are filled. Where the device holds the data set, `index` and `move` say which samples, and
 * both pixels and values are NULL. */
typedef struct dt_batch {
  const uint8_t *pixels; /* [shards][shard_slots][C*H*W], for DT_U8 data, augmented */
  const float *values;   /* the same for DT_F32 data; one of the two is NULL */
  const void *held;      /* dt_device_ops.hold's handle; NULL when the samples are in the batch */
  const int64_t *index;  /* [shards][shard_slots]: sample in the held data set, -1 in empty places */
  const dt_move *move;   /* [shards][shard_slots][moves], applied in order */
  int moves;
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
  double clip_norm;            /* 0 = off */
  double flags[DT_TAIL_COUNT]; /* [DT_TAIL_STOP..DT_TAIL_FAIL] of this rank: LOSS of the first pass puts them into the tail */
  double grad_norm;            /* written by GRAD_NORM and read by UPDATE and the record */
} dt_step;

/* What the memory of a bound program depends on besides the program. */
typedef struct dt_bound_plan {
  int passes;       /* whose inputs are on their way together */
  dt_dtype samples; /* DT_U8 or DT_F32 */
  int moves;        /* of a sample, where the device holds the data set */
  bool may_hold;    /* whether it may: that is decided once everything else has its memory */
  bool owns;        /* the parameters are its own, not another program's */
} dt_bound_plan;

/* What a step came to. */
typedef struct dt_outcome {
  double tail[DT_TAIL_COUNT]; /* sums over all ranks */
  double grad_norm;
  /* Seconds for which this rank's computing stood still. No moment is in both. */
  double data_wait;   /* for the step's input, from when it was asked for and all before it was computed, until it was there */
  double reduce_wait; /* for sums over ranks, when all that the rank does alone was computed; 0 in a world of one */
} dt_outcome;

/* One run of the pass section. */
typedef struct dt_pass {
  int index; /* among the passes of the step on this rank; 0 in EVAL and PREDICT */
  int first_shard, shard_count;
  int node;              /* gradient node that is written */
  const dt_batch *batch; /* of these shards; not for devices that stage */
} dt_pass;

/* The blocks a program runs on. Flat blocks hold device->dtype elements. */
typedef struct dt_blocks {
  void *param, *state;
  void *slot[4]; /* optimizer slots, each as long as param */
  void *grad;    /* nodes * grad_elements */
  void *arena;
  const float *scale, *shift; /* [C]: LOAD's normalisation, host memory */
} dt_blocks;

/* A program bound to memory: what a kernel sees. */
typedef struct dt_run {
  dt_device *device;
  const dt_program *program;
  dt_blocks blocks;
  dt_step *step;
  const dt_optimizer *optimizer; /* NULL in EVAL */
  const void *optimizer_attr;
  uint64_t seed;
  dt_score *score; /* EVAL: what SCORE adds to, on devices that compute at once */
  void *bound;     /* the device's own, made by dt_device_ops.bind; NULL for devices that need none */
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

enum { DT_REMARK_TEXT = 192 };

typedef struct dt_device_ops {
  const char *name;
  dt_dtype dtype; /* of parameters, gradients, statistics and states; activations may be narrower */
  /* Values of [C, H, W] lie as [H, W, C], parameters of [O, I, KH, KW] as [O, KH, KW, I]. Where that makes a difference a
   * flatten is a copy (FLATTEN), and the executor turns tensors around on their way from and to the host. */
  bool channels_last;
  int pass_shards; /* the most shards of a pass; 0 = any */
  bool (*fuses)(const dt_device *device, dt_fusion fusion, const dt_instr *into);
  /* Bytes of a VALUE, INDEX or SHARD buffer for so many shards of shard_slots samples. A multiple of 64. */
  size_t (*buffer_bytes)(const dt_device *device, dt_buffer_kind kind, const dt_shape *shape, int64_t shard_slots, int shards);
  /* Bytes of scratch an instruction needs, 0 for none; the buffers' shapes are known. Where a library computes the instruction
   * its plan is made here: what the library refuses or fails at is raised before anything starts. */
  dt_status (*work_bytes)(const dt_device *device, const dt_program *program, const dt_instr *instr, size_t *out);
  dt_status (*alloc)(dt_device *device, size_t bytes, void **out); /* zeroed, 64-byte aligned or better */
  void (*free)(dt_device *device, void *memory);
  /* Host <-> flat blocks. A block without elements is NULL. */
  dt_status (*upload)(dt_device *device, void *to, const void *from, size_t bytes);
  dt_status (*download)(dt_device *device, void *to, const void *from, size_t bytes);
  /* A VALUE buffer of a pass as host doubles [shards][shard_slots][shape...], and back: for predict and tests. */
  dt_status (*read_value)(dt_run *run, int buffer, const dt_pass *pass, double *out);
  dt_status (*write_value)(dt_run *run, int buffer, const dt_pass *pass, const double *in);
  /* Zeros, in the order of the compute stream. */
  dt_status (*clear)(dt_device *device, void *memory, size_t bytes);
  dt_status (*sync)(dt_device *device);
  void (*destroy)(dt_device **device);

  /* From here on NULL for devices that compute at once and in host memory. */

  /* Makes run->bound for a program whose blocks are all there: room for the inputs of `passes` passes, events, the outcome.
   * reducer is NULL for EVAL and PREDICT; owner is the run whose parameters this one shares, NULL when they are its own. unbind
   * frees it; safe on a run that was never bound. */
  dt_status (*bind)(dt_run *run, dt_reducer *reducer, const dt_run *owner, int passes);
  void (*unbind)(dt_run *run);
  /* Parameters or the normalisation were set: makes what the device derives from them (copies in half precision). */
  dt_status (*refresh)(dt_run *run);
  /* TRAIN: the first batch of the next step is about to be asked for. From here on a device that has nothing left to compute
   * waits for input (dt_outcome.data_wait). Does not wait. */
  dt_status (*ask)(dt_run *run);
  /* A step, or a pass of EVAL and PREDICT: stage takes over each pass's batch (copied; it is the caller's again on return),
   * begin takes over *run->step and says whether the whole step was launched from its recording. If not, the caller issues
   * every instruction with wait and record as dt_order says. end launches what was recorded. None of them waits for the device.
   */
  dt_status (*stage)(dt_run *run, const dt_pass *pass);
  dt_status (*begin)(dt_run *run, bool *out_replayed);
  dt_status (*end)(dt_run *run);
  dt_status (*wait)(dt_run *run, dt_stream stream, int event);
  dt_status (*record)(dt_run *run, dt_stream stream, int event);
  /* The outcome of the oldest step that was not yet asked for; waits for that step only. At most two steps are on their way. */
  dt_status (*outcome)(dt_run *run, dt_outcome *out);
  /* EVAL: waits, and hands out what SCORE has summed since the last call. */
  dt_status (*take_score)(dt_run *run, dt_score *out);
  /* A hash of flat memory, a multiple of 4 bytes; waits. Equal memory has equal hashes on all devices of this kind. */
  dt_status (*hash)(dt_device *device, const void *memory, size_t bytes, uint64_t *out);
  /* Copies a data set into device memory. *out is NULL when there is no room for it beside what is there and `reserve` bytes
   * that are still to be allocated. */
  dt_status (*hold)(dt_device *device, const dt_samples *samples, size_t reserve, void **out);
  void (*release)(dt_device *device, void *held);
  /* A reducer for gradients in device memory. Collective. */
  dt_status (*reducer_create)(dt_device *device, dt_comm *comm, const dt_reducer_options *options, dt_reducer **out);
  /* Free and total bytes of device memory; of the model when there is no device. */
  dt_status (*memory)(dt_device *device, size_t *free_bytes, size_t *total_bytes);
  /* Bytes the device keeps for a program besides its blocks: staged inputs, copies in half precision. To the byte, but for the
   * inputs of a data set that may be held: there they are the most that they can be. */
  size_t (*bound_bytes)(const dt_device *device, const dt_program *program, const dt_bound_plan *plan);
  /* Bytes reducer_create takes besides the gradient block; to the byte, and the same on every rank. */
  size_t (*reducer_bytes)(const dt_device *device, const dt_reducer_options *options);
  /* An allowance for what the libraries that the device works with will still take of the free bytes that `memory` gives, as
   * they do not tell: bytes. options is NULL where nothing is reduced. */
  size_t (*library_bytes)(const dt_device *device, const dt_reducer_options *options);
  /* Prints what computes each instruction that a library computes: engine, workspace. The same text on ranks whose arithmetic
   * is the same. */
  dt_status (*print_plans)(const dt_device *device, const dt_program *program, FILE *out);
  /* The same of all programs as a plan table: a line for each distinct instruction, as far as the choice is known. */
  dt_status (*print_plan_table)(const dt_device *device, const dt_program *const *program, int program_count, FILE *out);
  /* Times what the libraries offer for each distinct instruction of the programs that a library computes, prints a line for
   * each, and puts the choices into the plan table at `path`, which is made or gone on with. */
  dt_status (*time_plans)(dt_device *device, const dt_program *const *program, int program_count, const char *path, FILE *out);
  /* What a user should know, in one line, of how programs (either may be NULL) will run: work that no library
   * has a plan for. text [DT_REMARK_TEXT]; empty where there is nothing to tell. */
  dt_status (*remark)(const dt_device *device, dt_program *const program[2], char *text);
} dt_device_ops;

struct dt_device {
  const dt_device_ops *ops;
  dt_kernel *kernel[DT_OP_COUNT]; /* NULL: not a kernel (COMBINE, REDUCE_*) */
  /* Sums gradient elements [first, first+count): into += from. Runs where the gradients are. */
  dt_status (*add)(dt_device *device, void *into, const void *from, int64_t count);
  /* Work has not ended by its deadline: whatever else is asked of the device could wait for ever. What it has is left as it is,
   * and the process ends without it. */
  bool hung;
  int threads;
  const char *kernels; /* which of the device's kernels run, for the record: "avx512" */
  const char *library; /* a library whose arithmetic takes part, with version and variant; NULL: all of it is dtrain's own */
  const char *steps;   /* how steps get to it, where ranks that do it in different ways would wait for each other: "recorded" */
  const char *unit;  /* which piece of hardware, unique among all hosts: "GPU-5f2a...": two ranks on one are noticed. NULL: any
                        number of ranks share it */
  const char *title; /* for the table of ranks: "GPU 0 NVIDIA H200, 139.8 GiB, driver 13.0"; NULL with unit NULL */
};

typedef struct dt_device_options {
  int threads;       /* >= 1 */
  bool spin;         /* false when ranks share cores: waiting threads sleep at once */
  int math;          /* dt_math */
  int precision;     /* dt_precision, of the gpu device */
  int transport;     /* dt_transport, of the gpu device's reducer */
  const char *plans; /* of the gpu device: a plan table (docs/gpu.md), or a folder of them; NULL = none */
  bool plans_needed; /* it is an error if there is nothing in them for this GPU */
  int local_rank;    /* which of the visible GPUs: local_rank modulo their number */
  const char *model; /* "h200": plan for this model of GPU; such a device computes nothing. NULL = a real one */
} dt_device_options;

dt_status dt_reference_create(const dt_device_options *options, dt_device **out);
dt_status dt_cpu_create(const dt_device_options *options, dt_device **out);
/* Loads the plug-in with the gpu device and creates it. DT_ENVIRONMENT, in one line, when a driver, a device or a library is
 * missing or too old. */
dt_status dt_gpu_create(const dt_device_options *options, dt_device **out);

#endif

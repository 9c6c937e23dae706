/* The contract of a device: memory, a table of kernels, and what it can fuse.
 *
 * A kernel enqueues work for one instruction of one micro-batch and may return before it is done; dt_device_ops.sync waits.
 * What changes from step to step is read from dt_step and from the batch at the time the kernel runs, through memory that never
 * moves, so that a GPU can record the instructions of a step once as a graph and replay them. The reference and cpu devices run
 * everything at once and in order; what only other devices have stands in tables of its own (dt_stream_ops, dt_own_memory_ops,
 * dt_library_ops), which are NULL for them. */
#ifndef DT_CORE_DEVICE_H
#define DT_CORE_DEVICE_H

#include <math.h>

#include "core/field.h"
#include "core/program/sums.h"
#include "core/rank_state.h"
#include "core/tensor.h"
#include "core/tree.h"

typedef struct dt_comm dt_comm;                       /* comm/comm.h */
typedef struct dt_reducer dt_reducer;                 /* core/reducer.h */
typedef struct dt_reducer_options dt_reducer_options; /* core/reducer.h */
typedef struct dt_optimizer dt_optimizer;             /* core/optim/optimizer.h */
typedef struct dt_update dt_update;                   /* core/optim/optimizer.h */

/* One random augmentation of an image's geometry. First the image is mirrored as the bits of flip say, then out[y][x] =
 * in[y + dy][x + dx], 0 outside. */
enum { DT_FLIP_HORIZONTAL = 1, DT_FLIP_VERTICAL = 2 };
typedef struct dt_augmentation {
  int16_t dy, dx;
  int32_t flip;
} dt_augmentation;

/* A data set that a device may keep in its own memory: the fields that LOAD reads. */
typedef struct dt_samples {
  const void *values[DT_FIELDS_MAX]; /* by index in the graph: [count][shape], as on the host; NULL: not to be cached */
  size_t sample_bytes[DT_FIELDS_MAX];
  int64_t count;
} dt_samples;

/* The parts of a field in a batch, shard after shard; NULL: the field has no such part, or the batch does not carry it. */
typedef struct dt_batch_field {
  const void *part[DT_FIELD_PARTS];
} dt_batch_field;

/* A batch as the loader hands it over: the samples of one micro-batch. Shards stand one after another, each with shard_capacity
 * positions, of which the first valid[s] are filled. Where the device caches the data set, `index` and `augmentation` say which
 * samples, and the fields that LOAD reads are not in the batch. */
typedef struct dt_batch {
  dt_batch_field field[DT_FIELDS_MAX]; /* by index in the graph; those that the program reads */
  const void *cached;                  /* dt_own_memory_ops.cache_data's handle; NULL when all fields are in the batch */
  const int64_t *index;                /* [shards][shard_capacity]: sample in the cached data set, -1 in empty positions */
  const dt_augmentation *augmentation; /* [shards][shard_capacity][augmentations], applied in order */
  int augmentations;
  const int32_t *valid;    /* [shards]: samples in each shard */
  const int64_t *position; /* [shards]: place of the shard's first sample in the global batch */
  int64_t samples;         /* in the micro-batch */
} dt_batch;

/* Hyper-parameters and slots of an optimizer; and blocks for slots, with one for an average of the weights. */
enum { DT_HYPER_MAX = 8, DT_SLOTS_MAX = 4, DT_SLOT_BLOCKS = DT_SLOTS_MAX + 1 };

/* What changes from step to step. */
typedef struct dt_step {
  int64_t samples_seen;             /* before this batch */
  int64_t batch_samples;            /* that the step's gradient is of: a global batch, or several */
  int64_t number;                   /* of this step, from 1 on, whatever process makes it */
  bool partial;                     /* a batch of several, whose sums are only kept, or its first pass: core/solver.h */
  double hyper[DT_HYPER_MAX];       /* the optimizer's hyper-parameters (core/optim/optimizer.h) in this step */
  double clip_norm, clip_value;     /* 0 = off */
  double ascent;                    /* how far ASCEND moves the parameters: core/solver.h */
  double clip_units;                /* what a unit's gradient may be of the unit's norm (CLIP_UNITS) */
  double l1, l2;                    /* factors of PENALTY */
  double max_norm;                  /* of a unit (MAX_NORM) */
  double average;                   /* how much of the new parameters goes into their average: core/optim/average.h */
  double flags[DT_STATISTIC_COUNT]; /* [DT_STATISTIC_STOP..DT_STATISTIC_FAIL] of this rank: TALLY puts them into the first
                                       micro-batch's statistics */
  double grad_norm;                 /* written by GRAD_NORM, for the record */
  double penalty;                   /* likewise by PENALTY */
  /* What makes the mean gradient, clipped, of the sum over samples: 1 / batch_samples. GRAD_NORM, which then stands before
   * every UPDATE, puts what clipping and a loss scale make of it. */
  double scale;
  bool skip; /* written by GRAD_NORM: the gradient is not finite by its loss scale, and UPDATE changes nothing */
} dt_step;

/* What clipping by global norm leaves of a gradient (Pascanu et al. 2013), with PyTorch's guard against a zero norm. */
DT_EXACT_SUM_FUNCTION double dt_step_clip(const dt_step *step) {
  if (step->clip_norm == 0) return 1;
  double factor = step->clip_norm / (step->grad_norm + 1e-6);
  return factor < 1 ? factor : 1;
}

/* What ASCEND adds of the summed gradient to the parameters, from the sum of its squares, with the guard of its authors (Foret
 * et al., "Sharpness-aware minimization for efficiently improving generalization", 2021); 0 where it is not finite. */
DT_EXACT_SUM_FUNCTION double dt_step_ascent(const dt_step *step, double squares) {
  const double norm = sqrt(squares) / (double)step->batch_samples;
  return isfinite(norm) ? step->ascent / (norm + 1e-12) / (double)step->batch_samples : 0;
}

/* The largest element of a mean gradient. */
DT_EXACT_SUM_FUNCTION double dt_step_limit(const dt_step *step) {
  return step->clip_value > 0 ? step->clip_value : INFINITY;
}

/* What is left of the gradient of a unit, from its sum of squares as the kernels have it and that of the unit (Brock et al.,
 * "High-performance large-scale image recognition without normalization", 2021, equation 3). */
DT_EXACT_SUM_FUNCTION double dt_step_clip_unit(const dt_step *step, double param_squares, double grad_squares) {
  const double unit = sqrt(param_squares), norm = sqrt(grad_squares) * step->scale;
  const double most = step->clip_units * (unit > 1e-3 ? unit : 1e-3);
  return norm > most ? most / norm : 1;
}

/* What a unit is multiplied by behind an update, from its sum of squares (Srivastava et al., "Dropout: a simple way to prevent
 * neural networks from overfitting", 2014, section 5.1). */
DT_EXACT_SUM_FUNCTION double dt_step_shorten(const dt_step *step, double param_squares) {
  const double norm = sqrt(param_squares);
  return norm > step->max_norm ? step->max_norm / norm : 1;
}

/* What the memory of a bound program depends on besides the program. */
typedef struct dt_bound_plan {
  int micro_batches; /* whose inputs are on their way together */
  int augmentations; /* of a sample, where the device caches the data set */
  bool may_cache;    /* whether it may: that is decided once everything else has its memory */
  bool owns;         /* the parameters are its own, not another program's */
} dt_bound_plan;

/* What a step came to. */
typedef struct dt_step_result {
  double statistic[DT_STATISTIC_COUNT]; /* sums over all ranks */
  const double *sum, *nonfinite; /* [program->sum_count]: those of nodes, 0 for one not taken, and how many of its terms were
                                    not finite. The executor's, until the next outcome */
  double grad_norm;
  double penalty; /* 0 where the program has none */
  /* Seconds for which this rank's computing stood still. No moment is in both. */
  double data_wait;   /* for the step's input, from when it was asked for and all before it was computed, until it was there */
  double reduce_wait; /* for sums over ranks, when all that the rank does alone was computed; 0 in a world of one */
} dt_step_result;

/* One run of the micro-batch section. */
typedef struct dt_micro_batch {
  int index; /* among the micro-batches of the step on this rank; 0 in EVAL and PREDICT */
  int first_shard, shard_count;
  int partial;           /* partial sum that is written */
  const dt_batch *batch; /* of these shards; not for devices that stage */
} dt_micro_batch;

/* The blocks a program runs on. Flat blocks hold device->dtype elements. */
typedef struct dt_blocks {
  void *param, *state;
  void
      *slot[DT_SLOT_BLOCKS]; /* optimizer slots, each as long as the trained part of param; then the average, if there is one */
  void *grad;                /* partial sums * grad_elements */
  void *sum;                 /* grad_elements: the sum over batches, where a step may be several; else NULL */
  void *arena;
  const float *scale, *shift; /* [input_channels of the program]: LOAD's normalisation, host memory */
} dt_blocks;

/* A program bound to memory: what a kernel sees. */
typedef struct dt_run {
  dt_device *device;
  const dt_program *program;
  dt_blocks blocks;
  dt_step *step;
  const dt_optimizer *optimizer; /* NULL in EVAL */
  const void *optimizer_attr;
  bool averages; /* TRAIN: slot[optimizer->slots] is an average of the parameters */
  uint64_t seed;
  const int
      *owner; /* TRAIN: [segments] the rank that makes each matrix orthogonal, where ranks share that work; NULL: this one */
  int rank;
  int64_t *score; /* EVAL: [program->score_words], what SCORE adds to, on devices that compute at once */
  void *bound;    /* the device's own, made by dt_stream_ops.bind; NULL for devices that need none */
} dt_run;

typedef dt_status dt_kernel(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro);

/* The field that an argument names. */
static inline const dt_field *dt_instr_field(const dt_program *program, const dt_instr *instr, dt_arg arg) {
  return &program->field[program->buffer[instr->arg[arg]].offset];
}

/* The same as an index. */
static inline int dt_instr_field_index(const dt_program *program, const dt_instr *instr, dt_arg arg) {
  return (int)program->buffer[instr->arg[arg]].offset;
}

/* dt_device_ops.updates of devices whose UPDATE can be every optimizer. */
static inline bool dt_updates_every(const dt_device *device, const dt_optimizer *optimizer) {
  return true;
}

/* dt_device_ops.bucket_bytes of devices that compute in host memory. */
enum { DT_HOST_BUCKET_BYTES = 1 << 20 };

/* dt_device_ops.field of devices that compute in host memory: where the loader put it. */
static inline const void *dt_host_field(const dt_run *run, const dt_micro_batch *micro, int field, dt_field_part part) {
  return micro->batch->field[field].part[part];
}

/* Fusions a device may offer; fuse.c has one row each. */
typedef enum dt_fusion {
  DT_FUSE_FORWARD_ACT,   /* act after conv, linear, bn, add */
  DT_FUSE_FORWARD_ADD,   /* add after conv, linear, bn */
  DT_FUSE_CONV_POOL,     /* 2x2 max pool, stride 2, after conv+act */
  DT_FUSE_BACKWARD_ADD,  /* ADDEND of a gradient */
  DT_FUSE_BACKWARD_MASK, /* MASK of a gradient */
  DT_FUSE_MASK_BITS,     /* BITS in place of a MASK, which `folded` writes beside its output */
} dt_fusion;

enum { DT_WARNING_TEXT = 192 };

/* Work that goes on by itself on streams, while the host is ahead of it. */
typedef struct dt_stream_ops {
  /* Makes run->bound for a program whose blocks are all there: room for the inputs of `micro_batches` micro-batches, events,
   * the outcome. reducer is NULL for EVAL and PREDICT; owner is the run whose parameters this one shares, NULL when they are
   * its own. unbind frees it; safe on a run that was never bound. */
  dt_status (*bind)(dt_run *run, dt_reducer *reducer, const dt_run *owner, int micro_batches);
  void (*unbind)(dt_run *run);
  /* Bytes the device keeps for a program besides its blocks: staged inputs, copies in half precision. To the byte, but for the
   * inputs of a data set that may be cached: there they are the most that they can be. */
  size_t (*bound_bytes)(const dt_device *device, const dt_program *program, const dt_bound_plan *plan);
  /* Parameters or the normalisation were set: makes what the device derives from them (copies in half precision). */
  dt_status (*refresh)(dt_run *run);
  /* TRAIN: the first batch of the next step is about to be asked for. From here on a device that has nothing left to compute
   * waits for input (dt_step_result.data_wait). Does not wait. */
  dt_status (*ask)(dt_run *run);
  /* A step, or a micro-batch of EVAL and PREDICT: stage takes over each micro-batch's batch (copied; it is the caller's again
   * on return), begin takes over *run->step and says whether the whole step was launched from its recording. If not, the caller
   * issues every instruction with wait and record as dt_order says. end launches what was recorded. None of them waits for the
   * device.
   */
  dt_status (*stage)(dt_run *run, const dt_micro_batch *micro);
  dt_status (*begin)(dt_run *run, bool *out_replayed);
  dt_status (*end)(dt_run *run);
  dt_status (*wait)(dt_run *run, dt_stream stream, int event);
  dt_status (*record)(dt_run *run, dt_stream stream, int event);
  /* The outcome of the oldest step that was not yet asked for; waits for that step only. At most two steps are on their way.
   * statistics gets [program->statistics_count] elements of the gradient block; the rest of *out is filled in but for what the
   * executor makes of them. */
  dt_status (*outcome)(dt_run *run, double *statistics, dt_step_result *out);
  /* EVAL: waits, and hands out what SCORE has summed since the last call, [program->score_words] but for word 0. */
  dt_status (*take_score)(dt_run *run, int64_t *out);
} dt_stream_ops;

/* Memory that is the device's own, far from the host's: what can stay there does. */
typedef struct dt_own_memory_ops {
  /* A reducer for gradients in device memory. Collective. */
  dt_status (*reducer_create)(dt_device *device, dt_comm *comm, const dt_reducer_options *options, dt_reducer **out);
  /* Bytes reducer_create takes besides the gradient block; to the byte, and the same on every rank. */
  size_t (*reducer_bytes)(const dt_device *device, const dt_reducer_options *options);
  /* Copies a data set into device memory. *out is NULL when there is no room for it beside what is there and `reserve` bytes
   * that are still to be allocated. */
  dt_status (*cache_data)(dt_device *device, const dt_samples *samples, size_t reserve, void **out);
  void (*release_data)(dt_device *device, void *cached);
  /* A hash of flat memory, a multiple of 4 bytes; waits. Equal memory has equal hashes on all devices of this kind. */
  dt_status (*hash)(dt_device *device, const void *memory, size_t bytes, uint64_t *out);
  /* Two stretches of flat memory, multiples of 4 bytes, change places; in the order of the compute stream. */
  dt_status (*exchange)(dt_device *device, void *a, void *b, size_t bytes);
} dt_own_memory_ops;

/* Work that is left to libraries, each of which has several engines for it: a plan says which one an instruction gets. */
typedef struct dt_library_ops {
  /* Prints what computes each instruction that a library computes: engine, workspace. The same text on ranks whose arithmetic
   * is the same. shards > 0 adds how so many are computed: at once, or one by one. */
  dt_status (*print_plans)(const dt_device *device, const dt_program *program, int shards, FILE *out);
  /* The same of all programs as a plan table: a line for each distinct instruction, as far as the choice is known. */
  dt_status (*print_plan_table)(const dt_device *device, const dt_program *const *program, int program_count, FILE *out);
  /* Times what the libraries offer for each distinct instruction of the programs that a library computes, prints a line for
   * each, and puts the choices into the plan table at `path`, which is made or gone on with. */
  dt_status (*time_plans)(dt_device *device, const dt_program *const *program, int program_count, const char *path, FILE *out);
  /* What a user should know, in one line, of how programs (either may be NULL) will run: work that no library
   * has a plan for. text [DT_WARNING_TEXT]; empty where there is nothing to tell. */
  dt_status (*warning)(const dt_device *device, dt_program *const program[2], char *text);
  /* An allowance for what the libraries that the device works with will still take of the free bytes that `memory` gives, as
   * they do not tell: bytes. options is NULL where nothing is reduced. */
  size_t (*library_bytes)(const dt_device *device, const dt_reducer_options *options);
} dt_library_ops;

/* What every device has, and the tables of what only some have. A table that is there has all its functions. */
typedef struct dt_device_ops {
  const char *name;
  dt_dtype dtype; /* of parameters, gradients, statistics and states; activations may be narrower */
  /* Values of [C, H, W] lie as [H, W, C], parameters as their layout says (dt_layout). Where that makes a difference a
   * flatten is a copy (FLATTEN), and the executor turns tensors around on their way from and to the host. */
  bool channels_last;
  int micro_batch_shards; /* the most shards of a micro-batch; 0 = any */
  int sample_group;       /* a shard's samples are computed in groups of so many, filled or not; 0 = each for itself */
  int64_t bucket_bytes;   /* of gradients that ranks had best exchange at a time, where the config leaves it open */

  const dt_stream_ops *streams;        /* NULL: the device computes at once and in order, while the host waits */
  const dt_own_memory_ops *own_memory; /* NULL: blocks lie in the host's memory (dt_device_on_host) */
  const dt_library_ops *libraries;     /* NULL: the device computes everything itself */

  /* Whether `into` may take `folded` in, so that what stands between the two is never written. */
  bool (*fuses)(const dt_device *device, dt_fusion fusion, const dt_instr *folded, const dt_instr *into);
  /* Whether UPDATE can be this optimizer. */
  bool (*updates)(const dt_device *device, const dt_optimizer *optimizer);
  /* Bytes of a VALUE, INDEX, BITS, TERMS or SHARD buffer for so many shards of shard_capacity samples. A multiple of 64. BITS:
   * 0 where the device keeps none of values of this shape. */
  size_t (*buffer_bytes)(const dt_device *device, dt_buffer_kind kind, const dt_shape *shape, int64_t shard_capacity,
                         int shards);
  /* Bytes of scratch an instruction needs, 0 for none; the buffers' shapes are known. Where a library computes the instruction
   * its plan is made here: what the library refuses or fails at is raised before anything starts. */
  dt_status (*work_bytes)(const dt_device *device, const dt_program *program, const dt_instr *instr, size_t *out);
  dt_status (*alloc)(dt_device *device, size_t bytes, void **out); /* zeroed, 64-byte aligned or better */
  size_t (*block_bytes)(size_t bytes);                             /* what alloc takes for one or more bytes */
  void (*free)(dt_device *device, void *memory);
  /* Free and total bytes of device memory; of the model when there is no device. */
  dt_status (*memory)(dt_device *device, size_t *free_bytes, size_t *total_bytes);
  /* Host <-> flat blocks. A block without elements is NULL. */
  dt_status (*upload)(dt_device *device, void *to, const void *from, size_t bytes);
  dt_status (*download)(dt_device *device, void *to, const void *from, size_t bytes);
  /* The address in the device's memory of a field's part, [shards of the micro-batch][...]; the fields of a data set that it
   * caches have theirs in cache_data's copy. */
  const void *(*field)(const dt_run *run, const dt_micro_batch *micro, int field, dt_field_part part);
  /* A VALUE buffer of a micro-batch as host doubles [shards][shard_capacity][shape...], and back: for predict and tests. */
  dt_status (*read_value)(dt_run *run, int buffer, const dt_micro_batch *micro, double *out);
  dt_status (*write_value)(dt_run *run, int buffer, const dt_micro_batch *micro, const double *in);
  /* Zeros, in the order of the compute stream. */
  dt_status (*clear)(dt_device *device, void *memory, size_t bytes);
  dt_status (*sync)(dt_device *device);
  void (*destroy)(dt_device **device);
} dt_device_ops;

/* Whether the device has every function that it is bound to have; for assertions. */
bool dt_device_ops_are_complete(const dt_device_ops *ops);

struct dt_device {
  const dt_device_ops *ops;
  dt_kernel *kernel[DT_OP_COUNT]; /* NULL: not a kernel (COMBINE, REDUCE_*) */
  /* Sums gradient elements [first, first+count): into += from. Runs where the gradients are. */
  dt_status (*add)(dt_device *device, dt_stream stream, void *into, const void *from, int64_t count);
  dt_rank_state *rank; /* the state of the rank that it works for; NULL: it cannot hang */
  int threads;
  bool side_stream;    /* it computes on two streams at a time: DT_STREAM_SIDE */
  const char *kernels; /* which of the device's kernels run, for the record: "avx512" */
  const char *library; /* a library whose arithmetic takes part, with version and variant; NULL: all of it is dtrain's own */
  const char *steps;   /* how steps get to it, where ranks that do it in different ways would wait for each other: "recorded" */
  const char *id;    /* which piece of hardware, unique among all hosts: "GPU-5f2a...": two ranks on one are noticed. NULL: any
                        number of ranks share it */
  const char *note;  /* what a user should know of it when a run starts, in one line; NULL: nothing */
  const char *title; /* for the table of ranks: "GPU 0 NVIDIA H200, 139.8 GiB, driver 13.0"; NULL with id NULL */
};

/* Whether blocks lie in the host's memory, and as the host has them: the host works on them where they are, and what the device
 * takes and what the host takes is one sum. */
static inline bool dt_device_on_host(const dt_device *device) {
  return device->ops->own_memory == NULL;
}

/* Whether the rank hangs (dt_rank_is_stuck): what the device has is left as it is, and the process ends without it. */
static inline bool dt_device_is_stuck(const dt_device *device) {
  return device->rank != NULL && dt_rank_is_stuck(*device->rank);
}

typedef struct dt_device_options {
  int threads;         /* >= 1 */
  bool spin;           /* false when ranks share cores: waiting threads sleep at once */
  int math;            /* dt_math */
  int precision;       /* dt_precision, of the gpu device */
  int transport;       /* dt_transport, of the gpu device's reducer */
  const char *plans;   /* of the gpu device: a plan table (docs/gpu.md), or a folder of them; NULL = none */
  bool plans_needed;   /* it is an error if there is nothing in them for this GPU */
  bool verify_engines; /* of the gpu device: libraries' engines are tried out before the first step; else shards run one by one
                        */
  int local_rank;      /* which of the visible GPUs: local_rank modulo their number */
  dt_rank_state *rank; /* of the rank that the device works for, kept; NULL: for none */
  const char *model;   /* "h200": plan for this model of GPU; such a device computes nothing. NULL = a real one */
} dt_device_options;

dt_status dt_reference_create(const dt_device_options *options, dt_device **out);
dt_status dt_cpu_create(const dt_device_options *options, dt_device **out);
/* Loads the plug-in with the gpu device and creates it. DT_ENVIRONMENT, in one line, when a driver, a device or a library is
 * missing or too old. */
dt_status dt_gpu_create(const dt_device_options *options, dt_device **out);

#endif

/* Inside the gpu device. Every operation is one file with its kernels, which core/program/ops.def names.
 *
 * Rules of the room
 * 1. A micro-batch is one shard or several, a power of two, one behind the other: a VALUE buffer holds shard_capacity places of
 * each, [places][H][W][C] (images) or [places][D], in the run's value type; of shard s the first valid[s] places are filled.
 * What belongs to a sample alone is computed for all places at once. A sum over samples is taken shard by shard, each as if it
 * were alone, and then over the shards by the tree (dt_gpu_fold_shards): the bits are those of shards that run one by one.
 * 2. A kernel function enqueues on the instruction's stream and returns. It neither waits nor allocates nor reads what changes
 *    from step to step on the host: that is in device memory (dt_gpu_input). So a step can be recorded as a graph.
 * 3. Sums are taken in an order that depends on shapes alone, never on the model of GPU: fixed pieces, fixed trees, no float
 *    atomics.
 * 4. Only what lies in device memory is handed to a kernel; scalars and small structs go by value.
 * 5. What stands in empty places is finite, and gradients there are zero. */
#ifndef DT_GPU_GPU_H
#define DT_GPU_GPU_H

#ifdef __cplusplus
#ifndef _Noreturn
#define _Noreturn [[noreturn]]
#endif
extern "C" {
#endif

#include "core/device.h"
#include "core/optim/optimizer.h"
#include "core/plugin.h"

#ifdef __cplusplus
}
#endif

#include <cuda_runtime.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Element type of activations, their gradients and the copies of parameters that products read. */
typedef enum dt_gpu_type { DT_GPU_F32, DT_GPU_BF16, DT_GPU_F16 } dt_gpu_type;

typedef struct dt_gpu_libraries dt_gpu_libraries; /* handles and plans; libraries.h */
typedef struct dt_gpu_staging dt_gpu_staging;     /* pinned memory for copies; staging.h */

typedef struct dt_gpu {
  dt_device base;
  dt_rank_state no_rank; /* base.rank of a device that works for none */
  int precision;         /* dt_precision */
  dt_gpu_type type;
  int index;           /* of the CUDA device; -1 for a model without a device */
  size_t model_memory; /* bytes; of a model without a device */
  double timeout;      /* seconds: await.h */
  bool proves;         /* engines are tried out before the first step: prove.h */
  char id[96], title[160], kernels[96], library[160], note[320];
  cudaStream_t stream[DT_STREAMS];
  dt_gpu_libraries *libraries;
  dt_gpu_staging *staging;  /* NULL for a model without a device */
  unsigned long long *hash; /* device memory for a hash's sum; NULL before parameters are bound */
} dt_gpu;

const char *dt_gpu_precision_name(int precision); /* as in configs */
static inline dt_gpu *dt_gpu_of(const dt_run *run) {
  return (dt_gpu *)run->device;
}
static inline size_t dt_gpu_type_bytes(dt_gpu_type type) {
  return type == DT_GPU_F32 ? 4 : 2;
}

/* Bytes: buffers of the arena, WORK among them, and the parts of an input begin at multiples of this, like memory from
 * cudaMalloc. Slices of flat blocks begin at multiples of 16 elements. */
enum { DT_GPU_ALIGN = 256 };
static inline size_t dt_gpu_round_up(size_t bytes) {
  return (bytes + DT_GPU_ALIGN - 1) / DT_GPU_ALIGN * DT_GPU_ALIGN;
}

/* The shards of a micro-batch, and which of its places are filled: the first valid[s] of shard s, which has `capacity`. */
typedef struct dt_gpu_shards {
  const int32_t *valid; /* [count], device memory */
  int64_t capacity;
  int count;
} dt_gpu_shards;

/* The most shards of a micro-batch. */
enum { DT_GPU_SHARDS_MAX = 64 };

/* A batch and the step as kernels see them: device memory, at the same place in every step. */
typedef struct dt_gpu_input {
  dt_step *step; /* GRAD_NORM writes grad_norm in it */
  dt_gpu_shards shards;
  const int64_t *position;             /* [shards.count] place of each shard's first sample in the global batch */
  const int64_t *index;                /* [places]: sample in the data set that the device holds; NULL when samples travel */
  const dt_augmentation *augmentation; /* [places][augmentations], with index */
  int augmentations;
} dt_gpu_input;
dt_gpu_input dt_gpu_input_of(const dt_run *run, const dt_micro_batch *micro);

/* Device memory of a field's part: the places of the micro-batch, or the whole data set where the device holds the
 * field. */
const void *dt_gpu_field(const dt_run *run, const dt_micro_batch *micro, int field, dt_field_part part);
/* Whether it does: the batch's sample at place s is number input.index[s] of it then. */
bool dt_gpu_caches(const dt_run *run, int field);
/* Device memory of an argument, of no field; NULL when absent. PARAM: the fp32 master. GRAD: of the partial sum that the
 * micro-batch writes.
 */
void *dt_gpu_arg(const dt_run *run, const dt_instr *instr, const dt_micro_batch *micro, dt_arg arg);
/* A parameter in the value type: the master itself in fp32, else its copy. */
const void *dt_gpu_param(const dt_run *run, const dt_instr *instr, dt_arg arg);
/* Copy of the parameter block in the value type, NULL in fp32; the optimizer's kernel writes it beside the master. */
void *dt_gpu_low_params(const dt_run *run);
/* LOAD's normalisation, [input_channels] each, in device memory. */
const float *dt_gpu_scale(const dt_run *run);
const float *dt_gpu_shift(const dt_run *run);
/* The stretch of the parameter block that an UPDATE takes: its bucket's. Where no bucket is waited for, the last one takes the
 * whole block, since one launch costs less than many, and the others nothing. */
typedef struct dt_gpu_stretch {
  int64_t first, count; /* multiples of DT_ALIGN_ELEMENTS */
} dt_gpu_stretch;
dt_gpu_stretch dt_gpu_stretch_of(const dt_run *run, const dt_instr *instr);
/* What an UPDATE works on where not all parameters are updated alike (pieces.c): each for a block of threads. */
typedef struct dt_gpu_pieces {
  dt_segment *host, *piece; /* the same in host and in device memory */
  int count;
} dt_gpu_pieces;
/* Writes the pieces of a program, if piece is not NULL; returns their number. */
int dt_gpu_pieces_fill(const dt_program *program, dt_segment *piece);
size_t dt_gpu_pieces_bytes(const dt_program *program); /* of device memory */
dt_status dt_gpu_pieces_make(const dt_run *run, dt_gpu_pieces *out);
void dt_gpu_pieces_release(dt_gpu_pieces *pieces);
/* Those of a stretch that begins and ends where buckets do. */
dt_gpu_pieces dt_gpu_pieces_within(const dt_gpu_pieces *all, const dt_gpu_stretch *stretch);
dt_gpu_pieces dt_gpu_pieces_of(const dt_run *run, const dt_gpu_stretch *stretch);
size_t dt_gpu_tensors_bytes(const dt_program *program); /* of device memory, for what goes by tensors or units */
dt_status dt_gpu_tensors_make(const dt_run *run, dt_segment **out);
/* For TENSOR_NORM, CLIP_UNITS and MAX_NORM: the segments of a program that has one of them, each a tensor. */
const dt_segment *dt_gpu_tensors_of(const dt_run *run);
/* dt_device_ops.updates. */
bool dt_gpu_updates(const dt_device *device, const dt_optimizer *optimizer);
/* The state of loss scaling, [DT_LOSS_SCALE_COUNT] as core/program/graph.h names it, fp16 only, else NULL. Losses multiply
 * gradients with NEXT; GRAD_NORM, before the first UPDATE, hands that on as USED, takes it out again by dt_step.scale, and
 * writes the other three. */
float *dt_gpu_loss_scale(const dt_run *run);
/* EVAL: [program->score_words], what SCORE adds to, by integer atomics. Device memory. */
int64_t *dt_gpu_scores(const dt_run *run);

/* Dimensions of an argument's values, [samples][inner][channels], whatever their shape. It is that of the memory's own buffer,
 * not of a view, so that the order of elements is known. */
typedef struct dt_gpu_values {
  int64_t samples, inner, channels; /* the micro-batch's places, and the two of the shape */
} dt_gpu_values;
dt_gpu_values dt_gpu_values_of(const dt_run *run, const dt_instr *instr, const dt_micro_batch *micro, dt_arg arg);
/* The places of a micro-batch. */
static inline int64_t dt_gpu_places(const dt_run *run, const dt_micro_batch *micro) {
  return micro->shard_count * run->program->shard_capacity;
}

/* The same of an image: [samples][height][width][channels]; a vector that is seen as one has one pixel. */
typedef struct dt_gpu_image {
  int64_t samples; /* the micro-batch's places */
  int64_t height, width, channels;
} dt_gpu_image;
dt_gpu_image dt_gpu_image_of(const dt_run *run, const dt_instr *instr, const dt_micro_batch *micro, dt_arg arg);
static inline int64_t dt_gpu_image_count(const dt_gpu_image *image) {
  return image->samples * image->height * image->width * image->channels;
}
int64_t dt_gpu_count(const dt_program *program, const dt_instr *instr, dt_arg arg); /* elements a sample; 0 when absent */

static inline cudaStream_t dt_gpu_stream(const dt_run *run, const dt_instr *instr) {
  return dt_gpu_of(run)->stream[instr->stream];
}

/* Bytes of scratch an instruction needs; a row in device.c for an op that needs any. Makes the plan of an instruction that a
 * library computes: DT_ENVIRONMENT and DT_MEMORY are the library's. */
typedef dt_status dt_gpu_work(const dt_gpu *gpu, const dt_program *program, const dt_instr *instr, size_t *out);

/* Raises what a call of the CUDA runtime returned: out of memory is DT_MEMORY, all else DT_ENVIRONMENT with the call's name,
 * the error's name and text. */
/* Says whether this thread is recording a step. */
void dt_gpu_note_recording(bool recording);
/* What to append to the line of a failure: while a step is recorded, that DTRAIN_GPU_GRAPH=0 does without; else nothing. */
const char *dt_gpu_recording_remedy(void);
dt_status dt_gpu_check(cudaError_t code, const char *call, const char *file, int line);
#define DT_CUDA(call) DT_TRY(dt_gpu_check((call), #call, __FILE__, __LINE__))

/* into += from, elementwise: dt_device.add. */
dt_status dt_gpu_add_elements(dt_device *device, dt_stream of, void *into, const void *from, int64_t count);
/* out = fold over roots in the tree's order, elementwise: source[i] is root i's slice, in device memory; out may be one of
 * them. source_count is at most DT_GPU_FOLD_MAX. */
enum { DT_GPU_FOLD_MAX = 64 };
dt_status dt_gpu_fold(const dt_merge *fold, int fold_count, const float *const *source, int source_count, int64_t count,
                      float *out, cudaStream_t stream);
/* Writes the GPU's own clock, in nanoseconds, when all that stands before on the stream has ended; it ticks about once in a
 * microsecond. Device memory. */
dt_status dt_gpu_stamp(unsigned long long *at, cudaStream_t stream);
/* Which of dtrain's machine code runs on the current device, and of which PTX it was made: 90 is sm_90. The first is greater
 * where the driver compiled it. */
dt_status dt_gpu_code_versions(int *out_binary, int *out_ptx);
/* A span of a step, by the GPU's clock: nanoseconds. */
typedef struct dt_gpu_span {
  unsigned long long begin, end;
} dt_gpu_span;
/* What the host reads of a step besides its statistics. */
typedef struct dt_gpu_step_result {
  double grad_norm, penalty;
  dt_gpu_span reduction;
} dt_gpu_step_result;
/* Hands over a step's statistics and the rest: to and *out are mapped pinned memory by the device's address, all else is device
 * memory. reduction NULL: nobody was waited for. */
dt_status dt_gpu_give_result(const float *statistics, int64_t count, float *to, const dt_step *step,
                             const dt_gpu_span *reduction, dt_gpu_step_result *out, cudaStream_t stream);
/* Adds the hash of `count` words to sum[0], in device memory, which is alive while a hash is taken. */
enum { DT_GPU_HASH_BYTES = sizeof(unsigned long long) };
dt_status dt_gpu_hash_words(const void *memory, int64_t count, unsigned long long *sum, cudaStream_t stream);
/* Two stretches of device memory, whole words, change places. */
dt_status dt_gpu_exchange(void *a, void *b, size_t bytes, cudaStream_t stream);
/* Numbers in [-1, 1) that look like chance; the same for the same seed. */
dt_status dt_gpu_fill(dt_gpu_type type, void *to, int64_t count, uint32_t seed, cudaStream_t stream);
/* to = from in the value type (BF16 or F16). */
dt_status dt_gpu_narrow(dt_gpu_type type, const float *from, int64_t count, void *to, cudaStream_t stream);
/* to = from widened. */
dt_status dt_gpu_widen(dt_gpu_type type, const void *from, int64_t count, float *to, cudaStream_t stream);
/* y = act(y) in place. */
dt_status dt_gpu_apply_act(dt_gpu_type type, dt_act act, void *y, int64_t count, cudaStream_t stream);
/* db[c] = sum over the rows of all shards of dy[row][c], rows being those of a shard. work: dt_gpu_column_work bytes. */
size_t dt_gpu_column_work(int shards, int64_t rows, int64_t columns);
dt_status dt_gpu_sum_columns(dt_gpu_type type, const void *dy, int shards, int64_t rows, int64_t columns, void *work, float *db,
                             cudaStream_t stream);

/* What shards have left of a sum: [shards][stride] values, of which the first `count` count. */
typedef struct dt_gpu_shard_sums {
  const void *from;
  int shards; /* a power of two, at most DT_GPU_SHARDS_MAX */
  int64_t stride, count;
  float *out[2]; /* values from `split` on go to out[1] */
  int64_t split;
} dt_gpu_shard_sums;
/* out = the sums over the shards, by the tree (core/tree.h). */
dt_status dt_gpu_fold_shards(dt_gpu_type type, const dt_gpu_shard_sums *sums, cudaStream_t stream);

/* The kernels, dt_gpu_<name>: those of the ops of core/program/ops.def that are 1 for the gpu device. */
#define DT_OP(OP, name, section, attr, reference, cpu, gpu, reads, writes) DT_WHERE_##gpu(dt_kernel dt_gpu_##name;)
#include "core/program/ops.def"
#undef DT_OP

dt_gpu_work dt_gpu_library_work, dt_gpu_bn_work, dt_gpu_ln_work, dt_gpu_bias_wgrad_work, dt_gpu_grad_norm_work;
dt_gpu_work dt_gpu_orthogonalise_work, dt_gpu_penalty_work, dt_gpu_activity_kl_work;

/* libraries.c: opens cuDNN and cuBLASLt (handles only with a device) and the plan table, and closes them. */
dt_status dt_gpu_libraries_open(dt_gpu *gpu, const dt_device_options *options);
void dt_gpu_libraries_close(dt_gpu *gpu);
dt_status dt_gpu_print_plans(const dt_device *device, const dt_program *program, int shards, FILE *out);
dt_status dt_gpu_print_plan_table(const dt_device *device, const dt_program *const *program, int program_count, FILE *out);
/* tune.c, by trial.c */
dt_status dt_gpu_time_plans(dt_device *device, const dt_program *const *program, int program_count, const char *path,
                            FILE *out);
dt_status dt_gpu_warning(const dt_device *device, dt_program *const program[2], char *text);
/* Models of GPU that plans can be made for without one: memory in bytes, and the properties as cuDNN reads them. */
typedef struct dt_gpu_model {
  const char *name, *title;
  int compute_capability; /* 900 is 9.0 */
  int multiprocessors;
  size_t memory_bytes;
  const char *json;
} dt_gpu_model;
/* DT_USAGE, naming those there are, when there is none of that name. */
dt_status dt_gpu_model_get(const char *name, const dt_gpu_model **out);

/* reducer.c: gradients in device memory, reduced by NCCL, or staged through host memory and the communicator's own reducer. */
dt_status dt_gpu_reducer_create(dt_device *device, dt_comm *comm, const dt_reducer_options *options, dt_reducer **out);
size_t dt_gpu_reducer_bytes(const dt_device *device, const dt_reducer_options *options);
/* Whether it is NCCL that brings the ranks' gradients together. */
bool dt_gpu_reduces_over_nccl(const dt_reducer_options *options);

/* allowance.c: dt_library_ops.library_bytes. */
size_t dt_gpu_library_bytes(const dt_device *device, const dt_reducer_options *options);

#ifdef __cplusplus
}
#endif

#endif

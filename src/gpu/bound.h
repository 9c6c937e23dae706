/* What a run has on the gpu besides its blocks (run->bound): the inputs of a step, its recording, and its outcome. */
#ifndef DT_GPU_BOUND_H
#define DT_GPU_BOUND_H

#include "comm/comm.h"
#include "gpu/gpu.h"

/* A data set in device memory: dt_own_memory_ops.cache_data's handle. */
typedef struct dt_gpu_cached {
  void *memory[DT_FIELDS_MAX]; /* by the field's index; NULL: not cached */
} dt_gpu_cached;

/* How a run's samples come, found in its first batch: every later one comes the same way. */
typedef struct dt_gpu_form {
  const dt_gpu_cached *cached; /* NULL: all fields travel with the batch */
  int augmentations;
} dt_gpu_form;

/* Where the parts of one micro-batch's input lie, in bytes from its beginning. */
typedef struct dt_gpu_layout {
  size_t valid, position, index, augmentation;
  size_t field[DT_FIELDS_MAX][DT_FIELD_PARTS];
  size_t micro_batch_bytes;
} dt_gpu_layout;

/* The inputs of a step are one block, [dt_step][micro-batch 0][micro-batch 1]...: inputs.c. */
typedef struct dt_gpu_inputs {
  int micro_batches;
  bool ready; /* form and layout are known, memory is there */
  dt_gpu_form form;
  dt_gpu_layout layout;
  size_t bytes;
  char *host[2];          /* pinned; steps take turns */
  char *place[2];         /* device memory: where host[i] arrives, and where the kernels of its step read it */
  cudaEvent_t arrived[2]; /* the copy from host[i] to place[i] is over */
  cudaEvent_t asked[2];   /* the compute stream has ended all that came before the step's input was asked for */
  cudaEvent_t passed[2];  /* it has got past the wait for the input */
  cudaEvent_t over[2];    /* the step that reads place[i] has ended */
  char *current;          /* place of the step that was sent last */
  int turn;               /* of the step that comes next */
  unsigned shards;        /* of the micro-batches that were staged since the last was sent, as bits: they are powers of two */
  bool open;              /* host[turn] is free and being filled */
} dt_gpu_inputs;

dt_status dt_gpu_inputs_create(int micro_batches, dt_gpu_inputs *out);
void dt_gpu_inputs_release(dt_gpu_inputs *inputs);
/* The next step's input is about to be asked for. */
dt_status dt_gpu_inputs_ask(const dt_gpu_inputs *inputs, const dt_run *run);
/* Copies a micro-batch's batch. Waits only for the step before the last one. DT_MEMORY in the first step. */
dt_status dt_gpu_inputs_stage(dt_gpu_inputs *inputs, const dt_run *run, const dt_micro_batch *micro);
/* Sends what was staged and *run->step on their way: behind it the compute stream finds them in `current`. Asynchronous. */
dt_status dt_gpu_inputs_send(dt_gpu_inputs *inputs, const dt_run *run);
/* The step that was sent last has been enqueued; its turn, whose input may be written over once over[turn] is. */
dt_status dt_gpu_inputs_end(const dt_gpu_inputs *inputs, const dt_run *run);
static inline int dt_gpu_inputs_last(const dt_gpu_inputs *inputs) {
  return 1 - inputs->turn;
}
/* Seconds between asked[turn] and passed[turn], which have ended: for so long the compute stream waited for a step's input. */
dt_status dt_gpu_inputs_waited(const dt_gpu_inputs *inputs, int turn, double *out);
/* Where a micro-batch's input begins. */
static inline size_t dt_gpu_inputs_at(const dt_gpu_inputs *inputs, int micro) {
  return DT_GPU_ALIGN + (size_t)micro * inputs->layout.micro_batch_bytes;
}
/* The bytes of device memory that the inputs of a program take; where the data set may be cached, the most that they can. */
size_t dt_gpu_inputs_bytes(const dt_program *program, const dt_bound_plan *plan);

enum { DT_GPU_FORMS = 7 };
_Static_assert(1 << (DT_GPU_FORMS - 1) == DT_GPU_SHARDS_MAX, "a form for each number of shards");

typedef struct dt_gpu_bound {
  dt_gpu_inputs inputs;
  dt_reducer *reducer; /* borrowed; NULL in EVAL and PREDICT */
  bool alone;          /* nothing is reduced, and so no bucket waited for */
  int channels;
  float *scale, *shift; /* [channels] */
  void *low;            /* parameters in the value type; NULL in fp32 */
  bool owns_low;
  dt_segment *tensors;  /* device memory: the program's segments, where an instruction goes by tensors or units; else NULL */
  dt_gpu_pieces pieces; /* none where all parameters are updated alike */
  float *loss_scale;    /* in the state block; NULL but in fp16 */
  int64_t *score;       /* [program->score_words], device memory; NULL but in EVAL */
  int64_t *score_host;  /* likewise, pinned */
  cudaEvent_t *event;   /* of the program's order */
  bool *from_comm;      /* [event_count]: recorded on the communication stream */
  int event_count;
  /* Device memory: from the compute stream's first wait for the communication stream in a step to the end of its last one. NULL
   * in EVAL and PREDICT. */
  dt_gpu_span *reduction;
  bool stamps;  /* it is measured: reductions on that stream wait for other ranks */
  bool records; /* steps are recorded */
  bool recording;
  /* By form, that is, by which instructions and launches there are: TRAIN, of a step's last (or only) batch (0) and of a
   * partial one (1); EVAL and PREDICT, of a micro-batch of 2^form shards. */
  unsigned proven[DT_GPU_FORMS]; /* for which numbers of shards engines were tried out (prove.h) */
  int64_t begun[DT_GPU_FORMS];   /* how many */
  int comm_waits[DT_GPU_FORMS]; /* of the compute stream for the communication stream in a step that was issued; 0: none was yet
                                 */
  cudaGraphExec_t graph[DT_GPU_FORMS][2]; /* one for each place of an input; NULL until it is recorded */
  int form;                               /* which is being made */
  int waits;                              /* so far in this step */
  /* Mapped pinned memory, as the host and as the device have it: of steps that take turns. NULL in EVAL and PREDICT. */
  char *result, *result_on_device;
  int64_t started, taken; /* results */
} dt_gpu_bound;

static inline dt_gpu_bound *dt_gpu_bound_of(const dt_run *run) {
  return (dt_gpu_bound *)run->bound;
}

/* Whether steps may be recorded. DTRAIN_GPU_GRAPH=0 issues every step, for debuggers and profilers that want to see single
 * kernels, and for what cannot be recorded. NCCL's calls have to be recorded on all ranks or on none. */
bool dt_gpu_records(void);
dt_status dt_gpu_records_check(void); /* DT_ENVIRONMENT where the variable is neither 0 nor 1 */

/* The functions of dt_stream_ops. */
dt_status dt_gpu_bind(dt_run *run, dt_reducer *reducer, const dt_run *owner, int micro_batches);
void dt_gpu_unbind(dt_run *run);
dt_status dt_gpu_refresh(dt_run *run);
dt_status dt_gpu_ask(dt_run *run);
dt_status dt_gpu_stage(dt_run *run, const dt_micro_batch *micro);
dt_status dt_gpu_begin(dt_run *run, bool *out_replayed);
dt_status dt_gpu_end(dt_run *run);
dt_status dt_gpu_wait(dt_run *run, dt_stream stream, int event);
dt_status dt_gpu_record(dt_run *run, dt_stream stream, int event);
dt_status dt_gpu_result(dt_run *run, double *statistics, dt_step_result *out);
dt_status dt_gpu_take_score(dt_run *run, int64_t *out);
size_t dt_gpu_bound_bytes(const dt_device *device, const dt_program *program, const dt_bound_plan *plan);

#endif

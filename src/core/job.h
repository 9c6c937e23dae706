/* A job: a config brought to life on this rank. Everything that train, eval and predict share is set up here, in an order in
 * which every rank learns of another's failure before it could wait for it. */
#ifndef DT_CORE_JOB_H
#define DT_CORE_JOB_H

#include "comm/comm.h"
#include "core/checkpoint.h"
#include "core/executor.h"
#include "core/memory.h"
#include "core/schedule.h"
#include "data/data.h"

typedef enum dt_job_kind { DT_JOB_TRAIN, DT_JOB_EVAL, DT_JOB_PREDICT } dt_job_kind;

enum { DT_MISSING_TEXT = 512 };

typedef struct dt_job {
  dt_job_kind kind;
  const dt_config *config;
  const dt_spec *spec;
  dt_comm *comm;
  int threads;
  dt_device *device;
  char missing[DT_MISSING_TEXT]; /* why an automatic choice fell on the cpu */
  char *units;                   /* the table of ranks and their hardware, on rank 0; NULL = none */
  int sharers;                   /* ranks on this rank's piece of hardware */
  dt_graph *graph;
  dt_tree *tree;
  dt_dataset *train, *eval; /* eval jobs load only what they score */
  dt_program *program[2];   /* [0] training (TRAIN jobs only), [1] evaluation or prediction */
  dt_memory memory;         /* as planned */
  dt_memory_seen seen;      /* `ended` is the trainer's to fill in */
  char *plans[2];           /* of each, what the device leaves to libraries and which of their engines; NULL: nothing */
  dt_reducer *reducer;
  dt_executor *executor[2];
  dt_sampler sampler, eval_sampler;
  dt_clock clock;
  dt_schedule_spec lr, momentum, weight_decay;
  double *mean, *std;   /* [dim 0 of the input]: its normalisation; kept in checkpoints as input.mean and input.std */
  float *scale, *shift; /* likewise: what LOAD does with them */
  int channels;
  char *config_text;                /* resolved */
  dt_tensor_ref *model, *optimizer; /* what a checkpoint holds, on the host; see dt_job_download */
  int model_count, optimizer_count;
} dt_job;

/* Cores this process may use; ranks of one host share them. */
int dt_cores_available(void);
/* The most shards that a pass may have, by the spec and the device; 0 = any. */
int dt_job_pass_shards(const dt_spec *spec, const dt_device *device);
/* The device a spec asks for, with threads shared out among the ranks of this host. model: dt_device_options.model. Where the
 * spec leaves the choice, a gpu if there is one, else the cpu, and `missing` (DT_MISSING_TEXT bytes) says what a gpu lacked; ""
 * otherwise. Not collective. Returns new. */
dt_status dt_device_create(const dt_spec *spec, int local_rank, int local_size, const char *model, int *out_threads,
                           char *missing, dt_device **out);

/* Whether every rank has loaded its config, and the same one. `loaded` is what loading gave this rank; config may be NULL when
 * it failed. Collective; an error is everyone's. */
dt_status dt_job_agree_config(dt_comm *comm, dt_status loaded, const dt_config *config);

/* Collective; an error is everyone's. Borrows config and comm. on_train: an EVAL job scores the training set. Returns
 * new. */
dt_status dt_job_create(const dt_config *config, dt_comm *comm, dt_job_kind kind, bool on_train, dt_job **out);
/* Where the device or another rank hangs, everything is left as it is: a tear-down could wait for ever. comm->stranded, or else
 * comm->diverged, then says that abort is to end the job. */
void dt_job_destroy(dt_job **job);

/* A loader of the training or the evaluation set for this rank's passes. Returns new. */
dt_status dt_job_loader(const dt_job *job, bool training, int64_t samples_seen, int64_t end_samples, dt_loader **out);
/* Copies the state to the host and fills job->model and job->optimizer. Not collective. */
dt_status dt_job_download(dt_job *job);
/* Rank 0 opens a checkpoint (a folder, or the newest in a folder), every rank gets its tensors; meta and path are rank 0's.
 * Collective; an error is everyone's. */
dt_status dt_job_restore(dt_job *job, const char *path, bool with_optimizer, dt_checkpoint **out_checkpoint,
                         char **out_refused);
/* What ended an evaluation early, from the least grave to the gravest. */
typedef enum dt_cut { DT_CUT_NONE, DT_CUT_STOP, DT_CUT_PREEMPT, DT_CUT_FAILED } dt_cut;
/* Scores the evaluation set on all ranks. *out_cut, the same on every rank, tells whether a signal ended it early (then the
 * score is worthless). Collective; an error is everyone's. */
dt_status dt_job_evaluate(dt_job *job, dt_score *out, dt_cut *out_cut);
/* Default folder of a run's checkpoints: <output>/<name>/ckpt. text holds PATH_MAX. */
dt_status dt_job_checkpoint_dir(const dt_spec *spec, char *text);

#endif

/* A job: a config brought to life on this rank. Everything that train, eval and predict share is set up here, in an order in
 * which every rank learns of another's failure before it could wait for it. */
#ifndef DT_TRAIN_JOB_H
#define DT_TRAIN_JOB_H

#include "checkpoint/checkpoint.h"
#include "comm/comm.h"
#include "core/optim/schedule.h"
#include "core/region.h"
#include "data/data.h"
#include "train/devices.h"
#include "train/executor.h"
#include "train/memory.h"

typedef enum dt_job_kind { DT_JOB_TRAIN, DT_JOB_EVAL, DT_JOB_PREDICT } dt_job_kind;

typedef struct dt_job {
  dt_job_kind kind;
  const dt_config *config;
  const dt_spec *spec;
  dt_comm *comm;
  int threads;
  dt_device *device;
  char missing[DT_MISSING_TEXT]; /* why an automatic choice fell on the cpu */
  char *devices;                 /* the table of ranks and their hardware, on rank 0; NULL = none */
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
  int64_t *score; /* [program[1]->score_words] of the last evaluation, over all ranks */
  dt_sampler sampler, eval_sampler;
  uint64_t *draws; /* of sampler; NULL: none */
  dt_clock clock;
  dt_schedules schedules;
  double *mean, *std;               /* [channels of all inputs, one after another]: their normalisation */
  float *scale, *shift;             /* likewise: what LOAD does with them */
  dt_tensor_ref *normalisation;     /* mean and std as checkpoints keep them: `<input>.mean` and `<input>.std` of each input */
  dt_region names;                  /* of these */
  char *config_text;                /* resolved */
  dt_tensor_ref *model, *optimizer; /* what a checkpoint holds, on the host; see dt_job_download */
  int model_count, optimizer_count;
} dt_job;

/* The most shards that a micro-batch may have, by the spec and the device; 0 = any. */
int dt_job_micro_batch_shards(const dt_spec *spec, const dt_device *device);
/* Whether every layer can be trained on the shards that batches are cut into: whole batches and, where the sampler of the
 * training set is known (NULL: it isn't), the short one that ends an epoch, if `total_samples` reach it. DT_USAGE, at the
 * layer's place in the config. */
dt_status dt_job_check_shards(const dt_config *config, const dt_graph *graph, const dt_sampler *sampler, int64_t total_samples);
/* Whether every rank has loaded its config, and the same one. `loaded` is what loading gave this rank; config may be NULL when
 * it failed. Collective; an error is everyone's. */
dt_status dt_job_agree_config(dt_comm *comm, dt_status loaded, const dt_config *config);

/* Collective; an error is everyone's. Borrows config and comm. on_train: an EVAL job scores the training set. Returns
 * new. */
dt_status dt_job_create(const dt_config *config, dt_comm *comm, dt_job_kind kind, bool on_train, dt_job **out);
/* Unless the ranks are together (core/rank_state.h) everything is left as it is: a tear-down could wait for ever, and what is
 * shared may be in use. Abort is to end the job then. */
void dt_job_destroy(dt_job **job);

/* A loader of the training or the evaluation set for this rank's micro-batches. Returns new. */
dt_status dt_job_loader(const dt_job *job, bool training, int64_t samples_seen, int64_t end_samples, dt_loader **out);
/* Copies the state to the host and fills job->model and job->optimizer. Not collective. */
dt_status dt_job_download(dt_job *job);
/* Rank 0 opens a checkpoint (a folder, or the newest in a folder), every rank gets its tensors; meta and path are rank 0's.
 * Collective; an error is everyone's. */
dt_status dt_job_restore(dt_job *job, const char *path, bool with_optimizer, dt_checkpoint **out_checkpoint,
                         char **out_refused);
/* Default folder of a run's checkpoints: <output>/<name>/ckpt. text holds PATH_MAX. */
dt_status dt_job_checkpoint_dir(const dt_spec *spec, char *text);

#endif

/* Checkpoints: logical tensors and one counter; nothing per rank.
 *
 * ckpt/step-<step>-samples-<samples>/ holds manifest.json, model.safetensors (parameters and running statistics),
 * optimizer.safetensors (slots) and config.yaml (resolved). Fixed order of tensors and keys, so that equal state is equal
 * bytes.
 *
 * Invariants
 * 1. A committed checkpoint is never lost: a new one is complete, hashed, synced and renamed before an older one may go.
 * 2. A checkpoint that does not verify is never used; loading walks back to the newest that does, naming why each was refused.
 * 3. Nothing loaded can run code, leave its folder, or make the program allocate more than the file holds. */
#ifndef DT_CHECKPOINT_CHECKPOINT_H
#define DT_CHECKPOINT_CHECKPOINT_H

#include "core/tensor.h"

/* A data set as the state has met it; samples 0 = none. */
typedef struct dt_checkpoint_set {
  int64_t samples;
  uint64_t hash; /* dt_dataset.hash */
} dt_checkpoint_set;

/* Sums over the steps of an epoch so far: its averages are the same whether or not the run stopped in between. */
enum { DT_EPOCH_SUMS = 32, DT_SUM_NAME = 96 };
typedef struct dt_epoch_sums {
  int64_t samples;
  int count;
  char name[DT_EPOCH_SUMS][DT_SUM_NAME]; /* "loss.correct": a node's sum */
  double sum[DT_EPOCH_SUMS];             /* over every sample as it was trained on */
} dt_epoch_sums;

/* How a measure has gone over the evaluations so far. */
typedef struct dt_watch {
  char measure[48];           /* "" before the first evaluation */
  double best;                /* its best value */
  int64_t samples_seen, step; /* of the state that has it */
  int64_t waited;             /* evaluations since */
} dt_watch;

typedef enum dt_watched {
  DT_WATCH_TARGET,
  DT_WATCH_BEST, /* whose checkpoint is kept besides */
  DT_WATCH_STOP, /* early stopping */
  DT_WATCH_COUNT
} dt_watched;

typedef struct dt_checkpoint_meta {
  int64_t samples_seen, step;
  dt_watch watch[DT_WATCH_COUNT];
  dt_epoch_sums epoch;
  dt_checkpoint_set train, eval;
  bool evaluation_due;     /* a signal called off the evaluation of this state: a resumed run makes it first */
  const char *config;      /* resolved text */
  const char *fingerprint; /* build and machine, one line */
} dt_checkpoint_meta;

/* The checkpoint that was taken; rank 0 knows it. */
typedef struct dt_source {
  char checkpoint[4096];
  int64_t step, samples_seen;
  char saved[32];   /* when: "2026-11-21T02:04:59Z" */
  char outcome[32]; /* of its run, as dt_record_outcome tells it */
} dt_source;

typedef struct dt_checkpoint_tensors {
  dt_tensor_ref *model, *optimizer;
  int model_count, optimizer_count;
} dt_checkpoint_tensors;

/* Writes <dir>/step-<10 digits>-samples-<12 digits>, names whose order is the order in time, then removes the oldest verified
 * ones beyond keep (at least 2 stay), but for the best checkpoints
 * (DT_WATCH_BEST) of those that stay. Rank 0 only; not collective. DT_IO. out_path (PATH_MAX) gets the folder. */
dt_status dt_checkpoint_save(const char *dir, const dt_checkpoint_meta *meta, const dt_checkpoint_tensors *tensors, int keep,
                             char *out_path);

/* The newest checkpoint in dir that verifies, or exactly `path` when it is a checkpoint folder itself. The opened checkpoint
 * holds verified bytes in memory, so that nothing can change between the check and the use. DT_CHECKPOINT when there is none,
 * naming each candidate and its reason; *out_refused_text (free) lists what was passed over, "" when nothing. */
typedef struct dt_checkpoint dt_checkpoint;
dt_status dt_checkpoint_open(const char *path, dt_checkpoint **out, char **out_refused_text);
const dt_checkpoint_meta *dt_checkpoint_get_meta(const dt_checkpoint *checkpoint);
const char *dt_checkpoint_path(const dt_checkpoint *checkpoint);
/* Copies tensors by name into the given places, converting F32 <-> F64. Every name must be there with the same shape, and no
 * other: DT_CHECKPOINT naming the first that differs. optimizer may be left out (count 0) for eval and predict. */
dt_status dt_checkpoint_read(const dt_checkpoint *checkpoint, const dt_checkpoint_tensors *into);
void dt_checkpoint_close(dt_checkpoint **checkpoint);
/* Whether dir holds any folder that could be a checkpoint. */
bool dt_checkpoint_exists(const char *dir);

/* safetensors (checkpoint/safetensors.c): write gives equal bytes for equal tensors. */
dt_status dt_safetensors_write(int dir_fd, const char *file, const dt_tensor_ref *tensor, int count);
/* Parses a header in memory; tensors point into data. Returns new array (free). DT_CHECKPOINT. */
dt_status dt_safetensors_parse(const char *label, const uint8_t *data, size_t bytes, dt_tensor_ref **out, int *out_count);

#endif

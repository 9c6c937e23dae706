/* Data sets, the sampler, augmentation and the loader.
 *
 * A data set is resident as it was read. The sampler is a pure function from samples seen to sample indices; the loader's
 * threads decode and augment ahead of the step; the device normalises (LOAD). A new format or augmentation is one file and one
 * row. */
#ifndef DT_DATA_DATA_H
#define DT_DATA_DATA_H

#include "core/device.h"
#include "core/rng.h"
#include "core/spec.h"

typedef struct dt_dataset {
  int64_t count;
  dt_shape shape;     /* [C, H, W], or [D] */
  dt_dtype dtype;     /* DT_U8 or DT_F32 */
  int classes;        /* largest label + 1, or what the format fixes; 0 without labels */
  uint8_t *pixels;    /* [count][C*H*W] when DT_U8 */
  float *values;      /* [count][D] when DT_F32 */
  int32_t *labels;    /* [count]; NULL when the files hold none */
  uint64_t hash;      /* XXH3 over shape, samples and labels: ranks must agree on it; recorded in run.json */
  const char *source; /* files it came from, for messages and the record */
  void *held;         /* its copy in a device's memory (dt_device_ops.hold), made and released by the job; NULL = none */
} dt_dataset;

/* A format: attr is the kind's struct. dir is data.dir with variables expanded, "" when absent; source and samples are filled
 * in, the hash is not. DT_DATA, DT_MEMORY, DT_IO. Returns new. */
typedef struct dt_format {
  dt_dtype dtype; /* of the samples: known before they are read */
  dt_status (*load)(const void *attr, const char *dir, dt_dataset **out);
} dt_format;
extern const dt_kind *const dt_format_kinds[]; /* idx, cifar10, synthetic */

/* dir is data.dir as written, "" when absent: a leading $NAME is expanded. Same errors as a format's. Returns new. */
dt_status dt_dataset_load(const dt_choice *format, const char *dir, dt_dataset **out);
void dt_dataset_destroy(dt_dataset **dataset);
/* Whether the samples have the model's input shape and every label is in [0, classes); classes 0: labels do not matter.
 * DT_DATA naming the first that is not. */
dt_status dt_dataset_check(const dt_dataset *dataset, const dt_shape *input, int classes);
/* Per-channel mean and standard deviation of pixel / 255 (or of the values), exact integer sums for DT_U8. [C] each, C being
 * shape.dim[0]. A constant channel gets the deviation 1, so that dividing by it is safe. */
void dt_dataset_statistics(const dt_dataset *dataset, double *mean, double *std);

/* An augmentation of DT_U8 images: the move that `random`, the block of a sample for this place in the list of augmentations,
 * stands for. The same moves are made by the loader, or by the device where it holds the data set. */
typedef struct dt_augment {
  dt_move (*draw)(const void *attr, dt_rng_block random);
} dt_augment;
extern const dt_kind *const dt_augment_kinds[]; /* shift, flip, crop */
/* Moves an image [C, H, W] in place; scratch holds one. */
void dt_move_apply(dt_move move, const dt_shape *shape, uint8_t *sample, uint8_t *scratch);

/* Where a step stands in the stream of samples. */
typedef struct dt_step_plan {
  int64_t epoch;
  int64_t first; /* position of the batch's first sample in the epoch */
  int64_t count; /* samples of this batch; less than global_batch only in the last batch of an epoch (last_batch: short) */
} dt_step_plan;

typedef struct dt_sampler {
  int64_t dataset_count, global_batch;
  uint64_t seed;
  bool shuffle;   /* false: in order, as evaluation does */
  int last_batch; /* dt_last_batch */
} dt_sampler;

/* Counted samples of an epoch; 0 when dropping short batches leaves none, which dt_loader_create refuses. */
int64_t dt_sampler_epoch_samples(const dt_sampler *sampler);
/* A batch never spans two epochs. */
dt_step_plan dt_sampler_plan(const dt_sampler *sampler, int64_t samples_seen);
int64_t dt_sampler_index(const dt_sampler *sampler, int64_t epoch, int64_t position); /* index in the data set */

/* The loader: threads prepare the passes of the steps from samples_seen on, in order, `prefetch` passes ahead. */
typedef struct dt_loader dt_loader;
/* Borrows dataset, augment and tree until destroyed. end_samples: no step starts at or after it. augment may be empty. A rank
 * without shards gets no passes. prefetch and threads are 1 or more; threads change nothing but the time. DT_USAGE when a
 * DT_F32 data set is to be augmented, or no full batch exists and short ones are dropped; DT_ENVIRONMENT. Returns new. */
dt_status dt_loader_create(const dt_dataset *dataset, const dt_choices *augment, const dt_sampler *sampler, const dt_tree *tree,
                           int64_t samples_seen, int64_t end_samples, int prefetch, int threads, dt_loader **out);
/* The next pass's batch: samples, or, where a device holds the data set, which they are and how they are moved (passes of a
 * step in order, then the next step's); valid until the next call. Empty places hold zeros. Blocks. DT_INTERNAL beyond the end.
 */
dt_status dt_loader_next(dt_loader *loader, const dt_batch **out);
void dt_loader_destroy(dt_loader **loader);

#endif

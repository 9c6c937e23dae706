/* Data sets, the sampler, augmentation and the loader.
 *
 * A data set is in memory as it was read, or, of fields that a store has, read sample by sample. The sampler is a pure function
 * from samples seen to sample indices; the loader's threads decode and augment ahead of the step; the device normalises (LOAD).
 * A new format or augmentation is one file and one row. */
#ifndef DT_DATA_DATA_H
#define DT_DATA_DATA_H

#include "core/augment.h"
#include "core/config/spec.h"
#include "core/device.h"
#include "core/format.h"
#include "core/rng.h"
#include "data/store.h"

/* One field of all samples. DENSE: values [count][shape]. RAGGED: offset [count + 1] in steps of time, values
 * [offset[count]][shape without time]. SPARSE: offset [count + 1] in entries, column and values [offset[count]], columns
 * ascending within a sample. A DENSE field may lie in a store instead: sample i of the data set is index[i] of the store's. */
typedef struct dt_column {
  void *values;    /* of the field's dtype; NULL where there is a store */
  dt_store *store; /* NULL = none */
  int64_t *index;  /* [count], with a store */
  int64_t *sums;   /* with a store, once it was surveyed: of the bytes of each channel, then of their squares */
  int64_t *offset;
  int32_t *column;
  char *names;      /* of the channels of a dense field, each with its end, one after another; NULL = they have none */
  bool has_missing; /* of DT_F32: NaN stands for no value, until dt_dataset_fill */
} dt_column;

enum { DT_NOTE_TEXT = 160 };

struct dt_dataset {
  int64_t count;
  dt_fields fields;
  dt_column data[DT_FIELDS_MAX]; /* of each field */
  uint64_t hash;                 /* XXH3 over all fields: ranks must agree on it; recorded in run.json */
  uint64_t contents;             /* of what stores hold, where all of it was read (data/survey.h); part of the hash */
  const char *source;            /* files it came from, for messages and the record */
  char *classes;                 /* names of the labels, each with its end, where the files name them; NULL = they don't */
  char *note;                    /* what a run tells of it besides; NULL = nothing */
  void *cached; /* its copy in a device's memory (dt_own_memory_ops.cache_data), made and released by the job; NULL = none */
};

/* Of request->dir, as written, a leading $NAME is expanded. Same errors as a format's; DT_DATA too where what the format has
 * read is not what the fields say. Returns new. */
dt_status dt_dataset_load(const dt_choice *format, const dt_data_request *request, dt_dataset **out);
void dt_dataset_destroy(dt_dataset **dataset);
/* For formats: an empty data set with room for `count` samples of these fields; total[f] as in dt_data_info, NULL where all are
 * dense and in memory. A column with a store has its index then, and gets the store from the caller. DT_MEMORY. Returns new. */
dt_status dt_dataset_create(const dt_fields *fields, int64_t count, const int64_t *total, dt_dataset **out);
/* Index of a field by its name; -1 when there is none. */
int dt_dataset_find(const dt_dataset *dataset, const char *name);
/* Copies a sample of a dense field, of so many bytes, from memory or from its store. A store's errors. */
dt_status dt_dataset_read(const dt_dataset *dataset, int field, int64_t index, size_t bytes, void *to);
/* Makes its hash, of all that it holds. DT_MEMORY. */
dt_status dt_dataset_hash(dt_dataset *dataset);
/* What dt_dataset_load would load, of its samples only what the headers say, or with `whole` in any case. Same errors. */
dt_status dt_dataset_inspect(const dt_choice *format, const dt_data_request *request, bool whole, dt_data_info *out);
/* What a data set takes: of as many samples as the info says. SIZE_MAX where that is beyond all counting. */
size_t dt_dataset_bytes(const dt_data_info *info);
/* The info of one that is loaded. */
void dt_dataset_info(const dt_dataset *dataset, dt_data_info *out);
/* Whether the data set has what a network needs: fields of these names, types and shapes, of which the first `inputs` are
 * loaded as numbers, each number below its limit. DT_DATA naming the first that is not. */
dt_status dt_dataset_check(const dt_dataset *dataset, const dt_field *needed, int count, int inputs);
/* Leaves out the samples that are not wanted; the hash is as it was. */
void dt_dataset_select(dt_dataset *dataset, const bool *wanted);
/* Adds a line to the note, behind what it has. DT_MEMORY. */
dt_status dt_dataset_note(dt_dataset *dataset, const char *line);
/* Adds a run of bytes and their squares to the sums. */
void dt_add_bytes(const uint8_t *byte, int64_t count, uint64_t *sum, uint64_t *squares);
/* Per-channel mean and standard deviation of a dense field, in memory or surveyed (data/survey.h): of pixel / 255 with exact
 * integer sums for DT_U8, else of the values, missing ones left out. [C] each, C being shape.dim[0]. A constant channel gets
 * the deviation 1, so that dividing by it is safe. */
void dt_dataset_statistics(const dt_dataset *dataset, int field, double *mean, double *std);

/* Puts mean[C] where values of a dense field are missing; from then on none is. */
void dt_dataset_fill(dt_dataset *dataset, int field, const double *mean);

/* The augmentation at key->place of the list, which is a move. */
dt_augmentation dt_augmentation_draw(const dt_choices *augment, const dt_augment_key *key);
/* Moves an image [C, H, W] in place; scratch holds one. */
void dt_augmentation_apply(dt_augmentation move, const dt_shape *shape, uint8_t *sample, uint8_t *scratch);
/* Makes the augmentation at key->place of the list, move or change. */
void dt_augment_apply(const dt_choices *augment, const dt_augment_key *key, dt_augment_image *image);
/* Of dt_augment_image.scratch, for images of that shape: a multiple of 64, which is 0 without any augmentation. */
int64_t dt_augment_scratch_bytes(const dt_choices *augment, const dt_shape *shape);

/* The first image of bytes that an input of the config reads; -1: none does. DT_DATA where it has another shape than the config
 * says, by which augmentations were checked. */
dt_status dt_augment_find_image(const dt_dataset *dataset, const dt_spec *spec, int *out);

/* Where a step stands in the stream of samples. */
typedef struct dt_step_plan {
  int64_t epoch;
  int64_t first; /* position of the batch's first sample in the epoch */
  int64_t count; /* samples of this batch; less than global_batch only in the last batch of an epoch (last_batch: short) */
} dt_step_plan;

typedef struct dt_sampler {
  int64_t dataset_count, global_batch;
  uint64_t seed;
  bool shuffle;          /* false: in order, as evaluation does */
  int last_batch;        /* dt_last_batch */
  int passes;            /* that the loader gives each batch; 0 stands for 1 */
  const uint64_t *draws; /* [dataset_count] whole weights of the samples up to each, itself included; NULL: every sample once */
} dt_sampler;

/* The weights for dt_sampler.draws, of a rule of dt_sampling but ONCE: `balanced` by the field label, so that classes weigh
 * alike, WEIGHTED by a field of one number a sample. Whole numbers, so that every rank draws the same: the largest weight
 * counts 2^31, others in proportion, rounded, one above 0 at least 1. DT_DATA for weights that are none. Returns new (free). */
dt_status dt_sampler_weigh(const dt_dataset *dataset, int rule, const char *field, uint64_t **out);

/* Counted samples of an epoch; 0 when dropping short batches leaves none, which dt_loader_create refuses. */
int64_t dt_sampler_epoch_samples(const dt_sampler *sampler);
/* A batch never spans two epochs. */
dt_step_plan dt_sampler_plan(const dt_sampler *sampler, int64_t samples_seen);
int64_t dt_sampler_index(const dt_sampler *sampler, int64_t epoch, int64_t position); /* index in the data set */

/* How training samples are mixed; NULL = not. */
static inline const dt_choices *dt_data_mix(const dt_spec *spec) {
  return spec->data.mix.count > 0 ? &spec->data.mix : NULL;
}
/* Whether a device may hold the training set: it makes all that changes samples itself. */
static inline bool dt_data_may_be_held(const dt_spec *spec) {
  return spec->data.mix.count == 0 && dt_augment_only_moves(&spec->data.augment);
}

/* The loader: threads prepare the micro-batches of the steps from samples_seen on, in order, `prefetch` micro-batches ahead. */
typedef struct dt_loader dt_loader;
/* What the memory of a loader depends on. */
typedef struct dt_loader_size {
  const dt_program *program; /* its fields, and which of them it reads */
  bool cached;               /* a device caches the data set: numbers and augmentations in place of what LOAD reads */
  const dt_choices *augment; /* may be empty */
  const dt_choices *mix;     /* NULL = none */
  const dt_tree *tree;
  int64_t global_batch;
  int prefetch, threads;
} dt_loader_size;
/* What a loader takes, but for a few bytes a micro-batch. SIZE_MAX where that is beyond all counting. */
size_t dt_loader_bytes(const dt_loader_size *size);
/* Micro-batches that are prepared ahead where the config asks for so many batches. */
int dt_loader_prefetch(const dt_tree *tree, int64_t batches);

/* Borrows dataset, program, augment and tree until destroyed. Batches carry the fields that the program reads, found in the
 * data set by name; those that it lacks are zeros. end_samples: no step starts at or after it. augment may be empty; it
 * changes the images of bytes that the program reads, all of a sample alike; with a device that caches the data set, it is of
 * moves alone. mix: how samples are mixed, after that; NULL = not, as with such a device. A rank without shards gets no
 * micro-batches. prefetch and threads are 1 or more; threads change nothing but the time. DT_USAGE when there is no image to
 * augment, or no full batch exists and short ones are dropped; DT_ENVIRONMENT. Returns new. */
dt_status dt_loader_create(const dt_dataset *dataset, const dt_program *program, const dt_choices *augment,
                           const dt_choices *mix, const dt_sampler *sampler, const dt_tree *tree, int64_t samples_seen,
                           int64_t end_samples, int prefetch, int threads, dt_loader **out);
/* The next micro-batch's batch: samples, or, where a device caches the data set, which they are and how they are moved
 * (micro-batches of a step in order, then the next step's); valid until the next call. Empty positions hold zeros. Blocks.
 * A store's errors, of the micro-batch in which a sample could not be read; DT_INTERNAL beyond the end. */
dt_status dt_loader_next(dt_loader *loader, const dt_batch **out);
void dt_loader_destroy(dt_loader **loader);

#endif

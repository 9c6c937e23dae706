/* The data sets of a config: the training set, and the evaluation set, which is data.eval or the part of the training set that
 * data.split takes off. */
#ifndef DT_DATA_SETS_H
#define DT_DATA_SETS_H

#include "data/data.h"

typedef enum dt_set { DT_SET_TRAIN, DT_SET_EVAL } dt_set;

/* Whether the config has it. */
bool dt_set_is_there(const dt_spec *spec, dt_set set);
/* What dt_sets_load would load, of its samples only what headers say, or with `whole` in any case; the count is -1 where they
 * don't. Zeros for a set that is not there. Same errors. */
dt_status dt_set_inspect(const dt_spec *spec, dt_set set, bool whole, dt_data_info *out);
/* Loads those of the sets whose pointers are not NULL and that the config has; the others become NULL. A format's errors;
 * DT_USAGE where data.split leaves one of the parts without a sample. Returns new. */
dt_status dt_sets_load(const dt_spec *spec, dt_dataset **train, dt_dataset **eval);

/* Takes round(fraction * count) samples off, in the order in which they stand, which ones being a function of seed and count
 * alone; `label` >= 0 is the index of a field of classes: then round(fraction * n) of the n samples of each class. DT_USAGE
 * where a part would be empty, DT_MEMORY. Returns new. */
dt_status dt_dataset_split(dt_dataset *dataset, double fraction, uint64_t seed, int label, dt_dataset **out_part);

/* Gives about so many of the samples another class in the field label, each of the other classes as likely as another; which
 * samples, and which classes, is a function of seed and sample. classes: as many as there are at least. Makes the hash anew.
 * DT_USAGE without such a field, DT_MEMORY. */
dt_status dt_dataset_change_labels(dt_dataset *dataset, double fraction, uint64_t seed);

#endif

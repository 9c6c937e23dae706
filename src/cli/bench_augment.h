/* How many images a second the augmentations of a config make. */
#ifndef DT_CLI_BENCH_AUGMENT_H
#define DT_CLI_BENCH_AUGMENT_H

#include <stdio.h>

#include "core/config/spec.h"

/* Loads the training set and times each augmentation of the list alone, then all of them one after another, on one thread, with
 * the copy of the sample that the loader makes. DT_USAGE without an image or an augmentation; a format's errors. */
dt_status dt_bench_augment(const dt_config *config, FILE *out);

#endif

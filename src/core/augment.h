/* The contract of an augmentation: rows of dt_augment_kinds (core/config/kinds.h). */
#ifndef DT_CORE_AUGMENT_H
#define DT_CORE_AUGMENT_H

#include "core/config/kinds.h"
#include "core/device.h"
#include "core/rng.h"

/* An augmentation of DT_U8 images: the move that `random`, the block of a sample for this place in the list of augmentations,
 * stands for. The same moves are made by the loader, or by the device where it holds the data set. */
typedef struct dt_augment {
  dt_augmentation (*draw)(const void *attr, dt_rng_block random);
  int64_t (*reach)(const void *attr); /* pixels that an image is moved at most, up, down, left or right; NULL = none */
} dt_augment;

#endif

/* The contract of an augmentation: rows of dt_augment_kinds (core/config/kinds.h).
 *
 * An augmentation is a *move*, whole pixels that change places, which a device that holds the data set makes itself; or a
 * *change* of the bytes, which the loader makes. What a sample meets is a function of seed, epoch, sample and place in the list
 * alone, in whole numbers and IEEE arithmetic: the same bits on every machine. */
#ifndef DT_CORE_AUGMENT_H
#define DT_CORE_AUGMENT_H

#include "core/config/kinds.h"
#include "core/device.h"
#include "core/rng.h"

/* The random numbers of one sample at one place in the list of augmentations. */
typedef struct dt_augment_key {
  uint64_t seed;
  int64_t epoch, sample;
  int place;
} dt_augment_key;

/* An image of bytes [C, H, W] that is changed in place. All image fields of a sample are changed by the same numbers: their
 * geometry alike, so that an image and its mask stay together; colours only of what an input reads. */
typedef struct dt_augment_image {
  const dt_shape *shape;
  uint8_t *pixels;
  void *scratch; /* dt_augment_scratch_bytes of them, aligned as malloc's */
  bool is_input;
} dt_augment_image;

enum { DT_AUGMENT_WHY = 160 };

typedef struct dt_augment {
  /* The move that `random`, the first block of a sample for this place, stands for; NULL: it is a change. */
  dt_augmentation (*draw)(const void *attr, dt_rng_block random);
  void (*change)(const void *attr, const dt_augment_key *key, dt_augment_image *image); /* NULL: it is a move */
  /* What is wrong with inputs of that shape, as "found ..., expected ..."; empty = nothing. NULL = it takes all. */
  void (*refuse)(const void *attr, const dt_shape *shape, char why[DT_AUGMENT_WHY]);
} dt_augment;

/* Whether all of them are moves, so that a device may hold the data set. */
static inline bool dt_augment_only_moves(const dt_choices *augment) {
  for (int i = 0; i < augment->count; i++) {
    if (((const dt_augment *)augment->item[i].kind->impl)->draw == NULL) return false;
  }
  return true;
}

#endif

/* Mixing the samples of a training batch, each with a partner from the same global batch. */
#ifndef DT_DATA_MIX_H
#define DT_DATA_MIX_H

#include "core/field.h"
#include "core/mix.h"
#include "core/rng.h"

/* What becomes of the sample at a place of a batch: a function of seed, epoch and place alone. */
typedef struct dt_mix_plan {
  bool mixed;         /* else the sample stays as it is */
  bool pastes;        /* dt_mix.pastes of the kind that was drawn */
  int64_t partner;    /* place in the batch */
  double share;       /* of the sample itself: what its label counts, and its numbers where nothing is pasted */
  double side;        /* of the pasted rectangle, over the image's */
  uint32_t middle[2]; /* stands for the rectangle's middle row and column: dt_draw_below */
} dt_mix_plan;

/* Of place `place` of a batch whose `count` samples stand from place `first` of the epoch on. image: the shape of the first
 * image that is mixed, which gives the share of what is pasted; NULL = there is none. */
void dt_mix_draw(const dt_choices *mix, uint64_t seed, int64_t epoch, int64_t first, int64_t count, int64_t place,
                 const dt_shape *image, dt_mix_plan *out);
/* Mixes a dense field's numbers, bytes or floats, with the partner's. */
void dt_mix_values(const dt_mix_plan *plan, const dt_field *field, void *own, const void *other);
/* Probabilities of `classes` classes, of the sample's and its partner's. */
void dt_mix_labels(const dt_mix_plan *plan, int32_t own, int32_t other, int64_t classes, float *out);

/* Beta(alpha, alpha), in 65536ths, of up to so many blocks that `block` gives: the same on every machine. */
typedef dt_rng_block dt_block_source(const void *context, uint32_t number);
uint32_t dt_draw_beta(double alpha, dt_block_source *block, const void *context);

#endif

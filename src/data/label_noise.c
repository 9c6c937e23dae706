/* Labels that are wrong on purpose: of a part of the training samples, another class takes the label's place, fixed by seed and
 * sample for the whole of a run (Zhang et al., "Understanding deep learning requires rethinking generalization", 2017). */
#include <inttypes.h>
#include <stdio.h>

#include "data/augment.h"
#include "data/sets.h"

/* By the labels alone: names of classes change no result. */
static dt_status count_classes(const dt_dataset *dataset, const int32_t *label, int64_t *out) {
  *out = 0;
  for (int64_t i = 0; i < dataset->count; i++) {
    DT_REQUIRE(label[i] >= 0, DT_DATA, "%s: found the label %d, expected a class, from 0 on", dataset->source, label[i]);
    if (label[i] >= *out) *out = (int64_t)label[i] + 1;
  }
  DT_REQUIRE(*out >= 2, DT_USAGE, "data.label_noise: found one class in %s, expected two or more", dataset->source);
  return DT_OK;
}

/* Number with separators of thousands. */
static const char *count_text(int64_t count, char text[32]) {
  char plain[32];
  int to = 0;
  const int digits = snprintf(plain, sizeof plain, "%" PRId64, count);
  for (int i = 0; i < digits; i++) {
    if (i > 0 && (digits - i) % 3 == 0) text[to++] = ',';
    text[to++] = plain[i];
  }
  text[to] = '\0';
  return text;
}

static dt_status note_changed(dt_dataset *dataset, int64_t changed) {
  char one[32], other[32], line[DT_NOTE_TEXT];
  snprintf(line, sizeof line, "%s of %s labels are changed by data.label_noise", count_text(changed, one),
           count_text(dataset->count, other));
  return dt_dataset_note(dataset, line);
}

dt_status dt_dataset_change_labels(dt_dataset *dataset, double fraction, uint64_t seed) {
  const int f = dt_dataset_find(dataset, "label");
  DT_REQUIRE(f >= 0 && dataset->fields.field[f].dtype == DT_I32 && dataset->fields.field[f].shape.ndim == 0, DT_USAGE,
             "data.label_noise: found no field label of one class a sample in %s, expected one", dataset->source);
  int32_t *label = dataset->data[f].values;
  int64_t changed = 0, classes;
  DT_TRY(count_classes(dataset, label, &classes));
  for (int64_t i = 0; i < dataset->count; i++) {
    const dt_rng_block random = dt_rng(seed, DT_RNG_LABELS, 0, (uint64_t)i, 0);
    if (!dt_draw_chance(random.word[0], fraction)) continue;
    label[i] = (int32_t)(((int64_t)label[i] + 1 + dt_draw_below(random.word[1], classes - 1)) % classes);
    changed++;
  }
  DT_TRY(note_changed(dataset, changed));
  return dt_dataset_hash(dataset);
}

/* A survey: every sample of a store is read once, each by one of the ranks, for what only reading all of them tells - which
 * cannot be read, the sums of each channel, a hash of the contents. Results are whole numbers in one array of words, so that
 * those of several ranks add up to the same whatever their number; train/survey.h brings them together. */
#ifndef DT_DATA_SURVEY_H
#define DT_DATA_SURVEY_H

#include "data/data.h"

/* Samples that cannot be read: the first few are named. */
enum { DT_SURVEY_NAMED = 3, DT_SURVEY_TEXT = 240 };

typedef struct dt_survey_broken {
  int64_t sample; /* of the data set; INT64_MAX: none */
  char text[DT_SURVEY_TEXT];
} dt_survey_broken;

typedef struct dt_survey {
  int64_t count, channels;
  int64_t *word; /* [words]: samples read, two halves of the contents' hash, [channels] sums and sums of squares, marks */
  int64_t words;
  dt_survey_broken broken[DT_SURVEY_NAMED]; /* those of this rank, in order */
  /* The first sample, of all that this rank reads, at which the survey failed: where a store does not skip, or for want of
   * memory. INT64_MAX: none. */
  int64_t failed_at;
  dt_status failed;
  char *failure; /* text of that error */
} dt_survey;

/* For a dense field of bytes in a store. DT_MEMORY. */
dt_status dt_survey_create(const dt_dataset *dataset, int field, dt_survey *out);
void dt_survey_free(dt_survey *survey);
/* Reads the samples i with i % size == rank on so many threads. A failure of reading is told by failed_at alone;
 * DT_ENVIRONMENT without threads, DT_MEMORY. */
dt_status dt_survey_run(dt_survey *survey, const dt_dataset *dataset, int field, int rank, int size, int threads);
int64_t dt_survey_read(const dt_survey *survey); /* samples that were read */
/* Leaves out what cannot be read, and gives the data set its sums, contents, note (borrowed text; NULL = none) and a new hash.
 * DT_DATA where nothing is left; DT_MEMORY. */
dt_status dt_survey_apply(const dt_survey *survey, dt_dataset *dataset, int field, const char *note);

/* Results of earlier surveys, in $XDG_CACHE_HOME/dtrain or ~/.cache/dtrain. What is not there, damaged or of something else is
 * not found; what cannot be written is not kept. The note is in memory of its own, NULL = none. */
uint64_t dt_survey_key(const dt_dataset *dataset, int field);
bool dt_survey_recall(dt_survey *survey, uint64_t key, char **out_note);
void dt_survey_remember(const dt_survey *survey, uint64_t key, const char *note);

#endif

#include "train/survey.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/survey.h"

enum { NOTE_BYTES = DT_SURVEY_NAMED * (DT_SURVEY_TEXT + 2) + 128 };

/* The first failure over all ranks is the one that is told, by the rank that met it. */
static dt_status agree_on_failure(dt_comm *comm, const dt_survey *survey) {
  int64_t first = survey->failed_at;
  DT_TRY(comm->ops->allreduce_i64(comm, &first, 1, DT_MIN));
  dt_status own = DT_OK;
  if (first < INT64_MAX && first == survey->failed_at)
    own = dt_error_set(survey->failed, __FILE__, __LINE__, "%s",
                       survey->failure != NULL ? survey->failure : "a sample could not be read");
  return dt_comm_agree(comm, own);
}

static int by_sample(const void *a, const void *b) {
  const int64_t x = ((const dt_survey_broken *)a)->sample, y = ((const dt_survey_broken *)b)->sample;
  return (x > y) - (x < y);
}

/* "3 of 400 samples cannot be read and are left out: a.jpg: found ...; ...". */
static void write_note(const dt_survey *survey, const dt_survey_broken *named, char note[NOTE_BYTES]) {
  const int64_t left_out = survey->count - dt_survey_read(survey);
  size_t used = (size_t)snprintf(
      note, NOTE_BYTES, "%" PRId64 " of %" PRId64 " samples cannot be read and are left out: ", left_out, survey->count);
  for (int n = 0; n < DT_SURVEY_NAMED && named[n].sample < INT64_MAX; n++)
    used += (size_t)snprintf(note + used, NOTE_BYTES - used, "%s%s", n > 0 ? "; " : "", named[n].text);
  if (left_out > DT_SURVEY_NAMED) snprintf(note + used, NOTE_BYTES - used, "; ...");
}

/* Every rank's first few at rank 0, whose choice is everyone's. */
static dt_status share_note(dt_comm *comm, const dt_survey *survey, char note[NOTE_BYTES]) {
  const size_t own = sizeof survey->broken, count = (size_t)comm->size * DT_SURVEY_NAMED;
  dt_survey_broken *all = NULL;
  note[0] = '\0';
  if (dt_survey_read(survey) == survey->count) return DT_OK;
  DT_TRY(dt_comm_agree(comm, dt_alloc(count, sizeof *all, &all)));
  dt_status status = comm->ops->gather(comm, survey->broken, own, all, 0);
  if (status == DT_OK && comm->rank == 0) {
    qsort(all, count, sizeof *all, by_sample);
    write_note(survey, all, note);
  }
  free(all);
  DT_TRY(status);
  return comm->ops->bcast(comm, note, NOTE_BYTES, 0);
}

/* allreduce_i64 takes an int's worth of words. */
static dt_status add_up(dt_comm *comm, dt_survey *survey) {
  enum { MOST = 1 << 20 };
  for (int64_t at = 0; at < survey->words; at += MOST) {
    const int64_t left = survey->words - at;
    DT_TRY(comm->ops->allreduce_i64(comm, survey->word + at, (int)(left < MOST ? left : MOST), DT_SUM));
  }
  return DT_OK;
}

static dt_status measure(dt_comm *comm, dt_survey *survey, const dt_dataset *dataset, int field, int threads,
                         char note[NOTE_BYTES]) {
  DT_TRY(dt_comm_agree(comm, dt_survey_run(survey, dataset, field, comm->rank, comm->size, threads)));
  DT_TRY(agree_on_failure(comm, survey));
  DT_TRY(add_up(comm, survey));
  return share_note(comm, survey, note);
}

/* What rank 0 remembers goes to all. */
static dt_status recall(dt_comm *comm, dt_survey *survey, uint64_t key, char note[NOTE_BYTES], bool *out_found) {
  int64_t found = 0;
  char *text = NULL;
  note[0] = '\0';
  if (comm->rank == 0) {
    found = dt_survey_recall(survey, key, &text);
    snprintf(note, NOTE_BYTES, "%s", text != NULL ? text : "");
    free(text);
  }
  DT_TRY(comm->ops->bcast(comm, &found, sizeof found, 0));
  *out_found = found != 0;
  if (!*out_found) return DT_OK;
  DT_TRY(comm->ops->bcast(comm, survey->word, (size_t)survey->words * sizeof *survey->word, 0));
  return comm->ops->bcast(comm, note, NOTE_BYTES, 0);
}

static dt_status survey_all(dt_comm *comm, dt_survey *survey, dt_dataset *dataset, int field, int threads) {
  const uint64_t key = dt_survey_key(dataset, field);
  char note[NOTE_BYTES];
  bool found;
  DT_TRY(recall(comm, survey, key, note, &found));
  if (!found) {
    DT_TRY(measure(comm, survey, dataset, field, threads, note));
    if (comm->rank == 0) dt_survey_remember(survey, key, note[0] != '\0' ? note : NULL);
  }
  return dt_comm_agree(comm, dt_survey_apply(survey, dataset, field, note[0] != '\0' ? note : NULL));
}

dt_status dt_survey_dataset(dt_comm *comm, dt_dataset *dataset, int field, int threads) {
  dt_survey survey = {.count = 0};
  dt_status status = dt_comm_agree(comm, dt_survey_create(dataset, field, &survey));
  if (status == DT_OK) status = survey_all(comm, &survey, dataset, field, threads);
  dt_survey_free(&survey);
  return status;
}

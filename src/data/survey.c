#include "data/survey.h"

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "core/locale.h"

enum { READ, CONTENTS_LOW, CONTENTS_HIGH, SUMS, MARKS_A_WORD = 32 };

static int64_t *sums_of(const dt_survey *survey) {
  return survey->word + SUMS;
}

static int64_t *marks_of(const dt_survey *survey) {
  return survey->word + SUMS + 2 * survey->channels;
}

static bool is_broken(const dt_survey *survey, int64_t i) {
  return marks_of(survey)[i / MARKS_A_WORD] >> i % MARKS_A_WORD & 1;
}

dt_status dt_survey_create(const dt_dataset *dataset, int field, dt_survey *out) {
  const int64_t channels = dt_shape_channels(&dataset->fields.field[field].shape);
  *out = (dt_survey){.count = dataset->count,
                     .channels = channels,
                     .words = SUMS + 2 * channels + dataset->count / MARKS_A_WORD + 1,
                     .failed_at = INT64_MAX};
  for (int n = 0; n < DT_SURVEY_NAMED; n++) out->broken[n].sample = INT64_MAX;
  return dt_alloc((size_t)out->words, sizeof *out->word, &out->word);
}

void dt_survey_free(dt_survey *survey) {
  free(survey->word);
  free(survey->failure);
  *survey = (dt_survey){.count = 0};
}

int64_t dt_survey_read(const dt_survey *survey) {
  return survey->word[READ];
}

/* --- reading --- */

typedef struct run {
  dt_survey *survey;
  const dt_dataset *dataset;
  int field, rank, size;
  pthread_mutex_t lock; /* over all that follows, and the survey */
  int64_t next;
  dt_status status; /* of the threads themselves */
} run;

/* Samples are taken in order, and none behind one that failed; so the first failure of all is found. */
static int64_t take(run *r) {
  pthread_mutex_lock(&r->lock);
  int64_t i = r->next * r->size + r->rank;
  if (i >= r->survey->count || i > r->survey->failed_at) i = -1;
  r->next++;
  pthread_mutex_unlock(&r->lock);
  return i;
}

/* Among the first few, in order. */
static void name_broken(dt_survey *survey, int64_t i) {
  int at = DT_SURVEY_NAMED;
  while (at > 0 && survey->broken[at - 1].sample > i) at--;
  if (at == DT_SURVEY_NAMED) return;
  memmove(&survey->broken[at + 1], &survey->broken[at], (size_t)(DT_SURVEY_NAMED - 1 - at) * sizeof *survey->broken);
  dt_survey_broken *entry = &survey->broken[at];
  entry->sample = i;
  snprintf(entry->text, sizeof entry->text, "%s", dt_error_text());
  char *end = strstr(entry->text, ", expected");
  if (end != NULL) *end = '\0';
}

static void note_failure(run *r, int64_t i, dt_status status) {
  dt_survey *survey = r->survey;
  pthread_mutex_lock(&r->lock);
  if (status == DT_DATA && r->dataset->data[r->field].store->skips) {
    marks_of(survey)[i / MARKS_A_WORD] |= INT64_C(1) << i % MARKS_A_WORD;
    name_broken(survey, i);
  } else if (i < survey->failed_at) {
    survey->failed_at = i;
    survey->failed = status;
    free(survey->failure);
    survey->failure = strdup(dt_error_text());
  }
  pthread_mutex_unlock(&r->lock);
  dt_error_clear();
}

static void add_sample(const run *r, int64_t i, const uint8_t *sample, int64_t *sum) {
  const dt_shape *shape = &r->dataset->fields.field[r->field].shape;
  const int64_t plane = dt_shape_inner(shape), channels = r->survey->channels;
  const uint64_t hash = XXH3_64bits_withSeed(sample, (size_t)(plane * channels), (uint64_t)r->dataset->data[r->field].index[i]);
  sum[READ]++;
  sum[CONTENTS_LOW] += (int64_t)(hash & UINT32_MAX);
  sum[CONTENTS_HIGH] += (int64_t)(hash >> 32);
  for (int64_t c = 0; c < channels; c++) {
    uint64_t total = 0, squares = 0;
    dt_add_bytes(sample + c * plane, plane, &total, &squares);
    sum[SUMS + c] += (int64_t)total;
    sum[SUMS + channels + c] += (int64_t)squares;
  }
}

static void read_samples(run *r, uint8_t *sample, int64_t *sum) {
  for (int64_t i; (i = take(r)) >= 0;) {
    const dt_status status = dt_dataset_read(r->dataset, r->field, i, 0, sample);
    if (status == DT_OK)
      add_sample(r, i, sample, sum);
    else
      note_failure(r, i, status);
  }
}

static void *work(void *context) {
  run *r = context;
  const int64_t sums = SUMS + 2 * r->survey->channels;
  uint8_t *sample = NULL;
  int64_t *sum = NULL;
  dt_status status = dt_alloc(1, r->dataset->data[r->field].store->bytes, &sample);
  if (status == DT_OK) status = dt_alloc((size_t)sums, sizeof *sum, &sum);
  if (status == DT_OK) read_samples(r, sample, sum);
  pthread_mutex_lock(&r->lock);
  if (status != DT_OK) r->status = status;
  for (int64_t s = 0; s < sums && status == DT_OK; s++) r->survey->word[s] += sum[s];
  pthread_mutex_unlock(&r->lock);
  free(sum);
  free(sample);
  return NULL;
}

/* Threads take no signals: those are for the thread that trains. */
static dt_status run_threads(run *r, pthread_t *thread, int threads) {
  sigset_t all, before;
  int code = 0, started = 0;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  for (; started < threads && code == 0; started += code == 0) code = dt_thread_create(&thread[started], work, r);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  for (int t = 0; t < started; t++) pthread_join(thread[t], NULL);
  DT_REQUIRE(code == 0, DT_ENVIRONMENT, "could not start a thread to read samples: %s", strerror(code));
  DT_REQUIRE(r->status == DT_OK, r->status, "no memory to read samples");
  return DT_OK;
}

dt_status dt_survey_run(dt_survey *survey, const dt_dataset *dataset, int field, int rank, int size, int threads) {
  run r = {.survey = survey, .dataset = dataset, .field = field, .rank = rank, .size = size};
  pthread_t *thread;
  DT_TRY(dt_alloc((size_t)threads, sizeof *thread, &thread));
  pthread_mutex_init(&r.lock, NULL);
  const dt_status status = run_threads(&r, thread, threads);
  pthread_mutex_destroy(&r.lock);
  free(thread);
  return status;
}

/* --- what follows from it --- */

static dt_status leave_out(const dt_survey *survey, dt_dataset *dataset) {
  bool *wanted;
  DT_TRY(dt_alloc((size_t)survey->count, sizeof *wanted, &wanted));
  for (int64_t i = 0; i < survey->count; i++) wanted[i] = !is_broken(survey, i);
  dt_dataset_select(dataset, wanted);
  free(wanted);
  return DT_OK;
}

dt_status dt_survey_apply(const dt_survey *survey, dt_dataset *dataset, int field, const char *note) {
  dt_column *data = &dataset->data[field];
  const int64_t read = dt_survey_read(survey);
  DT_REQUIRE(read > 0, DT_DATA, "%s: %s", dataset->source, note != NULL ? note : "found no sample that can be read");
  if (read < survey->count) DT_TRY(leave_out(survey, dataset));
  dataset->contents = (uint64_t)survey->word[CONTENTS_LOW] + ((uint64_t)survey->word[CONTENTS_HIGH] << 32);
  free(data->sums);
  data->sums = NULL;
  DT_TRY(dt_alloc(2 * (size_t)survey->channels, sizeof *data->sums, &data->sums));
  memcpy(data->sums, sums_of(survey), 2 * (size_t)survey->channels * sizeof *data->sums);
  if (note != NULL) DT_TRY(dt_dataset_note(dataset, note));
  return dt_dataset_hash(dataset);
}

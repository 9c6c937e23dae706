/* Going on from a checkpoint: what may have changed since, what must not, and what was left over. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint/parts.h"
#include "train/hooks.h"

/* --- what --accept takes as meant --- */

/* Words of a list with commas; a word takes its key and all keys below it. */
typedef struct accepts {
  const char *text; /* may be NULL */
  uint64_t used;    /* a bit for each of the first words that have taken something */
} accepts;

static bool covers(const char *word, size_t span, const char *key, size_t length) {
  return span > 0 && span <= length && strncmp(word, key, span) == 0 && (span == length || key[span] == '.');
}

/* The next word's length; *at moves behind it. */
static size_t next_word(const char **at, const char **out_word) {
  *out_word = *at;
  size_t span = strcspn(*at, ",");
  *at += span + ((*at)[span] == ',');
  return span;
}

static bool is_accepted(accepts *list, const char *key, size_t length) {
  const char *at = list->text != NULL ? list->text : "", *word;
  bool accepted = false;
  for (int i = 0; *at != '\0'; i++) {
    size_t span = next_word(&at, &word);
    if (!covers(word, span, key, length)) continue;
    accepted = true;
    if (i < 64) list->used |= UINT64_C(1) << i;
  }
  return accepted;
}

static void tell_unused(const dt_trainer *t, const accepts *list) {
  const char *at = list->text != NULL ? list->text : "", *word;
  for (int i = 0; *at != '\0' && i < 64; i++) {
    int span = (int)next_word(&at, &word);
    if ((list->used >> i & 1) == 0) dt_record_warn(t->record, "--accept %.*s: nothing has changed there", span, word);
  }
}

/* --- what has changed --- */

/* Sorts the lines of a comparison into those accepted, which are said, and those refused. */
static int sort_changes(const dt_trainer *t, accepts *list, const char *text, FILE *refused) {
  int count = 0;
  for (const char *line = text; *line != '\0';) {
    const char *end = strchrnul(line, '\n');
    if (is_accepted(list, line, strcspn(line, ":"))) {
      dt_record_log(t->record, "accepted change: %.*s", (int)(end - line), line);
    } else {
      fprintf(refused, "\n  %.*s", (int)(end - line), line);
      count++;
    }
    line = *end == '\n' ? end + 1 : end;
  }
  return count;
}

/* Refuses to go on with a config that would train something else, unless every changed key is accepted by name. */
static dt_status check_config(const dt_trainer *t, const char *saved_config, accepts *list) {
  char *text = NULL, *refused = NULL;
  size_t bytes = 0;
  int count = 0;
  dt_config_diff(saved_config, t->job->config_text, &text);
  FILE *memory = open_memstream(&refused, &bytes);
  bool had_memory = memory != NULL && text != NULL;
  if (had_memory) count = sort_changes(t, list, text, memory);
  if (memory != NULL) fclose(memory);
  dt_status status = DT_OK;
  if (!had_memory) {
    status = dt_error_set(DT_MEMORY, __FILE__, __LINE__, "no memory to compare configs");
  } else if (count > 0) {
    status = dt_error_set(DT_USAGE, __FILE__, __LINE__,
                          "the config differs from the checkpoint's where it changes the training; --accept KEY[,KEY] takes a "
                          "change as meant, with all keys below it:%s",
                          refused);
  }
  free(refused);
  free(text);
  return status;
}

static bool same_data(const dt_dataset *data, const dt_checkpoint_set *set) {
  return data->hash == set->hash && data->count == set->samples;
}

/* The same paths may hold other samples. */
static dt_status check_data(const dt_trainer *t, const dt_checkpoint_meta *meta, accepts *list) {
  static const char key[] = "data.train";
  const dt_dataset *train = t->job->train, *eval = t->job->eval;
  if (!same_data(train, &meta->train)) {
    DT_REQUIRE(is_accepted(list, key, sizeof key - 1), DT_DATA,
               "%s: found %s with %lld samples, hash %016" PRIx64 ", expected the %lld samples, hash %016" PRIx64
               ", that the checkpoint was trained on; --accept %s takes other samples as meant",
               key, train->source, (long long)train->count, train->hash, (long long)meta->train.samples, meta->train.hash, key);
    dt_record_log(t->record, "accepted change: %s: %lld samples, hash %016" PRIx64 " -> %lld samples, hash %016" PRIx64, key,
                  (long long)meta->train.samples, meta->train.hash, (long long)train->count, train->hash);
  }
  if (eval == NULL || meta->eval.samples == 0 || same_data(eval, &meta->eval)) return DT_OK;
  is_accepted(list, "data.eval", sizeof "data.eval" - 1);
  dt_record_warn(t->record,
                 "data.eval holds other samples than when the checkpoint was saved: %lld, hash %016" PRIx64
                 ", before %lld, hash %016" PRIx64,
                 (long long)eval->count, eval->hash, (long long)meta->eval.samples, meta->eval.hash);
  return DT_OK;
}

static void compare_fingerprints(const dt_trainer *t, const dt_checkpoint_meta *meta) {
  char own[DT_FINGERPRINT];
  dt_trainer_fingerprint(t->job, own);
  if (strcmp(own, meta->fingerprint) == 0) return;
  dt_record_log(t->record, "bits may differ from here: the checkpoint was made by %s; this is %s", meta->fingerprint, own);
}

static dt_status check(const dt_trainer *t, const dt_checkpoint_meta *meta) {
  accepts list = {.text = t->options->accept};
  DT_TRY(check_config(t, meta->config, &list));
  DT_TRY(check_data(t, meta, &list));
  tell_unused(t, &list);
  compare_fingerprints(t, meta);
  return DT_OK;
}

/* --- restoring --- */

/* What rank 0 tells the others of a checkpoint, besides its tensors. */
typedef struct progress {
  int64_t samples_seen, step;
  dt_watch watch[DT_WATCH_COUNT];
  dt_epoch_sums epoch;
  bool evaluation_due;
  char path[sizeof((dt_train_result *)0)->checkpoint];
} progress;

/* A run that has ended says how to go on. */
static void tell_ended(const dt_trainer *t) {
  if (t->target_reached) {
    dt_record_log(t->record,
                  "this run has reached its target, %s %g: nothing is left to do; to train on, ask for more "
                  "(--set target.%s=N), or --set target.%s=off",
                  t->watch[DT_WATCH_TARGET].measure, t->job->spec->target.value, t->watch[DT_WATCH_TARGET].measure,
                  t->watch[DT_WATCH_TARGET].measure);
  } else if (t->stopped_early) {
    dt_record_log(
        t->record,
        "this run has stopped early, after %lld evaluations without a gain of %s: nothing is left to do; to train on, "
        "raise train.early_stopping.patience, or --set train.early_stopping=null",
        (long long)t->watch[DT_WATCH_STOP].waited, t->watch[DT_WATCH_STOP].measure);
  } else if (t->steps.samples_seen >= t->job->clock.total_samples + t->job->spec->train.global_batch) {
    dt_record_log(t->record,
                  "this run has seen %lld samples, more than the %lld of train.length, and nothing is left to do; to train on, "
                  "raise its length: --set train.epochs=N --accept train.length",
                  (long long)t->steps.samples_seen, (long long)t->job->clock.total_samples);
  } else if (t->steps.samples_seen >= t->job->clock.total_samples) { /* beyond, by less than a step */
    dt_record_log(t->record,
                  "this run is finished: all of its %lld samples are trained on, and nothing is left to do; to train on, raise "
                  "its length: --set train.epochs=N --accept train.length",
                  (long long)t->steps.samples_seen);
  }
}

/* By name: what is measured may have changed. Of what was not summed before, the epoch's mean is not known. */
static void take_epoch(dt_trainer *t, const dt_epoch_sums *saved) {
  t->epoch.samples = saved->samples;
  for (int i = 0; i < t->epoch.count; i++) {
    int k = 0;
    while (k < saved->count && strcmp(saved->name[k], t->epoch.name[i]) != 0) k++;
    t->epoch.sum[i] = k < saved->count ? saved->sum[k] : saved->samples > 0 ? NAN : 0;
  }
}

static void go_on_from(dt_trainer *t, const progress *at) {
  t->steps.samples_seen = t->saved_samples = at->samples_seen;
  t->steps.step = at->step;
  memcpy(t->watch, at->watch, sizeof t->watch);
  take_epoch(t, &at->epoch);
  t->evaluation_due = at->evaluation_due;
  dt_trainer_look(t);
  memcpy(t->result->checkpoint, at->path, sizeof at->path);
  tell_ended(t);
}

/* The link `best` may lead to a state that this run, gone on with from an earlier one, has not reached yet. */
static dt_status relink_best(const dt_trainer *t, const dt_watch *best) {
  char name[DT_CHECKPOINT_NAME];
  if (best->measure[0] == '\0') return DT_OK;
  dt_candidate_name(best->step, best->samples_seen, name);
  return dt_record_link_best(t->record, name);
}

dt_status dt_trainer_restore(dt_trainer *t) {
  dt_job *job = t->job;
  dt_checkpoint *checkpoint;
  char *refused;
  DT_TRY(dt_job_restore(job, t->checkpoint_dir, true, &checkpoint, &refused));
  dt_status status = DT_OK;
  progress at = {0};
  if (job->comm->rank == 0) {
    const dt_checkpoint_meta *meta = dt_checkpoint_get_meta(checkpoint);
    if (refused[0] != '\0') dt_record_warn(t->record, "passed over: %s", refused);
    status = check(t, meta);
    if (status == DT_OK) status = relink_best(t, &meta->watch[DT_WATCH_BEST]);
    at = (progress){
        .samples_seen = meta->samples_seen, .step = meta->step, .epoch = meta->epoch, .evaluation_due = meta->evaluation_due};
    memcpy(at.watch, meta->watch, sizeof at.watch);
    snprintf(at.path, sizeof at.path, "%s", dt_checkpoint_path(checkpoint));
  }
  dt_checkpoint_close(&checkpoint);
  free(refused);
  DT_TRY(dt_comm_agree(job->comm, status));
  DT_TRY(job->comm->ops->bcast(job->comm, &at, sizeof at, 0));
  go_on_from(t, &at);
  return DT_OK;
}

dt_status dt_trainer_catch_up(dt_trainer *t) {
  if (!t->evaluation_due || t->job->eval == NULL) return DT_OK;
  DT_TRY(dt_trainer_evaluate(t));
  dt_record_tell(t->record);
  if (t->evaluation_due) return DT_OK;
  t->saved_samples = -1; /* the checkpoint on disk still asks for the evaluation */
  return dt_trainer_save(t);
}

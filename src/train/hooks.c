#include "train/hooks.h"
#include "train/evaluate.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <xxhash.h>

/* Whether a multiple of `every` was reached by the last step, counted in steps or in samples as it was written. */
static bool crossed(const dt_trainer *t, dt_duration every) {
  if (every.unit == DT_NEVER || every.unit == DT_SECONDS) return false;
  bool steps = every.unit == DT_STEPS;
  int64_t span = steps ? (int64_t)ceil(every.amount) : dt_duration_samples(every, &t->job->clock);
  if (span < 1) span = 1; /* a fraction of a sample: after every step */
  int64_t now = steps ? t->steps.step : t->steps.samples_seen, before = steps ? t->steps.step - 1 : t->steps.samples_before;
  return now / span != before / span;
}

static bool at_end(const dt_trainer *t) {
  return t->steps.samples_seen >= t->job->clock.total_samples;
}

/* --- log --- */

static bool log_due(const dt_trainer *t) {
  return crossed(t, t->job->spec->log.every) || at_end(t);
}

/* Whether the terminal's next line is due. Only rank 0's answer counts, so it may look at the clock. */
static bool line_due(dt_trainer *t, double now) {
  const dt_due_line *of = &t->line;
  dt_duration least = t->job->spec->log.terminal;
  bool due = of->samples_seen >= t->job->clock.total_samples;
  if (least.unit == DT_SECONDS)
    due = due || now - t->line_at >= least.amount;
  else if (least.unit == DT_STEPS)
    due = due || (double)(of->step - t->line_step) >= least.amount;
  else if (least.unit != DT_NEVER)
    due = due || of->samples_seen - t->line_samples >= dt_duration_samples(least, &t->job->clock);
  if (!due) return false;
  t->line_at = now;
  t->line_step = of->step;
  t->line_samples = of->samples_seen;
  return true;
}

/* Only rank 0 writes, and the others are on their way into the next step: a failure is told with that step's flags. */
static void tell_later(dt_trainer *t, dt_status written) {
  if (t->failed == DT_OK) t->failed = written;
}

/* Where ranks meet in a hook, one may wait for another that is not through its step: that is training's time, and a wait for
 * ranks, which would else be in no figure. The next line has it. */
static void count_wait(dt_trainer *t, double seconds) {
  t->train_seconds += seconds;
  t->reduce_wait += seconds;
  t->lap_reduce_wait += seconds;
  t->lap_at -= seconds;
}

/* late: the next step is on its way, and what this takes is that step's time. */
static dt_status write_line(dt_trainer *t, bool late) {
  dt_job *job = t->job;
  const dt_due_line *of = &t->line;
  double now = dt_clock_seconds(), seconds = now - t->lap_at, samples = (double)(of->trained_samples - t->lap_samples);
  double steps = (double)(of->step - t->lap_step); /* an epoch's last may be short */
  double count = t->steps.outcome.statistic[DT_STATISTIC_SAMPLES];
  dt_record_step line = {.step = of->step,
                         .samples_seen = of->samples_seen,
                         .total_samples = job->clock.total_samples,
                         .epoch = of->samples_before / job->clock.epoch_samples + 1,
                         .hyper_name = job->schedules.name,
                         .hyper = of->hyper,
                         .hyper_count = job->schedules.count,
                         .grad_norm = t->steps.outcome.grad_norm,
                         .penalised = job->spec->train.l1 > 0 || job->spec->train.l2 > 0,
                         .penalty = t->steps.outcome.penalty,
                         .samples_per_second = seconds > 0 ? samples / seconds : 0,
                         .data_wait = steps > 0 ? t->lap_data_wait / steps : 0,
                         .exposed_communication = steps > 0 ? t->lap_reduce_wait / steps : 0,
                         .line = line_due(t, now)};
  dt_evaluation batch;
  dt_evaluation_make(&job->graph->goals, t->steps.outcome.sum, NULL, (int64_t)count, &batch);
  memcpy(line.value, batch.value, sizeof line.value);
  dt_rank_clocks own = {
      .step = steps > 0 ? seconds / steps : 0, .data_wait = line.data_wait, .reduce_wait = line.exposed_communication};
  DT_TRY(dt_timing_gather(&t->timing, job->comm, &own, &line.timing));
  t->lap_samples = of->trained_samples;
  t->lap_step = of->step;
  t->lap_data_wait = t->lap_reduce_wait = 0;
  t->lap_at = now;
  if (job->comm->size > 1 && !late) count_wait(t, dt_clock_seconds() - now);
  t->line.due = false;
  tell_later(t, dt_record_write_step(t->record, &line));
  return DT_OK;
}

dt_status dt_trainer_write_line(dt_trainer *t, int64_t step) {
  return t->line.due && t->line.step == step ? write_line(t, true) : DT_OK;
}

static dt_status log_run(dt_trainer *t) {
  DT_ASSERT(!t->line.due);
  t->line = (dt_due_line){.due = true,
                          .step = t->steps.step,
                          .samples_seen = t->steps.samples_seen,
                          .samples_before = t->steps.samples_before,
                          .trained_samples = t->trained_samples};
  memcpy(t->line.hyper, dt_executor_run_state(t->job->executor[0])->step->hyper, sizeof t->line.hyper);
  return t->steps.in_flight == 0 ? write_line(t, false) : DT_OK;
}

/* --- epoch --- */

static bool epoch_due(const dt_trainer *t) {
  return t->steps.samples_seen % t->job->clock.epoch_samples == 0;
}

static dt_status epoch_run(dt_trainer *t) {
  double now = dt_clock_seconds();
  dt_record_sums line = {.step = t->steps.step,
                         .samples_seen = t->steps.samples_seen,
                         .epoch = t->steps.samples_seen / t->job->clock.epoch_samples,
                         .seconds = now - t->epoch_began_at};
  dt_evaluation_make(&t->job->graph->goals, t->epoch.sum, NULL, t->epoch.samples, &line.of);
  dt_trainer_begin_epoch(t);
  t->epoch_began_at = now;
  tell_later(t, dt_record_write_epoch(t->record, &line));
  return DT_OK;
}

/* --- evaluate --- */

static bool evaluate_due(const dt_trainer *t) {
  return t->job->eval != NULL && (crossed(t, t->job->spec->eval.every) || at_end(t));
}

/* Whether a signal has come; one that came in an evaluation counts as if it had come in the step before. */
static bool called_off(dt_trainer *t, dt_cut cut) {
  if (cut == DT_CUT_STOP) t->steps.outcome.statistic[DT_STATISTIC_STOP] = 1;
  if (cut == DT_CUT_PREEMPT) t->steps.outcome.statistic[DT_STATISTIC_PREEMPT] = 1;
  return t->steps.outcome.statistic[DT_STATISTIC_STOP] > 0 || t->steps.outcome.statistic[DT_STATISTIC_PREEMPT] > 0;
}

/* Where a loss or a metric is not finite, nothing goes on. */
static dt_status check_score(const dt_trainer *t) {
  const dt_program *program = t->job->program[1];
  const int64_t *score = t->job->score;
  for (int i = 0; i < program->sum_count; i++) {
    const int64_t nonfinite = dt_sum_nonfinite(&program->sum[i], score);
    DT_REQUIRE(nonfinite == 0, DT_NUMERIC,
               "step %lld: found no finite %s for %lld of %lld samples of data.eval, expected finite numbers; the last "
               "checkpoint is %s",
               (long long)t->steps.step, program->sum[i].decl->name, (long long)nonfinite, (long long)score[0],
               t->result->checkpoint);
  }
  return DT_OK;
}

int dt_trainer_watched(const dt_trainer *t, dt_watched watch) {
  const dt_spec *spec = t->job->spec;
  const char *const name[DT_WATCH_COUNT] = {[DT_WATCH_TARGET] = spec->target.metric,
                                            [DT_WATCH_BEST] = dt_spec_best(spec),
                                            [DT_WATCH_STOP] = spec->train.early_stopping.metric};
  return dt_goals_find(&t->job->graph->goals, name[watch]);
}

/* Takes an evaluation's value in. A watch over another measure, of before a resume, begins anew; so does one that has met no
 * value yet. An evaluation without one (NaN: no AUC without samples of both kinds) is no gain. */
static bool watch_take(const dt_trainer *t, dt_watch *watch, const dt_measure *measure, double value, double gain) {
  const bool first = strcmp(watch->measure, measure->name) != 0 || isnan(watch->best);
  if (isnan(value) ? !first : !first && !dt_measure_is_better(measure, value, watch->best, gain)) {
    watch->waited++;
    return false;
  }
  *watch = (dt_watch){.best = value, .samples_seen = t->steps.samples_seen, .step = t->steps.step};
  snprintf(watch->measure, sizeof watch->measure, "%s", measure->name);
  return !isnan(value);
}

void dt_trainer_look(dt_trainer *t) {
  const dt_spec *spec = t->job->spec;
  const dt_measure *measure = t->job->graph->goals.measure;
  const dt_watch *target = &t->watch[DT_WATCH_TARGET], *stop = &t->watch[DT_WATCH_STOP];
  const dt_measure *of_target = &measure[dt_trainer_watched(t, DT_WATCH_TARGET)];
  const dt_measure *of_stop = &measure[dt_trainer_watched(t, DT_WATCH_STOP)];
  t->target_reached = spec->target.value != 0 && strcmp(target->measure, of_target->name) == 0 && !isnan(target->best) &&
                      !dt_measure_is_better(of_target, spec->target.value, target->best, 0);
  t->stopped_early = spec->train.early_stopping.given && strcmp(stop->measure, of_stop->name) == 0 &&
                     stop->waited >= spec->train.early_stopping.patience;
}

static void watch_all(dt_trainer *t, const dt_evaluation *evaluation) {
  const bool keeps_best = dt_spec_keeps_best(t->job->spec);
  for (int w = 0; w < DT_WATCH_COUNT; w++) {
    if (w == DT_WATCH_BEST && !keeps_best) continue;
    const int m = dt_trainer_watched(t, (dt_watched)w);
    const double gain = w == DT_WATCH_STOP ? t->job->spec->train.early_stopping.min_gain : 0;
    const bool better = watch_take(t, &t->watch[w], &t->job->graph->goals.measure[m], evaluation->value[m], gain);
    if (w == DT_WATCH_BEST) t->improved = better;
  }
  dt_trainer_look(t);
}

static dt_status write_evaluation(dt_trainer *t, const dt_record_sums *line) {
  const dt_goals *goals = &t->job->graph->goals;
  DT_TRY(dt_record_write_eval(t->record, line));
  for (int i = 0; i < goals->measure_count; i++) {
    const dt_measure *m = &goals->measure[i];
    if (m->bins > 0) DT_TRY(dt_record_write_matrix(t->record, m, t->job->score + t->job->program[1]->sum[m->sum].word));
  }
  return DT_OK;
}

dt_status dt_trainer_evaluate(dt_trainer *t) {
  dt_cut cut = DT_CUT_NONE;
  double start = dt_clock_seconds();
  t->evaluation_due = true;
  if (called_off(t, cut)) return DT_OK;
  DT_TRY(dt_job_evaluate(t->job, &cut));
  double seconds = dt_clock_seconds() - start;
  t->evaluation_seconds += seconds;
  if (called_off(t, cut)) return DT_OK;
  t->evaluation_due = false;
  DT_TRY(check_score(t));
  dt_record_sums line = {.step = t->steps.step,
                         .samples_seen = t->steps.samples_seen,
                         .epoch = (t->steps.samples_seen - 1) / t->job->clock.epoch_samples + 1,
                         .seconds = seconds};
  dt_job_evaluation(t->job, &line.of);
  dt_measured_take(&t->job->graph->goals, &line.of, &t->result->measured);
  watch_all(t, &line.of);
  return dt_comm_agree(t->job->comm, write_evaluation(t, &line));
}

/* --- tell --- */

static bool tell_due(const dt_trainer *t) {
  return epoch_due(t) || evaluate_due(t);
}

/* An epoch and its evaluation are one line, so it waits for both. */
static dt_status tell_run(dt_trainer *t) {
  dt_record_tell(t->record);
  return DT_OK;
}

/* --- verify --- */

static bool verify_due(const dt_trainer *t) {
  return crossed(t, t->job->spec->verify.every) || t->ending;
}

/* The rank whose hash the fewest others share; with two ranks nobody can tell, and rank 1 is named with rank 0. */
static int odd_rank(const uint64_t *hash, int size) {
  int odd = 0, fewest = size + 1;
  for (int r = 0; r < size; r++) {
    int equal = 0;
    for (int other = 0; other < size; other++) equal += hash[other] == hash[r];
    if (equal <= fewest) {
      fewest = equal;
      odd = r;
    }
  }
  return odd;
}

static dt_status verify_run(dt_trainer *t) {
  dt_comm *comm = t->job->comm;
  uint64_t own = 0, *all = NULL;
  dt_status status = dt_executor_hash(t->job->executor[0], &own);
  if (status == DT_OK) status = dt_alloc((size_t)comm->size, sizeof *all, &all);
  DT_TRY_GOTO(cleanup, dt_comm_agree(comm, status));
  DT_TRY_GOTO(cleanup, comm->ops->gather(comm, &own, sizeof own, all, 0));
  if (comm->rank == 0) {
    int odd = odd_rank(all, comm->size);
    int other = odd == 0 && comm->size > 1 ? 1 : 0;
    if (all[odd] != all[other]) {
      status = dt_error_set(DT_REPLICA, __FILE__, __LINE__,
                            "step %lld: found state %016" PRIx64 " on rank %d, expected %016" PRIx64
                            " as on rank %d: replicas have "
                            "diverged; go on from a checkpoint with --resume",
                            (long long)t->steps.step, all[odd], odd, all[other], other);
    }
  }
  status = dt_comm_agree(comm, status);
cleanup:
  free(all);
  return status;
}

/* --- checkpoint --- */

static bool checkpoint_due(const dt_trainer *t) {
  return crossed(t, t->job->spec->checkpoint.every) || t->steps.outcome.statistic[DT_STATISTIC_SAVE] > 0 || t->ending ||
         t->target_reached || t->stopped_early || t->improved || t->evaluation_due;
}

/* Where the tree's order is kept, a reducer's library moves numbers and sums none. */
static const char *summing_library(const dt_job *job) {
  const bool sums = job->spec->comm.reduce == DT_REDUCE_FAST && job->reducer != NULL;
  return sums ? job->reducer->library : NULL;
}

void dt_trainer_fingerprint(const dt_job *job, char *text) {
  struct utsname host = {{0}};
  uname(&host);
  const char *library = job->device->library, *plans = job->plans[0], *reducer = summing_library(job);
  int length = snprintf(text, DT_FINGERPRINT, "dtrain %s, device %s, %s%s%s, %s", DTRAIN_VERSION, job->device->ops->name,
                        library != NULL ? library : "own arithmetic", reducer != NULL ? ", " : "",
                        reducer != NULL ? reducer : "", job->device->id != NULL ? job->device->kernels : host.machine);
  if (plans == NULL || length >= DT_FINGERPRINT) return;
  snprintf(text + length, (size_t)(DT_FINGERPRINT - length), ", plans %016llx",
           (unsigned long long)XXH3_64bits(plans, strlen(plans)));
}

/* An update can overflow a parameter though loss and gradient were finite. */
static dt_status check_finite(const dt_tensor_ref *tensor, int count) {
  for (int i = 0; i < count; i++) {
    int64_t elements = dt_shape_count(&tensor[i].shape);
    bool single = tensor[i].dtype == DT_F32;
    for (int64_t e = 0; e < elements; e++) {
      double value = single ? (double)((const float *)tensor[i].data)[e] : ((const double *)tensor[i].data)[e];
      DT_REQUIRE(isfinite(value), DT_NUMERIC, "%s: found %g at element %" PRId64 ", expected a finite number; nothing is saved",
                 tensor[i].name, value, e);
    }
  }
  return DT_OK;
}

static dt_checkpoint_set set_of(const dt_dataset *data) {
  return data != NULL ? (dt_checkpoint_set){.samples = data->count, .hash = data->hash} : (dt_checkpoint_set){0};
}

static dt_status write_checkpoint(dt_trainer *t) {
  dt_job *job = t->job;
  char machine[DT_FINGERPRINT];
  dt_trainer_fingerprint(job, machine);
  DT_TRY(dt_job_download(job));
  DT_TRY(check_finite(job->model, job->model_count));
  DT_TRY(check_finite(job->optimizer, job->optimizer_count));
  dt_checkpoint_meta meta = {.samples_seen = t->steps.samples_seen,
                             .step = t->steps.step,
                             .epoch = t->epoch,
                             .train = set_of(job->train),
                             .eval = set_of(job->eval),
                             .evaluation_due = t->evaluation_due,
                             .config = job->config_text,
                             .fingerprint = machine};
  memcpy(meta.watch, t->watch, sizeof meta.watch);
  dt_checkpoint_tensors tensors = {.model = job->model,
                                   .optimizer = job->optimizer,
                                   .model_count = job->model_count,
                                   .optimizer_count = job->optimizer_count};
  DT_TRY(dt_checkpoint_save(t->checkpoint_dir, &meta, &tensors, (int)job->spec->checkpoint.keep, t->result->checkpoint));
  if (!t->improved) return DT_OK;
  return dt_record_link_best(t->record, strrchr(t->result->checkpoint, '/') + 1);
}

/* What evaluations take is what model.safetensors has. */
static dt_status save_here(dt_trainer *t) {
  dt_executor *trainer = t->job->executor[0];
  DT_TRY(dt_executor_exchange(trainer));
  const dt_status status = write_checkpoint(t);
  return status == DT_OK ? dt_executor_exchange(trainer) : status;
}

dt_status dt_trainer_save(dt_trainer *t) {
  if (t->result->checkpoint[0] != '\0' && t->saved_samples == t->steps.samples_seen) return DT_OK;
  double start = dt_clock_seconds();
  dt_status status = t->job->comm->rank == 0 ? save_here(t) : DT_OK;
  DT_TRY(dt_comm_agree(t->job->comm, status));
  DT_TRY(t->job->comm->ops->bcast(t->job->comm, t->result->checkpoint, sizeof t->result->checkpoint, 0));
  t->saved_samples = t->steps.samples_seen;
  t->saved_at = dt_clock_seconds();
  t->checkpoint_seconds += t->saved_at - start;
  dt_record_log_quietly(t->record, "saved %s in %.2f s", strrchr(t->result->checkpoint, '/') + 1, t->saved_at - start);
  return DT_OK;
}

/* --- engines --- */

static bool engines_due(const dt_trainer *t) {
  return !t->engines_told && t->job->device->ops->libraries != NULL;
}

/* What a library does slowly is known once the first step has been made. */
static dt_status engines_run(dt_trainer *t) {
  char text[DT_WARNING_TEXT];
  t->engines_told = true;
  DT_TRY(t->job->device->ops->libraries->warning(t->job->device, t->job->program, text));
  if (text[0] != '\0') dt_record_log(t->record, "%s", text);
  return DT_OK;
}

const dt_hook dt_hooks[] = {
    {"engines", engines_due, engines_run},
    {"log", log_due, log_run, .early = true},
    {"epoch", epoch_due, epoch_run},
    {"evaluate", evaluate_due, dt_trainer_evaluate},
    {"tell", tell_due, tell_run},
    {"verify", verify_due, verify_run},
    {"checkpoint", checkpoint_due, dt_trainer_save},
    {NULL},
};

/* Whether something is due for which every step has to have ended. */
static bool must_settle(const dt_trainer *t) {
  for (const dt_hook *hook = dt_hooks; hook->name != NULL; hook++) {
    if (!hook->early && hook->due(t)) return true;
  }
  return false;
}

dt_status dt_hooks_run(dt_trainer *t) {
  t->evaluation_due = t->improved = false;
  if (must_settle(t)) DT_TRY(dt_steps_drain(&t->steps)); /* the last of training, so before the clock is read */
  double start = dt_clock_seconds();
  t->trained_samples += t->steps.batch_samples;
  t->train_seconds += start - t->resumed_at;
  for (const dt_hook *hook = dt_hooks; hook->name != NULL; hook++) {
    if (hook->due(t)) DT_TRY(hook->run(t));
  }
  t->resumed_at = dt_clock_seconds();
  t->lap_at += t->resumed_at - start; /* hooks are no part of the throughput */
  return DT_OK;
}

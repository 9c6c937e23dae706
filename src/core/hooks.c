#include "core/hooks.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <xxhash.h>

/* Whether a multiple of `every` was reached by the last step. Steps are counted as such, since an epoch's last may be short. */
static bool crossed(const dt_trainer *t, dt_duration every) {
  if (every.unit == DT_NEVER || every.unit == DT_SECONDS) return false;
  bool steps = every.unit == DT_STEPS;
  int64_t span = steps ? (int64_t)every.amount : dt_duration_samples(every, &t->job->clock);
  if (span < 1) span = 1; /* a fraction of a step: after every step */
  int64_t now = steps ? t->step : t->samples_seen, before = steps ? t->step - 1 : t->samples_before;
  return now / span != before / span;
}

static bool at_end(const dt_trainer *t) {
  return t->samples_seen >= t->job->clock.total_samples;
}

/* --- log --- */

static bool log_due(const dt_trainer *t) {
  return crossed(t, t->job->spec->log.every) || at_end(t);
}

static dt_status log_run(dt_trainer *t) {
  dt_job *job = t->job;
  const dt_step *step = dt_executor_run_state(job->executor[0])->step;
  double now = dt_clock_seconds(), seconds = now - t->lap_at, samples = (double)(t->trained_samples - t->lap_samples);
  double steps = samples / (double)job->spec->train.global_batch;
  double count = t->outcome.tail[DT_TAIL_SAMPLES];
  dt_record_step line = {.step = t->step,
                         .samples_seen = t->samples_seen,
                         .total_samples = job->clock.total_samples,
                         .epoch = t->samples_before / job->clock.epoch_samples + 1,
                         .loss = t->outcome.tail[DT_TAIL_LOSS] / count,
                         .accuracy = t->outcome.tail[DT_TAIL_CORRECT] / count,
                         .lr = step->lr,
                         .momentum = step->momentum,
                         .grad_norm = t->outcome.grad_norm,
                         .samples_per_second = seconds > 0 ? samples / seconds : 0,
                         .data_wait = steps > 0 ? t->lap_data_wait / steps : 0,
                         .exposed_communication = steps > 0 ? t->lap_reduce_wait / steps : 0};
  t->lap_samples = t->trained_samples;
  t->lap_data_wait = t->lap_reduce_wait = 0;
  t->lap_at = now;
  /* Only rank 0 writes, and the others are on their way into the next step: a failure is told with that step's flags. */
  t->failed = dt_record_write_step(t->record, &line);
  return DT_OK;
}

/* --- evaluate --- */

static bool evaluate_due(const dt_trainer *t) {
  return t->job->eval != NULL && (crossed(t, t->job->spec->eval.every) || at_end(t));
}

/* Whether a signal has come; one that came in an evaluation counts as if it had come in the step before. */
static bool called_off(dt_trainer *t, dt_cut cut) {
  if (cut == DT_CUT_STOP) t->outcome.tail[DT_TAIL_STOP] = 1;
  if (cut == DT_CUT_PREEMPT) t->outcome.tail[DT_TAIL_PREEMPT] = 1;
  return t->outcome.tail[DT_TAIL_STOP] > 0 || t->outcome.tail[DT_TAIL_PREEMPT] > 0;
}

dt_status dt_trainer_evaluate(dt_trainer *t) {
  dt_score score;
  dt_cut cut = DT_CUT_NONE;
  double start = dt_clock_seconds();
  t->evaluation_due = true;
  if (called_off(t, cut)) return DT_OK;
  DT_TRY(dt_job_evaluate(t->job, &score, &cut));
  if (called_off(t, cut)) return DT_OK;
  t->evaluation_due = false;
  DT_REQUIRE(score.nonfinite == 0, DT_NUMERIC,
             "step %lld: found no finite loss for %lld of %lld samples of data.eval, expected finite numbers; the last "
             "checkpoint is %s",
             (long long)t->step, (long long)score.nonfinite, (long long)score.samples, t->result->checkpoint);
  dt_record_eval line = {.step = t->step,
                         .samples_seen = t->samples_seen,
                         .epoch = (t->samples_seen - 1) / t->job->clock.epoch_samples + 1,
                         .samples = score.samples,
                         .correct = score.correct,
                         .loss = (double)score.loss * 0x1p-20 / (double)score.samples,
                         .accuracy = (double)score.correct / (double)score.samples,
                         .seconds = dt_clock_seconds() - start};
  t->result->accuracy = line.accuracy;
  t->result->loss = line.loss;
  if (line.accuracy > t->best_accuracy) t->best_accuracy = line.accuracy;
  double target = t->job->spec->target.accuracy;
  t->target_reached = target > 0 && line.accuracy >= target;
  return dt_comm_agree(t->job->comm, dt_record_write_eval(t->record, &line));
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
                            "parted; go on from a checkpoint with --resume",
                            (long long)t->step, all[odd], odd, all[other], other);
    }
  }
  status = dt_comm_agree(comm, status);
cleanup:
  free(all);
  return status;
}

/* --- checkpoint --- */

static bool checkpoint_due(const dt_trainer *t) {
  return crossed(t, t->job->spec->checkpoint.every) || t->outcome.tail[DT_TAIL_SAVE] > 0 || t->ending || t->target_reached ||
         t->evaluation_due;
}

void dt_trainer_fingerprint(const dt_job *job, char *text) {
  struct utsname host = {{0}};
  uname(&host);
  const char *library = job->device->library, *plans = job->plans[0];
  int length =
      snprintf(text, DT_FINGERPRINT, "dtrain %s, device %s, %s, %s", DTRAIN_VERSION, job->device->ops->name,
               library != NULL ? library : "own arithmetic", job->device->unit != NULL ? job->device->kernels : host.machine);
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

static dt_status save_here(dt_trainer *t) {
  dt_job *job = t->job;
  char machine[DT_FINGERPRINT];
  dt_trainer_fingerprint(job, machine);
  DT_TRY(dt_job_download(job));
  DT_TRY(check_finite(job->model, job->model_count));
  DT_TRY(check_finite(job->optimizer, job->optimizer_count));
  dt_checkpoint_meta meta = {.samples_seen = t->samples_seen,
                             .step = t->step,
                             .best_accuracy = t->best_accuracy,
                             .evaluation_due = t->evaluation_due,
                             .config = job->config_text,
                             .fingerprint = machine};
  dt_checkpoint_tensors tensors = {.model = job->model,
                                   .optimizer = job->optimizer,
                                   .model_count = job->model_count,
                                   .optimizer_count = job->optimizer_count};
  return dt_checkpoint_save(t->checkpoint_dir, &meta, &tensors, (int)job->spec->checkpoint.keep, t->result->checkpoint);
}

dt_status dt_trainer_save(dt_trainer *t) {
  if (t->result->checkpoint[0] != '\0' && t->saved_samples == t->samples_seen) return DT_OK;
  dt_status status = t->job->comm->rank == 0 ? save_here(t) : DT_OK;
  DT_TRY(dt_comm_agree(t->job->comm, status));
  DT_TRY(t->job->comm->ops->bcast(t->job->comm, t->result->checkpoint, sizeof t->result->checkpoint, 0));
  dt_record_note(t->record, "saved %s", t->result->checkpoint);
  t->saved_samples = t->samples_seen;
  t->saved_at = dt_clock_seconds();
  return DT_OK;
}

const dt_hook dt_hooks[] = {
    {"log", log_due, log_run},
    {"evaluate", evaluate_due, dt_trainer_evaluate},
    {"verify", verify_due, verify_run},
    {"checkpoint", checkpoint_due, dt_trainer_save},
    {NULL},
};

static bool any_due(const dt_trainer *t) {
  for (const dt_hook *hook = dt_hooks; hook->name != NULL; hook++) {
    if (hook->due(t)) return true;
  }
  return false;
}

dt_status dt_hooks_run(dt_trainer *t) {
  t->evaluation_due = false;
  if (any_due(t)) DT_TRY(dt_trainer_settle(t)); /* the last of training, so before the clock is read */
  double start = dt_clock_seconds();
  t->trained_samples += t->batch_samples;
  t->train_seconds += start - t->resumed_at;
  for (const dt_hook *hook = dt_hooks; hook->name != NULL; hook++) {
    if (hook->due(t)) DT_TRY(hook->run(t));
  }
  t->resumed_at = dt_clock_seconds();
  t->lap_at += t->resumed_at - start; /* hooks are no part of the throughput */
  return DT_OK;
}

/* Evaluation without training, and the checkpoint that evaluation and prediction take. */
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "core/optim/average.h"
#include "report/record.h"
#include "train/evaluate.h"
#include "train/job.h"
#include "train/signals.h"
#include "train/trainer.h"

enum { CONTROL_EVERY = 16 }; /* evaluation steps between two looks at the other ranks */

/* The most severe thing that has happened to any rank; every rank gets the same answer. */
static dt_status control(dt_job *job, dt_status own, dt_cut *out_cut) {
  int64_t cut = own != DT_OK          ? DT_CUT_FAILED
                : dt_signal_preempt() ? DT_CUT_PREEMPT
                : dt_signal_stop()    ? DT_CUT_STOP
                                      : DT_CUT_NONE;
  DT_TRY(job->comm->ops->allreduce_i64(job->comm, &cut, 1, DT_MAX));
  *out_cut = (dt_cut)cut;
  return DT_OK;
}

static dt_status evaluate_step(dt_job *job, dt_loader *loader) {
  for (int p = 0; p < job->tree->micro_batch_count; p++) {
    const dt_batch *batch;
    DT_TRY(dt_loader_next(loader, &batch));
    DT_TRY(dt_executor_run_micro_batch(job->executor[1], p, batch));
  }
  return DT_OK;
}

static dt_status evaluate_all(dt_job *job, dt_cut *out_cut) {
  dt_loader *loader = NULL;
  int64_t batch = job->spec->train.global_batch, steps = (job->eval->count + batch - 1) / batch;
  dt_status own = dt_job_loader(job, false, 0, job->eval->count, &loader);
  dt_status status = DT_OK;
  *out_cut = DT_CUT_NONE;
  for (int64_t s = 0; s < steps && status == DT_OK && *out_cut == DT_CUT_NONE; s++) {
    if (own == DT_OK) own = evaluate_step(job, loader);
    if ((s + 1) % CONTROL_EVERY == 0 || s + 1 == steps) status = control(job, own, out_cut);
  }
  if (own == DT_OK) own = dt_executor_score(job->executor[1], job->score);
  dt_loader_destroy(&loader);
  DT_TRY(status);
  DT_TRY(dt_comm_agree(job->comm, own));
  return job->comm->ops->allreduce_i64(job->comm, job->score, (int)job->program[1]->score_words, DT_SUM);
}

/* A checkpoint has what is to be evaluated where parameters are. */
dt_status dt_job_evaluate(dt_job *job, dt_cut *out_cut) {
  dt_executor *trainer = job->executor[0];
  if (trainer == NULL || dt_slot_evaluated(job->spec) < 0) return evaluate_all(job, out_cut);
  DT_TRY(dt_comm_agree(job->comm, dt_executor_exchange(trainer)));
  DT_TRY(evaluate_all(job, out_cut));
  return dt_comm_agree(job->comm, dt_executor_exchange(trainer));
}

void dt_job_evaluation(const dt_job *job, dt_evaluation *out) {
  const dt_program *program = job->program[1];
  double sum[DT_SUMS_MAX] = {0};
  const int64_t *bins[DT_SUMS_MAX] = {NULL};
  for (int i = 0; i < program->sum_count; i++) {
    if (program->sum[i].decl->kind == DT_SUM_HISTOGRAM) {
      bins[i] = job->score + program->sum[i].word;
    } else {
      sum[i] = dt_sum_value(&program->sum[i], job->score);
    }
  }
  dt_evaluation_make(&job->graph->goals, sum, bins, job->score[0], out);
}

static void find_saved(const char *checkpoint, char text[32]) {
  char path[PATH_MAX + 32];
  struct stat info;
  struct tm parts;
  snprintf(path, sizeof path, "%s/manifest.json", checkpoint);
  snprintf(text, 32, "at an unknown time");
  if (stat(path, &info) != 0 || gmtime_r(&info.st_mtime, &parts) == NULL) return;
  strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", &parts);
}

static void describe_source(const dt_checkpoint *checkpoint, dt_source *out) {
  const dt_checkpoint_meta *meta = dt_checkpoint_get_meta(checkpoint);
  char run[PATH_MAX + 8];
  *out = (dt_source){.step = meta->step, .samples_seen = meta->samples_seen};
  snprintf(out->checkpoint, sizeof out->checkpoint, "%s", dt_checkpoint_path(checkpoint));
  find_saved(out->checkpoint, out->saved);
  snprintf(run, sizeof run, "%s/../..", out->checkpoint);
  dt_record_outcome(run, out->outcome);
}

/* A net that was never trained is scored by mistake, unless its very folder, or a file in it, is named. */
static dt_status check_source(const dt_source *source, const char *named) {
  const size_t length = strlen(source->checkpoint);
  const bool meant = strncmp(named, source->checkpoint, length) == 0 && (named[length] == '\0' || named[length] == '/');
  DT_REQUIRE(source->step > 0 || meant, DT_USAGE,
             "%s: found the checkpoint of step 0, before any training, expected one of a trained net; --from with this very "
             "folder takes it all the same",
             source->checkpoint);
  return DT_OK;
}

dt_status dt_score_restore(dt_job *job, const char *path, dt_source *out) {
  char own[PATH_MAX], best[PATH_MAX + 8];
  struct stat unused;
  DT_TRY(dt_job_checkpoint_dir(job->spec, own));
  snprintf(best, sizeof best, "%s/%s/best", job->spec->output, job->spec->name);
  if (path == NULL && job->spec->train.early_stopping.restore && stat(best, &unused) == 0) path = best;
  if (path != NULL) { /* a run's folder stands for the checkpoints in it */
    int length = snprintf(own, sizeof own, "%s/ckpt", path);
    if (length < (int)sizeof own && dt_checkpoint_exists(own)) path = own;
  }
  if (path == NULL) path = own;
  dt_checkpoint *checkpoint;
  char *refused;
  DT_TRY(dt_job_restore(job, path, false, &checkpoint, &refused));
  dt_status status = DT_OK;
  if (job->comm->rank == 0) {
    describe_source(checkpoint, out);
    status = check_source(out, path);
  }
  dt_checkpoint_close(&checkpoint);
  free(refused);
  return dt_comm_agree(job->comm, status);
}

static dt_status check_finite(const dt_job *job) {
  const dt_program *program = job->program[1];
  for (int i = 0; i < program->sum_count; i++) {
    const int64_t nonfinite = dt_sum_nonfinite(&program->sum[i], job->score);
    DT_REQUIRE(nonfinite == 0, DT_NUMERIC, "the %s of %lld of %lld samples is not finite", program->sum[i].decl->name,
               (long long)nonfinite, (long long)job->score[0]);
  }
  return DT_OK;
}

/* The first confusion matrix, if there is one. */
static dt_status take_matrices(const dt_job *job, dt_eval_result *out) {
  const dt_goals *goals = &job->graph->goals;
  int m = 0;
  while (m < goals->measure_count && goals->measure[m].bins == 0) m++;
  if (m == goals->measure_count) return DT_OK;
  const int64_t bins = goals->measure[m].bins;
  DT_TRY(dt_alloc((size_t)bins, sizeof *out->matrix, &out->matrix));
  memcpy(out->matrix, job->score + job->program[1]->sum[goals->measure[m].sum].word, (size_t)bins * sizeof *out->matrix);
  out->classes = (int)llround(sqrt((double)bins));
  return DT_OK;
}

static dt_status evaluate(dt_job *job, const char *checkpoint, dt_eval_result *out) {
  dt_cut cut;
  dt_source source = {.step = 0};
  DT_TRY(dt_score_restore(job, checkpoint, &source));
  DT_TRY(dt_job_evaluate(job, &cut));
  DT_REQUIRE(cut != DT_CUT_PREEMPT, DT_PREEMPTED, "evaluation was stopped by a signal");
  DT_REQUIRE(cut == DT_CUT_NONE, DT_INTERRUPTED, "evaluation was stopped by a signal");
  DT_TRY(check_finite(job));
  dt_evaluation evaluation;
  dt_job_evaluation(job, &evaluation);
  *out = (dt_eval_result){.source = source};
  dt_measured_take(&job->graph->goals, &evaluation, &out->measured);
  return take_matrices(job, out);
}

dt_status dt_evaluate(const dt_config *config, dt_comm *comm, const char *checkpoint, bool on_train, dt_eval_result *out) {
  dt_job *job = NULL;
  DT_TRY(dt_job_create(config, comm, DT_JOB_EVAL, on_train, &job));
  dt_status status = evaluate(job, checkpoint, out);
  dt_job_destroy(&job);
  return status;
}

/* A checkpoint at work: evaluation and prediction without training. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "core/job.h"
#include "core/trainer.h"

/* out_path (PATH_MAX bytes, rank 0) tells which checkpoint was taken; may be NULL. */
static dt_status restore(dt_job *job, const char *path, char *out_path) {
  char own[PATH_MAX];
  DT_TRY(dt_job_checkpoint_dir(job->spec, own));
  if (path != NULL) { /* a run's folder stands for the checkpoints in it */
    int length = snprintf(own, sizeof own, "%s/ckpt", path);
    if (length < (int)sizeof own && dt_checkpoint_exists(own)) path = own;
  }
  dt_checkpoint *checkpoint;
  char *refused;
  dt_status status = dt_job_restore(job, path != NULL ? path : own, false, &checkpoint, &refused);
  if (status == DT_OK && job->comm->rank == 0 && out_path != NULL) {
    snprintf(out_path, PATH_MAX, "%s", dt_checkpoint_path(checkpoint));
  }
  dt_checkpoint_close(&checkpoint);
  free(refused);
  return status;
}

static dt_status evaluate(dt_job *job, const char *checkpoint, dt_eval_result *out) {
  dt_score score;
  dt_cut cut;
  char path[PATH_MAX] = "";
  DT_TRY(restore(job, checkpoint, path));
  DT_TRY(dt_job_evaluate(job, &score, &cut));
  DT_REQUIRE(cut != DT_CUT_PREEMPT, DT_PREEMPTED, "evaluation was stopped by a signal");
  DT_REQUIRE(cut == DT_CUT_NONE, DT_INTERRUPTED, "evaluation was stopped by a signal");
  DT_REQUIRE(score.nonfinite == 0, DT_NUMERIC, "the loss of %lld of %lld samples is not finite", (long long)score.nonfinite,
             (long long)score.samples);
  *out = (dt_eval_result){.samples = score.samples,
                          .correct = score.correct,
                          .loss = (double)score.loss * 0x1p-20 / (double)score.samples,
                          .accuracy = (double)score.correct / (double)score.samples};
  snprintf(out->checkpoint, sizeof out->checkpoint, "%s", path);
  return DT_OK;
}

dt_status dt_evaluate(const dt_config *config, dt_comm *comm, const char *checkpoint, bool on_train, dt_eval_result *out) {
  dt_job *job = NULL;
  DT_TRY(dt_job_create(config, comm, DT_JOB_EVAL, on_train, &job));
  dt_status status = evaluate(job, checkpoint, out);
  dt_job_destroy(&job);
  return status;
}

/* What one rank finds for one sample; gathered at rank 0 step by step, so that memory does not grow with the data. */
typedef struct found {
  int64_t index; /* -1: an empty place */
  int32_t label;
  float probability;
} found;

typedef struct predict_state {
  dt_job *job;
  dt_loader *loader;
  double *probability; /* [shards of a pass][shard_slots][classes] */
  found *own, *all;
  int64_t own_count; /* places a rank sends per step: the same on every rank */
} predict_state;

static void label_shard(predict_state *p, const dt_batch *batch, int shard, int64_t first, found *out) {
  const dt_program *program = p->job->program[1];
  int64_t classes = dt_shape_count(&program->buffer[program->logits].shape);
  for (int64_t i = 0; i < batch->filled[shard]; i++) {
    const double *row = p->probability + (shard * program->shard_slots + i) * classes;
    int64_t best = 0;
    for (int64_t c = 1; c < classes; c++) {
      if (row[c] > row[best]) best = c;
    }
    out[i] = (found){.index = first + batch->place[shard] + i, .label = (int32_t)best, .probability = (float)row[best]};
  }
}

/* Labels this rank's samples of the step that starts at `first`. */
static dt_status label_step(predict_state *p, int64_t first) {
  dt_job *job = p->job;
  const dt_program *program = job->program[1];
  DT_REQUIRE(!dt_signal_preempt(), DT_PREEMPTED, "prediction was stopped by a signal");
  DT_REQUIRE(!dt_signal_stop(), DT_INTERRUPTED, "prediction was stopped by a signal");
  for (int64_t i = 0; i < p->own_count; i++) p->own[i].index = -1;
  found *out = p->own;
  for (int n = 0; n < job->tree->pass_count; n++) {
    const dt_batch *batch;
    const dt_pass_plan *plan = &job->tree->passes[n];
    dt_pass pass = {.first_shard = plan->first_shard, .shard_count = plan->shard_count};
    DT_TRY(dt_loader_next(p->loader, &batch));
    DT_TRY(dt_executor_pass(job->executor[1], n, batch));
    pass.batch = batch;
    DT_TRY(job->device->ops->read_value(dt_executor_run_state(job->executor[1]), program->logits, &pass, p->probability));
    for (int s = 0; s < plan->shard_count; s++, out += program->shard_slots) label_shard(p, batch, s, first, out);
  }
  return DT_OK;
}

static int by_index(const void *a, const void *b) {
  int64_t x = ((const found *)a)->index, y = ((const found *)b)->index;
  return (x > y) - (x < y);
}

static dt_status print_step(predict_state *p, FILE *out) {
  int64_t count = p->own_count * p->job->comm->size;
  qsort(p->all, (size_t)count, sizeof *p->all, by_index);
  for (int64_t i = 0; i < count; i++) {
    const found *f = &p->all[i];
    if (f->index >= 0) fprintf(out, "%lld,%d,%.6f\n", (long long)f->index, f->label, (double)f->probability);
  }
  DT_REQUIRE(!ferror(out), DT_IO, "the predictions can't be written");
  return DT_OK;
}

static dt_status predict_loop(predict_state *p, FILE *out) {
  dt_job *job = p->job;
  int64_t batch = job->spec->train.global_batch;
  if (job->comm->rank == 0) fputs("index,label,probability\n", out);
  for (int64_t first = 0; first < job->eval->count; first += batch) {
    DT_TRY(dt_comm_agree(job->comm, label_step(p, first)));
    DT_TRY(job->comm->ops->gather(job->comm, p->own, (size_t)p->own_count * sizeof *p->own, p->all, 0));
    DT_TRY(dt_comm_agree(job->comm, job->comm->rank == 0 ? print_step(p, out) : DT_OK));
  }
  return DT_OK;
}

static dt_status predict_set_up(predict_state *p) {
  dt_job *job = p->job;
  const dt_program *program = job->program[1];
  int64_t classes = dt_shape_count(&program->buffer[program->logits].shape);
  int most = (job->tree->shards + job->comm->size - 1) / job->comm->size;
  p->own_count = most * program->shard_slots;
  DT_TRY(dt_alloc((size_t)(program->pass_shards * program->shard_slots * classes), sizeof(double), &p->probability));
  DT_TRY(dt_alloc((size_t)p->own_count, sizeof(found), &p->own));
  DT_TRY(dt_alloc((size_t)(p->own_count * job->comm->size), sizeof(found), &p->all));
  return dt_job_loader(job, false, 0, job->eval->count, &p->loader);
}

dt_status dt_predict(const dt_config *config, dt_comm *comm, const char *checkpoint, FILE *out) {
  predict_state p = {0};
  DT_TRY(dt_job_create(config, comm, DT_JOB_PREDICT, false, &p.job));
  dt_status status = restore(p.job, checkpoint, NULL);
  if (status == DT_OK) status = dt_comm_agree(comm, predict_set_up(&p));
  if (status == DT_OK) status = predict_loop(&p, out);
  dt_loader_destroy(&p.loader);
  free(p.probability);
  free(p.own);
  free(p.all);
  dt_job_destroy(&p.job);
  return status;
}

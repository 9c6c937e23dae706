/* The loop.
 *
 * Invariants
 * 1. Ranks decide alike: what happens after a step follows from samples seen and from the step statistics, which are reduced
 * over ranks. A signal, a clock or a failure on one rank only raises a flag that rides on the next step's last bucket.
 * 2. A real checkpoint exists before the first step, so that a run which cannot save fails at once, not after hours; and before
 *    an earlier run of the same name is set aside.
 * 3. State that is not finite is never saved.
 * 4. A failure that only this rank has seen (DT_RANK_DIVERGED) ends the job from main, since the others wait in a collective.
 */
#include "train/trainer.h"
#include "comm/cores.h"
#include "core/clock.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/config/warnings.h"
#include "core/numbers.h"
#include "train/hooks.h"
#include "train/shares.h"
#include "train/signals.h"

static bool is_root(const dt_trainer *t) {
  return t->job->comm->rank == 0;
}

/* --- one step --- */

/* What this rank wants of all: flags that ride on the reduction. Only rank 0 looks at the clock. */
static void raise_flags(void *context, double *flags) {
  const dt_trainer *t = context;
  flags[DT_STATISTIC_FAIL] = t->failed != DT_OK;
  flags[DT_STATISTIC_STOP] = dt_signal_stop();
  flags[DT_STATISTIC_PREEMPT] = dt_signal_preempt();
  dt_duration every = t->job->spec->checkpoint.every;
  flags[DT_STATISTIC_SAVE] = is_root(t) && every.unit == DT_SECONDS && dt_clock_seconds() - t->saved_at >= every.amount;
}

static dt_status check_finite(const dt_trainer *t, const dt_in_flight *step, const dt_step_result *outcome) {
  const dt_goals *goals = &t->job->graph->goals;
  const double whole = dt_measure_value(goals, &goals->measure[0], outcome->sum, NULL, (double)step->samples);
  double nonfinite = 0;
  for (int i = 0; i < goals->loss_count; i++) nonfinite += outcome->nonfinite[goals->loss[i].sum];
  char loss[DT_NUMBER_TEXT], norm[DT_NUMBER_TEXT];
  DT_REQUIRE(isfinite(whole) && isfinite(outcome->grad_norm), DT_NUMERIC,
             "step %lld (samples %lld to %lld): found loss %s (%g samples not finite) and gradient norm %s, expected finite "
             "numbers; the last checkpoint is "
             "%s; a smaller schedule.lr, a warm-up or train.clip_norm may help",
             (long long)step->step, (long long)step->samples_before, (long long)(step->samples_before + step->samples) - 1,
             dt_number_text(whole, loss), nonfinite, dt_number_text(outcome->grad_norm, norm), t->result->checkpoint);
  return DT_OK;
}

static dt_status take_step(void *context, const dt_in_flight *step, const dt_step_result *outcome) {
  dt_trainer *t = context;
  dt_comm *comm = t->job->comm;
  t->lap_data_wait += outcome->data_wait;
  t->lap_reduce_wait += outcome->reduce_wait;
  t->data_wait += outcome->data_wait;
  t->reduce_wait += outcome->reduce_wait;
  if (outcome->statistic[DT_STATISTIC_FAIL] > 0) {
    dt_rank_enter(&comm->state, DT_RANK_TOGETHER); /* every rank has seen the flag */
    return dt_comm_agree(comm, t->failed);
  }
  if (step->partial) return DT_OK;
  dt_status status = check_finite(t, step, outcome);
  if (status != DT_OK) {
    dt_rank_enter(&comm->state, DT_RANK_TOGETHER); /* the sums over all ranks are the same on every rank */
    return status;
  }
  for (int i = 0; i < t->epoch.count; i++) t->epoch.sum[i] += outcome->sum[i];
  t->epoch.samples += step->samples;
  return dt_trainer_write_line(t, step->step);
}

void dt_trainer_begin_epoch(dt_trainer *t) {
  const dt_program *program = t->job->program[0];
  _Static_assert((int)DT_EPOCH_SUMS >= (int)DT_SUMS_MAX, "a checkpoint keeps all sums");
  t->epoch = (dt_epoch_sums){.count = program->sum_count};
  for (int i = 0; i < program->sum_count; i++)
    snprintf(t->epoch.name[i], DT_SUM_NAME, "%s.%s", t->job->graph->node[program->sum[i].node].name,
             program->sum[i].decl->name);
}

static bool wants_end(const dt_trainer *t) {
  return t->steps.outcome.statistic[DT_STATISTIC_STOP] > 0 || t->steps.outcome.statistic[DT_STATISTIC_PREEMPT] > 0 ||
         t->target_reached || t->stopped_early || t->steps.samples_seen >= t->job->clock.total_samples ||
         (t->options->stop_after_steps > 0 && t->steps.step - t->first_step >= t->options->stop_after_steps);
}

/* What a run that is over leaves behind where it is the best evaluation's. One that was gone on with, and only then asked to
 * restore, has no state of the evaluations before. */
static void tell_restored(const dt_trainer *t) {
  const dt_watch *best = &t->watch[DT_WATCH_BEST], *stop = &t->watch[DT_WATCH_STOP];
  const dt_measure *measure;
  char value[DT_MEASURE_TEXT];
  const bool over = t->stopped_early || t->target_reached || t->steps.samples_seen >= t->job->clock.total_samples;
  if (!over || !t->job->spec->train.early_stopping.restore || best->measure[0] == '\0' || isnan(best->best)) return;
  measure = &t->job->graph->goals.measure[dt_trainer_watched(t, DT_WATCH_BEST)];
  const bool late = strcmp(stop->measure, best->measure) == 0 && dt_measure_is_better(measure, stop->best, best->best, 0);
  dt_record_log(t->record,
                "restored: what eval and predict take is the state of epoch %lld (step %lld), the best by %s (%s)%s: best/ in "
                "the run's folder",
                (long long)((best->samples_seen - 1) / t->job->clock.epoch_samples + 1), (long long)best->step, best->measure,
                dt_measure_text(measure, best->best, value),
                late ? " of those since restore was asked for; a better one before is not kept" : "");
}

static dt_status loop(dt_trainer *t) {
  t->ending = wants_end(t);
  while (!t->ending) {
    DT_TRY(dt_steps_advance(&t->steps));
    t->ending = wants_end(t);
    if (!t->steps.called_off) DT_TRY(dt_hooks_run(t));
    t->ending = t->ending || wants_end(t);
  }
  DT_TRY(dt_comm_agree(t->job->comm, t->failed));
  DT_TRY(dt_trainer_save(t));
  tell_restored(t);
  return DT_OK;
}

/* --- the start --- */

/* Without the padding between the tensors of the block: the count that describe prints. */
static int64_t count_parameters(const dt_program *program) {
  int64_t count = 0;
  for (int p = 0; p < program->param_count; p++) count += program->param[p].count;
  return count;
}

/* plans.txt; NULL where the device leaves nothing to libraries. Free it. */
static dt_status join_plans(const dt_job *job, char **out_text) {
  const char *training = job->plans[0], *evaluation = job->plans[1];
  *out_text = NULL;
  if (training == NULL) return DT_OK;
  int length = asprintf(out_text, "training\n%s%s%s", training, evaluation != NULL ? "evaluation\n" : "",
                        evaluation != NULL ? evaluation : "");
  DT_REQUIRE(length >= 0, DT_MEMORY, "no memory for the plans");
  return DT_OK;
}

/* What only a gpu uses is no error elsewhere, as a config says nothing about the device; but it is logged. */
static void warn_of_what_has_no_effect(const dt_trainer *t) {
  const dt_job *job = t->job;
  int transport = job->spec->comm.transport;
  const char *device = job->device->ops->name;
  if (job->devices != NULL) return;
  if (job->spec->precision != DT_FP32) {
    dt_record_log(t->record, "precision has no effect here: only a gpu uses it, and the %s device computes in %s", device,
                  dt_dtype_name(job->device->ops->dtype));
  }
  if (strcmp(job->spec->plans, "auto") != 0) {
    dt_record_log(t->record, "plans has no effect here: the %s device leaves nothing to a gpu's libraries", device);
  }
  if (transport == DT_TRANSPORT_NCCL || transport == DT_TRANSPORT_STAGED) {
    dt_record_log(t->record, "comm.transport has no effect here: nccl and staged are for gpus, and the %s device takes auto",
                  device);
  }
}

/* Each in a line of its own: the table of many ranks is longer than a line may be. */
static void print_device_ids(const dt_trainer *t) {
  for (const char *line = t->job->devices; line != NULL;) {
    const size_t length = strcspn(line, "\n");
    dt_record_log(t->record, "%.*s", (int)length, line);
    line = line[length] == '\n' ? line + length + 1 : NULL;
  }
}

static void print_warning(void *context, const char *line) {
  dt_record_log(((dt_trainer *)context)->record, "%s", line);
}

static void print_warnings(dt_trainer *t) {
  const dt_job *job = t->job;
  const dt_warnings to = {print_warning, t};
  const dt_shares shares = {.ranks = job->comm->size,
                            .local_ranks = job->comm->local_size,
                            .cores = job->comm->cores,
                            .available = (int)dt_cores_available(),
                            .train_samples = job->train->count};
  dt_spec_warnings(job->spec, shares.available, &to);
  dt_share_warnings(job->spec, job->device, &shares, &to);
}

static void log_start(const dt_trainer *t) {
  const dt_job *job = t->job;
  const int ranks = job->comm->size;
  const long long parameters = count_parameters(job->program[0]), shards = job->spec->train.shards;
  dt_record_log(t->record,
                "%s on %d rank%s x %d thread%s (%s), %lld parameters, %lld training samples, %lld shard%s of a batch of %lld",
                job->spec->name, ranks, dt_plural(ranks), job->threads, dt_plural(job->threads), job->device->ops->name,
                parameters, (long long)job->train->count, shards, dt_plural(shards), (long long)job->spec->train.global_batch);
  if (ranks > 1) {
    const int buckets = job->program[0]->bucket_count;
    dt_record_log_quietly(t->record, "gradients are exchanged in %d bucket%s of about %.3g MiB", buckets, dt_plural(buckets),
                          (double)job->program[0]->bucket_bytes / (1 << 20));
  }
  if (job->reducer->note != NULL) dt_record_log(t->record, "%s", job->reducer->note);
  if (t->options->resume) {
    dt_record_log(t->record, "going on from %s (%lld samples seen)", t->result->checkpoint, (long long)t->steps.samples_seen);
  }
  if (job->missing[0] != '\0') dt_record_log(t->record, "no gpu, so the cpu: %s", job->missing);
}

static dt_status start_record(dt_trainer *t) {
  dt_job *job = t->job;
  char *plans;
  DT_TRY(join_plans(job, &plans));
  dt_record_facts facts = {.device_name = job->device->ops->name,
                           .kernels = job->device->kernels,
                           .math_library = job->device->library,
                           .program_hash = dt_program_hash(job->program[0]),
                           .train_hash = job->train->hash,
                           .train_fields = &job->train->fields,
                           .eval_fields = job->eval != NULL ? &job->eval->fields : NULL,
                           .eval_hash = job->eval != NULL ? job->eval->hash : 0,
                           .parameters = count_parameters(job->program[0]),
                           .ranks = job->comm->size,
                           .threads = job->threads,
                           .local_ranks = job->comm->local_size,
                           .shards = (int)job->spec->train.shards,
                           .buckets = job->program[0]->bucket_count,
                           .bucket_bytes = job->program[0]->bucket_bytes,
                           .train_source = job->train->source,
                           .eval_source = job->eval != NULL ? job->eval->source : "",
                           .command = t->options->command,
                           .devices = job->devices,
                           .plans = plans,
                           .mpi_library = dt_comm_library(),
                           .yaml_library = dt_config_library(),
                           .reducer_library = job->reducer->library};
  dt_status status = dt_record_start(t->record, job->config, &facts);
  free(plans);
  DT_TRY(status);
  DT_TRY(dt_record_memory(t->record, &job->memory, &job->seen));
  log_start(t);
  print_warnings(t);
  warn_of_what_has_no_effect(t);
  if (job->device->note != NULL) dt_record_log(t->record, "%s", job->device->note);
  print_device_ids(t);
  if (job->spec->schedule.scaling.rule != DT_SCALE_NONE) {
    dt_record_log(t->record, "schedule.scaling: peak learning rate %g", job->schedules.hyper[DT_HYPER_LR].peak);
  }
  if (job->train->note != NULL) dt_record_log(t->record, "data.train: %s", job->train->note);
  if (job->eval != NULL && job->eval->note != NULL) dt_record_log(t->record, "data.eval: %s", job->eval->note);
  if (job->eval != NULL && job->eval->hash == job->train->hash) {
    dt_record_warn(t->record, "data.train and data.eval hold the same samples");
  }
  return DT_OK;
}

static dt_status open_record(dt_trainer *t) {
  return dt_record_open(t->job->spec, &t->job->graph->goals, t->job->comm->rank, t->options->resume, &t->options->output,
                        &t->record);
}

/* Takes the run's folder, in which nothing changes yet. */
static dt_status open_run(dt_trainer *t) {
  dt_job *job = t->job;
  DT_TRY(dt_job_checkpoint_dir(job->spec, t->checkpoint_dir));
  dt_status status = DT_OK;
  if (is_root(t)) {
    if (t->options->resume && !dt_checkpoint_exists(t->checkpoint_dir)) {
      status = dt_error_set(DT_USAGE, __FILE__, __LINE__,
                            "--resume: found no checkpoint in %s; leave --resume out to begin anew", t->checkpoint_dir);
    } else {
      status = open_record(t);
    }
  }
  return dt_comm_agree(job->comm, status);
}

/* The first checkpoint is written where the run's files are; from then on the run has its own name. */
static dt_status take_place(dt_trainer *t) {
  if (is_root(t)) {
    int length = snprintf(t->checkpoint_dir, sizeof t->checkpoint_dir, "%s/ckpt", dt_record_work(t->record));
    DT_ASSERT(length < (int)sizeof t->checkpoint_dir);
  }
  DT_TRY(dt_trainer_save(t));
  DT_TRY(dt_comm_agree(t->job->comm, is_root(t) ? dt_record_take_place(t->record) : DT_OK));
  char saved[sizeof t->result->checkpoint];
  memcpy(saved, t->result->checkpoint, sizeof saved);
  DT_TRY(dt_job_checkpoint_dir(t->job->spec, t->checkpoint_dir));
  int length = snprintf(t->result->checkpoint, sizeof saved, "%s%s", t->checkpoint_dir, strrchr(saved, '/'));
  DT_REQUIRE(length < (int)sizeof saved, DT_USAGE, "%.100s...: path too long", t->checkpoint_dir);
  return DT_OK;
}

/* Rank 0's record first: everything that can fail comes before a new run takes an earlier one's place, or a resumed one loses
 * the lines behind its checkpoint. */
static dt_status begin_record(dt_trainer *t) {
  dt_comm *comm = t->job->comm;
  DT_TRY(dt_comm_agree(comm, is_root(t) ? start_record(t) : DT_OK));
  if (!t->options->resume) DT_TRY(take_place(t));
  dt_status status = is_root(t) ? DT_OK : open_record(t);
  if (status == DT_OK) status = is_root(t) ? dt_record_truncate(t->record, t->steps.samples_seen) : start_record(t);
  DT_TRY(dt_comm_agree(comm, status));
  if (is_root(t)) dt_record_stand(t->record);
  snprintf(t->result->run_dir, sizeof t->result->run_dir, "%s", dt_record_dir(t->record));
  return DT_OK;
}

/* --- the end --- */

/* A device that has failed is not asked what it has free. */
static dt_status finish_record(dt_trainer *t, const dt_record_end *end) {
  dt_job *job = t->job;
  if (end->status == DT_OK) {
    job->seen.ended = dt_memory_free(job->device, NULL);
    DT_TRY(dt_record_memory(t->record, &job->memory, &job->seen));
  }
  return dt_record_finish(t->record, end);
}

static const char *outcome_of(const dt_trainer *t, dt_status status) {
  if (status == DT_PREEMPTED) return "preempted";
  if (status == DT_INTERRUPTED) return "interrupted";
  if (status != DT_OK) return "failed";
  if (t->target_reached) return "target reached";
  if (t->stopped_early) return "stopped early";
  return t->steps.samples_seen >= t->job->clock.total_samples ? "finished" : "stopped";
}

/* Every rank is here after the same steps, so that a signal on one is everyone's. */
static dt_status check_signals(const dt_trainer *t) {
  const double *statistic = t->steps.outcome.statistic;
  const char *saved = t->result->checkpoint;
  DT_REQUIRE(statistic[DT_STATISTIC_PREEMPT] == 0, DT_PREEMPTED, "saved %s; the same command with --resume goes on", saved);
  DT_REQUIRE(statistic[DT_STATISTIC_STOP] == 0, DT_INTERRUPTED, "saved %s; the same command with --resume goes on", saved);
  return DT_OK;
}

static void fill_result(dt_trainer *t, const char *outcome) {
  t->result->outcome = outcome;
  t->result->samples_seen = t->steps.samples_seen;
  t->result->steps = t->steps.step;
  t->result->trained_samples = t->trained_samples;
  t->result->train_seconds = t->train_seconds;
  t->result->samples_per_second = t->train_seconds > 0 ? (double)t->trained_samples / t->train_seconds : 0;
}

/* status: what the loop came to, which all ranks have agreed on. */
static dt_status finish(dt_trainer *t, dt_status status) {
  dt_record_end end = {.seconds = {.wall = dt_clock_seconds() - t->started_at,
                                   .training = t->train_seconds,
                                   .evaluation = t->evaluation_seconds,
                                   .checkpoints = t->checkpoint_seconds,
                                   .data_wait = t->data_wait,
                                   .exposed_communication = t->reduce_wait}};
  if (status == DT_OK) {
    dt_rank_clocks own = {.step = t->train_seconds, .data_wait = t->data_wait, .reduce_wait = t->reduce_wait};
    status = dt_timing_gather(&t->timing, t->job->comm, &own, &end.timing);
  }
  if (status == DT_OK && t->steps.step > t->first_step) dt_record_summary(t->record, &end);
  if (status == DT_OK) status = check_signals(t);
  end.status = status;
  end.outcome = outcome_of(t, status);
  end.text = status != DT_OK ? dt_error_text() : "";
  fill_result(t, end.outcome);
  const dt_status ended = t->record != NULL ? finish_record(t, &end) : DT_OK;
  return status == DT_OK ? dt_comm_agree(t->job->comm, ended) : status; /* only rank 0 writes run.json */
}

/* --- the whole run --- */

static dt_status run(dt_trainer *t) {
  dt_job *job = t->job;
  t->steps = (dt_steps){.job = job, .taken = take_step, .flags = raise_flags, .context = t};
  dt_trainer_begin_epoch(t);
  DT_TRY(dt_comm_agree(job->comm, dt_timing_create(job->comm, &t->timing)));
  DT_TRY(open_run(t));
  if (t->options->resume) DT_TRY(dt_trainer_restore(t));
  t->first_step = t->lap_step = t->steps.step;
  DT_TRY(dt_comm_agree(job->comm, dt_steps_begin(&t->steps, job->clock.total_samples)));
  DT_TRY(begin_record(t));
  t->saved_at = dt_clock_seconds();
  DT_TRY(dt_trainer_catch_up(t));
  t->lap_at = t->resumed_at = t->epoch_began_at = dt_clock_seconds();
  return loop(t);
}

dt_status dt_train(const dt_config *config, dt_comm *comm, const dt_train_options *options, dt_train_result *out) {
  *out = (dt_train_result){.outcome = "failed"};
  dt_trainer t = {.options = options, .result = out, .started_at = dt_clock_seconds()};
  dt_status status = dt_job_create(config, comm, DT_JOB_TRAIN, false, &t.job);
  if (status == DT_OK) {
    status = run(&t);
    status = finish(&t, status);
  }
  dt_steps_end(&t.steps);
  dt_record_close(&t.record);
  dt_timing_destroy(&t.timing);
  dt_job_destroy(&t.job);
  return status;
}

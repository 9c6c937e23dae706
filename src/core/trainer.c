/* The loop.
 *
 * Invariants
 * 1. Ranks decide alike: what happens after a step follows from samples seen and from the tail, which is reduced over ranks.
 *    A signal, a clock or a failure on one rank only raises a flag that rides on the next step's last bucket.
 * 2. A real checkpoint exists before the first step, so that a run which cannot save fails at once, not after hours.
 * 3. State that is not finite is never saved.
 * 4. A failure that only this rank has seen (comm->diverged) ends the job from main, since the others wait in a collective. */
#include "core/trainer.h"
#include "core/clock.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/hooks.h"

static bool is_root(const dt_trainer *t) {
  return t->job->comm->rank == 0;
}

/* --- restoring --- */

static bool is_accepted(const char *accept, const char *key, size_t length) {
  for (const char *word = accept; word != NULL && *word != '\0';) {
    size_t span = strcspn(word, ",");
    if (span == length && strncmp(word, key, length) == 0) return true;
    word += span + (word[span] == ',');
  }
  return false;
}

/* Refuses to go on with a config that would train something else, unless every changed key is accepted by name. */
static dt_status check_changes(dt_trainer *t, const char *saved_config) {
  char *text = NULL;
  int count = dt_config_diff(saved_config, t->job->config_text, &text);
  dt_status status = DT_OK;
  char *refused = NULL;
  size_t bytes = 0;
  FILE *memory = open_memstream(&refused, &bytes);
  if (memory == NULL) status = dt_error_set(DT_MEMORY, __FILE__, __LINE__, "no memory to compare configs");
  int refused_count = 0;
  if (text == NULL) status = dt_error_set(DT_MEMORY, __FILE__, __LINE__, "no memory to compare configs");
  for (const char *line = text; status == DT_OK && count > 0 && *line != '\0';) {
    const char *end = strchrnul(line, '\n');
    if (!is_accepted(t->options->accept, line, strcspn(line, ":"))) {
      fprintf(memory, "\n  %.*s", (int)(end - line), line);
      refused_count++;
    } else {
      dt_record_say(t->record, "accepted change: %.*s", (int)(end - line), line);
    }
    line = *end == '\n' ? end + 1 : end;
  }
  if (memory != NULL) fclose(memory);
  if (refused_count > 0) {
    status = dt_error_set(DT_USAGE, __FILE__, __LINE__,
                          "the config differs from the checkpoint's where it changes the training; --accept KEY[,KEY] takes a "
                          "change as meant:%s",
                          refused);
  }
  free(refused);
  free(text);
  return status;
}

/* What rank 0 tells the others of a checkpoint, besides its tensors. */
typedef struct progress {
  int64_t samples_seen, step;
  double best_accuracy;
  bool evaluation_due;
  char path[sizeof((dt_train_result *)0)->checkpoint];
} progress;

static void go_on_from(dt_trainer *t, const progress *at) {
  double target = t->job->spec->target.accuracy;
  t->samples_seen = t->saved_samples = at->samples_seen;
  t->step = at->step;
  t->best_accuracy = at->best_accuracy;
  t->evaluation_due = at->evaluation_due;
  t->target_reached = target > 0 && at->best_accuracy >= target;
  memcpy(t->result->checkpoint, at->path, sizeof at->path);
  dt_record_say(t->record, "going on from %s (%lld samples seen)", at->path, (long long)at->samples_seen);
}

static dt_status restore(dt_trainer *t) {
  dt_job *job = t->job;
  dt_checkpoint *checkpoint;
  char *refused;
  DT_TRY(dt_job_restore(job, t->checkpoint_dir, true, &checkpoint, &refused));
  dt_status status = DT_OK;
  progress at = {0};
  if (is_root(t)) {
    const dt_checkpoint_meta *meta = dt_checkpoint_get_meta(checkpoint);
    if (refused[0] != '\0') dt_record_say(t->record, "passed over: %s", refused);
    status = check_changes(t, meta->config);
    char own[DT_FINGERPRINT];
    dt_trainer_fingerprint(job, own);
    if (strcmp(own, meta->fingerprint) != 0) {
      dt_record_say(t->record, "bits may part from here: the checkpoint was made by %s; this is %s", meta->fingerprint, own);
    }
    at = (progress){.samples_seen = meta->samples_seen,
                    .step = meta->step,
                    .best_accuracy = meta->best_accuracy,
                    .evaluation_due = meta->evaluation_due};
    snprintf(at.path, sizeof at.path, "%s", dt_checkpoint_path(checkpoint));
  }
  dt_checkpoint_close(&checkpoint);
  free(refused);
  DT_TRY(dt_comm_agree(job->comm, status));
  DT_TRY(job->comm->ops->bcast(job->comm, &at, sizeof at, 0));
  go_on_from(t, &at);
  return DT_OK;
}

/* A signal called off the evaluation that was due where the run stopped: it is made now, as if the run had not stopped. */
static dt_status catch_up(dt_trainer *t) {
  if (!t->evaluation_due || t->job->eval == NULL) return DT_OK;
  DT_TRY(dt_trainer_evaluate(t));
  if (t->evaluation_due) return DT_OK;
  t->saved_samples = -1; /* the checkpoint on disk still asks for the evaluation */
  return dt_trainer_save(t);
}

/* --- one step --- */

static dt_status next_batch(void *context, const dt_batch **out) {
  return dt_loader_next(context, out);
}

/* What this rank wants of all: flags that ride on the reduction. Only rank 0 looks at the clock. */
static void raise_flags(dt_trainer *t, double *flags) {
  memset(flags, 0, DT_TAIL_COUNT * sizeof *flags);
  flags[DT_TAIL_FAIL] = t->failed != DT_OK;
  flags[DT_TAIL_STOP] = dt_signal_stop();
  flags[DT_TAIL_PREEMPT] = dt_signal_preempt();
  dt_duration every = t->job->spec->checkpoint.every;
  flags[DT_TAIL_SAVE] = is_root(t) && every.unit == DT_SECONDS && dt_clock_seconds() - t->saved_at >= every.amount;
}

static void set_step(dt_trainer *t, int64_t batch_samples) {
  dt_job *job = t->job;
  dt_step *step = dt_executor_run_state(job->executor[0])->step;
  step->samples_seen = t->samples_seen;
  step->batch_samples = batch_samples;
  step->lr = dt_schedule_value(&job->lr, &job->clock, t->samples_seen);
  step->momentum = job->momentum.given ? dt_schedule_value(&job->momentum, &job->clock, t->samples_seen) : t->momentum;
  step->weight_decay =
      job->weight_decay.given ? dt_schedule_value(&job->weight_decay, &job->clock, t->samples_seen) : t->weight_decay;
  step->clip_norm = job->spec->train.clip_norm;
}

static dt_status check_finite(dt_trainer *t) {
  const double *tail = t->outcome.tail;
  int64_t before = t->flight[0].samples_before, samples = t->flight[0].samples;
  DT_REQUIRE(isfinite(tail[DT_TAIL_LOSS]) && isfinite(t->outcome.grad_norm), DT_NUMERIC,
             "step %lld (samples %lld to %lld): found loss %g (%g samples not finite) and gradient norm %g, expected finite "
             "numbers; the last checkpoint is "
             "%s; a smaller schedule.lr, a warm-up or train.clip_norm may help",
             (long long)t->flight[0].step, (long long)before, (long long)(before + samples) - 1,
             tail[DT_TAIL_LOSS] / (double)samples, tail[DT_TAIL_NONFINITE], t->outcome.grad_norm, t->result->checkpoint);
  return DT_OK;
}

/* Takes the outcome of the oldest step in flight. */
static dt_status take_outcome(dt_trainer *t) {
  dt_job *job = t->job;
  DT_TRY(dt_executor_outcome(job->executor[0], &t->outcome));
  t->lap_data_wait += t->outcome.data_wait;
  t->lap_reduce_wait += t->outcome.reduce_wait;
  if (t->outcome.tail[DT_TAIL_FAIL] > 0) {
    job->comm->diverged = false; /* every rank has seen the flag */
    return dt_comm_agree(job->comm, t->failed);
  }
  dt_status status = check_finite(t);
  if (status != DT_OK) {
    job->comm->diverged = false; /* the sums over all ranks are the same on every rank */
    return status;
  }
  t->flight[0] = t->flight[1];
  t->in_flight--;
  return DT_OK;
}

dt_status dt_trainer_settle(dt_trainer *t) {
  while (t->in_flight > 0) DT_TRY(take_outcome(t));
  t->job->comm->diverged = false;
  return DT_OK;
}

static dt_status run_step(dt_trainer *t) {
  dt_job *job = t->job;
  double flags[DT_TAIL_COUNT];
  t->batch_samples = dt_sampler_plan(&job->sampler, t->samples_seen).count;
  set_step(t, t->batch_samples);
  raise_flags(t, flags);
  job->comm->diverged = true; /* until all started steps have ended on this rank, the others may be waiting for it */
  DT_TRY(dt_executor_step(job->executor[0], next_batch, t->loader, flags));
  t->flight[t->in_flight].step = t->step + 1;
  t->flight[t->in_flight].samples_before = t->samples_seen;
  t->flight[t->in_flight++].samples = t->batch_samples;
  while (t->in_flight > dt_executor_lag(job->executor[0])) DT_TRY(take_outcome(t));
  if (t->in_flight == 0) job->comm->diverged = false;
  t->samples_before = t->samples_seen;
  t->samples_seen += t->batch_samples;
  t->step++;
  return DT_OK;
}

static bool wants_end(const dt_trainer *t) {
  return t->outcome.tail[DT_TAIL_STOP] > 0 || t->outcome.tail[DT_TAIL_PREEMPT] > 0 || t->target_reached ||
         t->samples_seen >= t->job->clock.total_samples ||
         (t->options->stop_after_steps > 0 && t->step - t->first_step >= t->options->stop_after_steps);
}

static dt_status loop(dt_trainer *t) {
  t->ending = wants_end(t);
  while (!t->ending) {
    DT_TRY(run_step(t));
    t->ending = wants_end(t);
    DT_TRY(dt_hooks_run(t));
    t->ending = t->ending || wants_end(t);
  }
  DT_TRY(dt_comm_agree(t->job->comm, t->failed));
  return dt_trainer_save(t);
}

/* --- the whole run --- */

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

/* What only a gpu heeds is no error elsewhere, as a config says nothing about the device; but it is told of. */
static void say_what_has_no_effect(const dt_trainer *t) {
  const dt_job *job = t->job;
  int transport = job->spec->comm.transport;
  const char *device = job->device->ops->name;
  if (job->units != NULL) return;
  if (job->spec->precision != DT_FP32) {
    dt_record_say(t->record, "precision has no effect here: only a gpu heeds it, and the %s device computes in %s", device,
                  dt_dtype_name(job->device->ops->dtype));
  }
  if (strcmp(job->spec->plans, "auto") != 0) {
    dt_record_say(t->record, "plans has no effect here: the %s device leaves nothing to a gpu's libraries", device);
  }
  if (transport == DT_TRANSPORT_NCCL || transport == DT_TRANSPORT_STAGED) {
    dt_record_say(t->record, "comm.transport has no effect here: nccl and staged are for gpus, and the %s device takes auto",
                  device);
  }
}

static dt_status say_what_is_slow(const dt_trainer *t) {
  const dt_job *job = t->job;
  char text[DT_REMARK_TEXT];
  if (job->device->ops->remark == NULL) return DT_OK;
  DT_TRY(job->device->ops->remark(job->device, job->program, text));
  if (text[0] != '\0') dt_record_say(t->record, "%s: see plans.txt", text);
  return DT_OK;
}

/* Each in a line of its own: the table of many ranks is longer than a line may be. */
static void say_units(const dt_trainer *t) {
  for (const char *line = t->job->units; line != NULL;) {
    const size_t length = strcspn(line, "\n");
    dt_record_say(t->record, "%.*s", (int)length, line);
    line = line[length] == '\n' ? line + length + 1 : NULL;
  }
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
                           .eval_hash = job->eval != NULL ? job->eval->hash : 0,
                           .parameters = count_parameters(job->program[0]),
                           .ranks = job->comm->size,
                           .threads = job->threads,
                           .local_ranks = job->comm->local_size,
                           .shards = (int)job->spec->train.shards,
                           .train_source = job->train->source,
                           .eval_source = job->eval != NULL ? job->eval->source : "",
                           .command = t->options->command,
                           .units = job->units,
                           .plans = plans,
                           .mpi_library = dt_comm_library(),
                           .yaml_library = dt_config_library(),
                           .reducer_library = job->reducer->library};
  dt_status status = dt_record_start(t->record, job->config, &facts);
  free(plans);
  DT_TRY(status);
  DT_TRY(dt_record_memory(t->record, &job->memory, &job->seen));
  dt_record_say(t->record,
                "%s on %d rank%s x %d thread%s (%s), %lld parameters, %lld training samples, %d shards of a batch of %lld",
                job->spec->name, facts.ranks, facts.ranks == 1 ? "" : "s", facts.threads, facts.threads == 1 ? "" : "s",
                facts.device_name, (long long)facts.parameters, (long long)job->train->count, facts.shards,
                (long long)job->spec->train.global_batch);
  if (job->missing[0] != '\0') dt_record_say(t->record, "no gpu, so the cpu: %s", job->missing);
  say_what_has_no_effect(t);
  DT_TRY(say_what_is_slow(t));
  say_units(t);
  if (job->spec->schedule.scaling.rule != DT_SCALE_NONE) {
    dt_record_say(t->record, "schedule.scaling: peak learning rate %g", job->lr.peak);
  }
  if (job->eval != NULL && job->eval->hash == job->train->hash) {
    dt_record_say(t->record, "warning: data.train and data.eval hold the same samples");
  }
  return DT_OK;
}

static dt_status open_run(dt_trainer *t) {
  dt_job *job = t->job;
  DT_TRY(dt_job_checkpoint_dir(job->spec, t->checkpoint_dir));
  dt_status status = DT_OK;
  if (is_root(t)) {
    bool found = dt_checkpoint_exists(t->checkpoint_dir);
    if (t->options->resume && !found) {
      status = dt_error_set(DT_USAGE, __FILE__, __LINE__,
                            "--resume: found no checkpoint in %s; leave --resume out to begin anew", t->checkpoint_dir);
    } else {
      status = dt_record_open(job->spec, 0, t->options->resume, &t->record);
    }
  }
  DT_TRY(dt_comm_agree(job->comm, status));
  if (!is_root(t)) status = dt_record_open(job->spec, job->comm->rank, t->options->resume, &t->record);
  DT_TRY(dt_comm_agree(job->comm, status));
  snprintf(t->result->run_dir, sizeof t->result->run_dir, "%s", dt_record_dir(t->record));
  if (t->options->resume) DT_TRY(restore(t));
  t->first_step = t->step;
  return dt_comm_agree(job->comm, is_root(t) ? dt_record_truncate(t->record, t->samples_seen) : DT_OK);
}

/* A device that has failed is not asked what it has free. */
static dt_status finish_record(dt_trainer *t, dt_status how) {
  dt_job *job = t->job;
  if (how == DT_OK) {
    job->seen.ended = dt_memory_free(job->device, NULL);
    DT_TRY(dt_record_memory(t->record, &job->memory, &job->seen));
  }
  return dt_record_finish(t->record, how, dt_error_text());
}

static dt_status finish(dt_trainer *t, dt_status status) {
  if (status == DT_OK && t->outcome.tail[DT_TAIL_PREEMPT] > 0) {
    status = dt_error_set(DT_PREEMPTED, __FILE__, __LINE__, "saved %s; the same command with --resume goes on",
                          t->result->checkpoint);
  } else if (status == DT_OK && t->outcome.tail[DT_TAIL_STOP] > 0) {
    status = dt_error_set(DT_INTERRUPTED, __FILE__, __LINE__, "saved %s; the same command with --resume goes on",
                          t->result->checkpoint);
  }
  t->result->samples_seen = t->samples_seen;
  t->result->steps = t->step;
  t->result->train_seconds = t->train_seconds;
  t->result->samples_per_second = t->train_seconds > 0 ? (double)t->trained_samples / t->train_seconds : 0;
  if (t->record != NULL) {
    dt_status ended = finish_record(t, status);
    if (status == DT_OK) status = ended;
  }
  return status;
}

static dt_status run(dt_trainer *t) {
  dt_job *job = t->job;
  t->momentum = ((const dt_optimizer *)job->spec->optimizer.kind->impl)->momentum(job->spec->optimizer.attr);
  t->weight_decay = ((const dt_optimizer *)job->spec->optimizer.kind->impl)->weight_decay(job->spec->optimizer.attr);
  DT_TRY(open_run(t));
  DT_TRY(dt_comm_agree(job->comm, start_record(t)));
  if (!t->options->resume) DT_TRY(dt_trainer_save(t));
  DT_TRY(dt_comm_agree(job->comm, dt_job_loader(job, true, t->samples_seen, job->clock.total_samples, &t->loader)));
  t->saved_at = dt_clock_seconds();
  DT_TRY(catch_up(t));
  t->lap_at = t->resumed_at = dt_clock_seconds();
  return loop(t);
}

dt_status dt_train(const dt_config *config, dt_comm *comm, const dt_train_options *options, dt_train_result *out) {
  *out = (dt_train_result){.accuracy = -1};
  dt_trainer t = {.options = options, .result = out, .best_accuracy = -1};
  dt_status status = dt_job_create(config, comm, DT_JOB_TRAIN, false, &t.job);
  if (status == DT_OK) {
    status = run(&t);
    status = finish(&t, status);
  }
  dt_loader_destroy(&t.loader);
  dt_record_close(&t.record);
  /* With the others waiting in a collective nothing that is shared may be taken down: main ends the job. */
  if (!comm->diverged) dt_job_destroy(&t.job);
  return status;
}

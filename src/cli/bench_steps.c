#include "cli/bench_steps.h"

#include <math.h>
#include <stdlib.h>

#include "core/clock.h"
#include "core/program/flops.h"
#include "cpu/blas.h"
#include "train/job.h"
#include "train/steps.h"

enum { LAPS = 5 };

typedef struct bench {
  dt_job *job;
  dt_steps steps;
  dt_comm *comm;
  double data_wait, reduce_wait; /* of the steps taken, in seconds */
} bench;

static dt_status take_step(void *context, const dt_in_flight *step, const dt_step_result *outcome) {
  bench *b = context;
  b->data_wait += outcome->data_wait;
  b->reduce_wait += outcome->reduce_wait;
  return DT_OK;
}

static dt_status run_steps(bench *b, int64_t steps) {
  for (int64_t s = 0; s < steps; s++) DT_TRY(dt_steps_advance(&b->steps));
  return dt_steps_drain(&b->steps);
}

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static dt_status time_steps(bench *b, int64_t steps, FILE *out) {
  double lap[LAPS], samples = 0;
  DT_TRY(run_steps(b, steps));
  b->data_wait = b->reduce_wait = 0;
  for (int l = 0; l < LAPS; l++) {
    DT_TRY(b->comm->ops->barrier(b->comm));
    int64_t before = b->steps.samples_seen;
    double start = dt_clock_seconds();
    DT_TRY(run_steps(b, steps));
    lap[l] = (dt_clock_seconds() - start) / (double)steps;
    samples = (double)(b->steps.samples_seen - before) / (double)steps;
  }
  qsort(lap, LAPS, sizeof *lap, by_value);
  if (b->comm->rank != 0) return DT_OK;
  const int passes = ((const dt_solver *)b->job->spec->solver.kind->impl)->passes;
  double seconds = lap[LAPS / 2], flops;
  DT_TRY(dt_graph_flops(b->job->graph, &flops));
  flops *= samples * (passes > 1 ? passes : 1);
  fprintf(out, "step %.1f us (median of %d laps, %.1f to %.1f), %.0f samples/s, %.1f GFLOP/s", seconds * 1e6, LAPS,
          lap[0] * 1e6, lap[LAPS - 1] * 1e6, samples / seconds, flops / seconds * 1e-9);
  if (b->job->device->id == NULL) {
    double peak;
    DT_TRY(dt_blas_sgemm_gflops(b->job->threads, &peak));
    peak *= b->comm->local_size;
    fprintf(out, ", floor %.1f us at the %.0f GFLOP/s of sgemm: %.2f of it", flops / peak * 1e-3, peak,
            flops / seconds * 1e-9 / peak);
  }
  fprintf(out, "\nwaiting per step: data %.1f us, reduction %.1f us\n", b->data_wait / (double)(steps * LAPS) * 1e6,
          b->reduce_wait / (double)(steps * LAPS) * 1e6);
  return DT_OK;
}

/* Runs every instruction of the micro-batch on its own, in order, as a step would, and waits for its end. */
static dt_status time_instructions(bench *b, int64_t steps, FILE *out) {
  dt_job *job = b->job;
  const dt_program *program = job->program[0];
  dt_run *run = dt_executor_run_state(job->executor[0]);
  double *seconds = NULL, total = 0;
  const dt_batch *batch;
  DT_TRY(run_steps(b, 1));
  DT_TRY(dt_loader_next(b->steps.loader, &batch));
  DT_TRY(dt_alloc((size_t)program->count, sizeof *seconds, &seconds));
  dt_micro_batch micro = {.first_shard = job->tree->micro_batches[0].first_shard,
                          .shard_count = job->tree->micro_batches[0].shard_count,
                          .batch = batch};
  dt_status status = DT_OK;
  for (int64_t s = 0; s < 2 * steps && status == DT_OK; s++) {
    for (int i = 0; i < program->count && status == DT_OK; i++) {
      dt_kernel *kernel = job->device->kernel[program->instr[i].op];
      if (kernel == NULL) continue;
      double start = dt_clock_seconds();
      status = kernel(run, &program->instr[i], &micro);
      if (status == DT_OK) status = job->device->ops->sync(job->device);
      if (s >= steps) seconds[i] += (dt_clock_seconds() - start) / (double)steps;
    }
  }
  for (int i = 0; i < program->count; i++) total += seconds[i];
  for (int i = 0; i < program->count && status == DT_OK && b->comm->rank == 0; i++) {
    const dt_instr *instr = &program->instr[i];
    if (job->device->kernel[instr->op] == NULL) continue;
    fprintf(out, "%4d %-13s %-24s %9.1f us %5.1f %%\n", i, dt_op_infos[instr->op].name,
            instr->node >= 0 ? job->graph->node[instr->node].name : "", seconds[i] * 1e6, 100 * seconds[i] / total);
  }
  if (status == DT_OK && b->comm->rank == 0)
    fprintf(out, "sum %.1f us for %lld samples\n", total * 1e6, (long long)batch->samples);
  free(seconds);
  return status;
}

dt_status dt_bench_steps(const dt_config *config, dt_comm *comm, int64_t steps, bool layers, FILE *out) {
  bench b = {.comm = comm};
  int64_t shards = dt_config_spec(config)->train.shards;
  DT_REQUIRE(comm->size <= shards, DT_USAGE,
             "found %d ranks, expected at most the %lld of train.shards: the others have no work", comm->size,
             (long long)shards);
  DT_TRY(dt_job_create(config, comm, DT_JOB_TRAIN, false, &b.job));
  b.steps = (dt_steps){.job = b.job, .taken = take_step, .context = &b};
  dt_status status = dt_comm_agree(comm, dt_steps_begin(&b.steps, INT64_MAX));
  if (status == DT_OK) status = layers ? time_instructions(&b, steps, out) : time_steps(&b, steps, out);
  dt_steps_end(&b.steps);
  dt_job_destroy(&b.job);
  return status;
}

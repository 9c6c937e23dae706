/* dtrain check: whether the gradient of a config's network is right, and how large a learning rate its loss bears. */
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "core/numbers.h"
#include "core/optim/optimizer.h"
#include "core/optim/schedule.h"
#include "core/program/flops.h"
#include "core/wrap.h"
#include "train/check.h"
#include "train/evaluate.h"

enum { TEXT_COLUMN = 10, SAMPLES_PER_SHARD = 2, SETS_MAX = 8 + DT_HYPER_MAX, SET_BYTES = 128 };
static const double flops_at_once = 2.5e8; /* what the reference device does in about half a second */

static const dt_cli_option options[] = {
    {"from", "CKPT", "at the parameters of a checkpoint, as for eval; default: those that training begins with"},
    {"samples", "N",
     "of the training set that the loss is over, in as many of train.shards as get two each (default: a batch, or what takes "
     "half a second of it)"},
    {"products", "N", "with the Hessian at most, 0: its eigenvalues are left out (default 100)"},
    {NULL},
};

typedef struct request {
  const dt_cli *cli;
  int64_t samples, products; /* samples 0: not given */
  double rate;               /* the config's largest */
  char set[SETS_MAX][SET_BYTES];
  int set_count;
} request;

static dt_status read_request(const dt_cli *cli, request *out) {
  out->cli = cli;
  DT_TRY(dt_cli_integer(cli, "samples", 0, 1, 1 << 24, &out->samples));
  return dt_cli_integer(cli, "products", 100, 0, 1 << 20, &out->products);
}

static dt_status check_options(const dt_cli *cli) {
  request r;
  return read_request(cli, &r);
}

/* --- a network on a device, at the parameters in question --- */

typedef struct place {
  dt_config *config;
  dt_job *job;
  dt_objective objective;
  double *param, *gradient; /* [objective.count] */
} place;

static void leave(place *p) {
  free(p->param);
  dt_job_destroy(&p->job);
  dt_config_destroy(&p->config);
}

static dt_status load(const request *r, bool reference, place *out) {
  const char *sets[SETS_MAX + 2] = {NULL};
  int count = 0;
  for (; count < r->set_count; count++) sets[count] = r->set[count];
  if (reference) sets[count] = "device=reference";
  DT_TRY(dt_cli_config_with(r->cli, 0, sets, &out->config));
  return dt_job_create(out->config, r->cli->comm, DT_JOB_TRAIN, false, &out->job);
}

static dt_status restore(const dt_cli *cli, dt_job *job) {
  const char *from = dt_cli_value(cli, "from");
  dt_source source;
  return from != NULL ? dt_score_restore(job, from, &source) : DT_OK;
}

/* The gradient over the batch. */
static dt_status enter(const request *r, bool reference, place *out) {
  double value;
  DT_TRY(load(r, reference, out));
  DT_TRY(restore(r->cli, out->job));
  out->objective = dt_objective_of(out->job);
  const size_t count = (size_t)out->objective.count;
  dt_status status = dt_alloc(2 * count, sizeof *out->param, &out->param);
  out->gradient = out->param + count;
  if (status == DT_OK) status = dt_executor_read_trained(out->job->executor[0], out->param);
  DT_TRY(dt_comm_agree(r->cli->comm, status));
  return dt_objective_evaluate(&out->objective, out->param, &value, out->gradient);
}

/* --- what was found --- */

static void tell(const request *r, const char *title, const char *text) {
  if (r->cli->comm->rank == 0) dt_wrap_printf(TEXT_COLUMN, stdout, "%-*s %s\n", TEXT_COLUMN - 1, title, text);
  if (r->cli->comm->rank == 0) fflush(stdout);
}

static dt_status check_reference(const request *r, place *reference) {
  dt_gradient_check check;
  char text[256];
  const int parameters = reference->job->program[0]->trained_count;
  DT_TRY(dt_check_gradient(&reference->objective, reference->param, reference->gradient, &check));
  snprintf(text, sizeof text,
           "backward agrees with finite differences to %.1e, along %d random directions through %s%d parameter%s, over %" PRId64
           " samples in double precision",
           check.worst, check.directions, parameters > 1 ? "all " : "the ", parameters, dt_plural(parameters),
           reference->objective.samples);
  tell(r, "gradient", text);
  return DT_OK;
}

static dt_status compare_device(const request *r, const place *reference) {
  place own = {.param = NULL};
  dt_gradient_difference difference;
  char text[DT_CHECK_NAME + 128];
  dt_status status = enter(r, false, &own);
  if (status == DT_OK && own.job->device->ops->dtype != DT_F64) {
    status =
        dt_compare_gradients(own.job->program[0], own.gradient, reference->job->program[0], reference->gradient, &difference);
    snprintf(text, sizeof text, "its gradients agree with these to %.1e of their length (%s)", difference.worst,
             difference.name);
    if (status == DT_OK) tell(r, own.job->device->ops->name, text);
  }
  leave(&own);
  return status;
}

static void tell_rate(const request *r, const dt_job *job, double largest) {
  const dt_optimizer *optimizer = job->spec->optimizer.kind->impl;
  const double rate = r->rate;
  char text[256];
  if (!(largest > 0)) {
    tell(r, "rate", "no eigenvalue is above 0: the loss bends nowhere upwards here, and bounds no rate");
  } else if (optimizer->along_gradient) {
    snprintf(text, sizeof text,
             "1/lambda is %.3g; schedule.lr is %.3g, %.2g times that. Gradient descent at a fixed rate goes down here below "
             "2/lambda, %.3g",
             1 / largest, rate, rate * largest, 2 / largest);
    tell(r, "rate", text);
  } else {
    snprintf(text, sizeof text,
             "1/lambda is %.3g, a measure for steps of the rate times the gradient; those of %s are others, and schedule.lr, "
             "%.3g, cannot be compared with it",
             1 / largest, optimizer->name, rate);
    tell(r, "rate", text);
  }
}

static dt_status measure(const request *r, place *reference) {
  dt_curvature curvature;
  char text[256];
  DT_TRY(dt_measure_curvature(&reference->objective, reference->param, reference->gradient, (int)r->products, &curvature));
  snprintf(text, sizeof text,
           "the Hessian of the loss has eigenvalues from %.4g to lambda = %.4g, found by %d products with it%s",
           curvature.least, curvature.largest, curvature.products,
           curvature.converged ? "" : ", after which they still changed: take more --products");
  tell(r, "curvature", text);
  tell_rate(r, reference->job, curvature.largest);
  return DT_OK;
}

static void __attribute__((format(printf, 2, 3))) add_set(request *r, const char *format, ...) {
  va_list args;
  va_start(args, format);
  vsnprintf(r->set[r->set_count++], SET_BYTES, format, args);
  va_end(args);
}

/* One batch of so many samples, cut into shards of two or more, which a batchnorm may need. The step of the solver is never
 * made: it is the one whose program sums gradients over batches; no update is, so schedules are left out. Its arithmetic is
 * that of floats: gradients in half precision differ by more than a mistake may make them. */
static void make_sets(request *r, const dt_spec *spec) {
  const int64_t most = r->samples / SAMPLES_PER_SHARD, shards = most < spec->train.shards ? most : spec->train.shards;
  add_set(r, "train.global_batch=%" PRId64, r->samples);
  add_set(r, "train.length=%" PRId64 " samples", r->samples);
  add_set(r, "train.shards=%" PRId64, shards > 1 ? shards : 1);
  add_set(r, "data.last_batch=short");
  add_set(r, "solver=gradient_descent");
  add_set(r, "precision=fp32");
  add_set(r, "schedule.lr={peak: %.17g, warmup: 0 samples}", spec->schedule.lr.peak);
  for (int i = 0; i < spec->schedule.other.count; i++)
    add_set(r, "schedule.%s={peak: %.17g, warmup: 0 samples}", spec->schedule.other.item[i].name,
            ((const dt_schedule_spec *)spec->schedule.other.item[i].value)->peak);
}

/* By what a sample costs, so that ranks choose alike. */
static dt_status choose_batch(request *r) {
  dt_config *config;
  dt_graph *graph = NULL;
  double flops = 0;
  DT_TRY(dt_cli_config(r->cli, 0, &config));
  const dt_spec *spec = dt_config_spec(config);
  dt_status status = dt_graph_create(config, &graph);
  if (status == DT_OK) status = dt_graph_flops(graph, &flops);
  status = dt_comm_agree(r->cli->comm, status);
  if (status == DT_OK && r->samples == 0) {
    const int64_t cheap = (int64_t)(flops_at_once / (flops + 1));
    r->samples = cheap < spec->train.global_batch ? cheap : spec->train.global_batch;
    if (r->samples < SAMPLES_PER_SHARD) r->samples = SAMPLES_PER_SHARD;
  }
  r->rate = dt_hyper_largest(spec, DT_HYPER_LR);
  make_sets(r, spec);
  dt_graph_destroy(&graph);
  dt_config_destroy(&config);
  return status;
}

static dt_status run(dt_cli *cli) {
  request r = {.set_count = 0};
  place reference = {.param = NULL};
  DT_TRY(read_request(cli, &r));
  DT_TRY(choose_batch(&r));
  dt_status status = enter(&r, true, &reference);
  if (status == DT_OK) status = check_reference(&r, &reference);
  if (status == DT_OK) status = compare_device(&r, &reference);
  if (status == DT_OK && r.products > 0) status = measure(&r, &reference);
  leave(&reference);
  return status;
}

const dt_command dt_command_check = {
    .name = "check",
    .summary = "checks a network's gradient, and the learning rate against its loss",
    .words = "CONFIG",
    .words_min = 1,
    .words_max = 1,
    .description =
        "Trains nothing and saves nothing. On the reference device, in double precision, backward's gradient is compared with "
        "finite differences of the loss along random directions; where they differ the parameter is named, and the exit "
        "code is 6. Then the gradient of the config's device is compared with that one. At last the largest eigenvalue lambda "
        "of the "
        "Hessian of the loss is found, from products with it: gradient descent at a fixed rate goes down a bowl of that "
        "curvature below 2/lambda.\n\nAll of it is over one batch, as large as --samples says: of few samples lambda is mostly "
        "larger than that of the whole training set. Dropout and augmentations are those of the first step, and a gpu computes "
        "in fp32.",
    .options = options,
    .parallel = true,
    .check = check_options,
    .run = run,
};

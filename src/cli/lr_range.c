/* dtrain lr-range: the learning-rate range test. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "core/wrap.h"
#include "report/plot.h"
#include "train/rate_range.h"

enum { NOTE_BYTES = 64 };

static const dt_cli_option options[] = {
    {"from", "RATE", "of the first step (default 1e-6)"},
    {"to", "RATE", "of the last step (default 10)"},
    {"steps", "N", "at most (default 100)"},
    {"svg", "FILE", "draws the loss over the rate"},
    {NULL},
};

static dt_status read_rate(const dt_cli *cli, const char *name, double standard, double *out) {
  const char *text = dt_cli_value(cli, name);
  char *end;
  *out = standard;
  if (text == NULL) return DT_OK;
  *out = strtod(text, &end);
  DT_REQUIRE(*text != '\0' && *end == '\0' && isfinite(*out) && *out > 0, DT_USAGE, "--%s: found %s, expected a number above 0",
             name, text);
  return DT_OK;
}

static dt_status read_request(const dt_cli *cli, dt_rate_range *out) {
  *out = (dt_rate_range){.count = 0};
  DT_TRY(read_rate(cli, "from", 1e-6, &out->from));
  DT_TRY(read_rate(cli, "to", 10, &out->to));
  DT_REQUIRE(isfinite(out->to / out->from), DT_USAGE,
             "--from and --to: found %g and %g, expected rates that are less far apart", out->from, out->to);
  DT_REQUIRE(out->from < out->to, DT_USAGE, "--from and --to: found %g and %g, expected the lower rate first", out->from,
             out->to);
  return dt_cli_integer(cli, "steps", 100, 20, 1 << 24, &out->steps);
}

static dt_status check_options(const dt_cli *cli) {
  dt_rate_range range;
  return read_request(cli, &range);
}

/* What the first steps tell is noise, and what is far above it says only that it diverged. */
static dt_plot plot_of(const dt_rate_range *range, const char *title, char note[2][NOTE_BYTES]) {
  dt_plot plot = {.title = title,
                  .x_name = "rate",
                  .y_name = "loss",
                  .x = range->rate,
                  .count = range->count,
                  .log_x = true,
                  .y_most = range->smooth[0] + (range->smooth[0] - range->smooth[range->lowest]) / 4,
                  .curve = {{.name = "each step", .y = range->loss, .faint = true}, {.name = "smoothed", .y = range->smooth}},
                  .curve_count = 2};
  if (range->steepest >= 0) {
    snprintf(note[0], NOTE_BYTES, "steepest at %.2g", range->rate[range->steepest]);
    plot.mark[plot.mark_count++] = (dt_plot_mark){.x = range->rate[range->steepest], .text = note[0]};
  }
  snprintf(note[1], NOTE_BYTES, "lowest at %.2g", range->rate[range->lowest]);
  plot.mark[plot.mark_count++] = (dt_plot_mark){.x = range->rate[range->lowest], .text = note[1]};
  return plot;
}

/* Before the test, which takes its time. On rank 0 alone. */
static dt_status open_svg(const dt_cli *cli, FILE **out) {
  const char *path = dt_cli_value(cli, "svg");
  *out = NULL;
  if (path == NULL || cli->comm->rank != 0) return DT_OK;
  *out = fopen(path, "w");
  DT_REQUIRE(*out != NULL, DT_IO, "--svg: %s: could not be written: %s", path, strerror(errno));
  return DT_OK;
}

static dt_status write_svg(const dt_plot *plot, const char *path, FILE *out) {
  dt_plot_svg(plot, out);
  DT_REQUIRE(fflush(out) == 0 && !ferror(out), DT_IO, "--svg: %s: could not be written: %s", path, strerror(errno));
  return DT_OK;
}

static void tell(const dt_rate_range *range, double configured) {
  const char *end = range->not_finite ? "behind which the loss was not finite"
                    : range->diverged ? "where the loss grew beyond four times its least"
                                      : "the last of the test";
  dt_wrap_printf(0, stdout, "\n%" PRId64 " steps, from a rate of %.2g to %.2g, %s.\n", range->count, range->rate[0],
                 range->rate[range->count - 1], end);
  if (range->steepest < 0) {
    dt_wrap_printf(0, stdout, "The loss falls at no rate: take more --steps, or another --from.\n");
    return;
  }
  dt_wrap_printf(
      0, stdout,
      "The loss falls most steeply at %.2g and is lowest at %.2g. To train with, people take the first, or a tenth of the "
      "second, %.2g; schedule.lr is %.3g.\n",
      range->rate[range->steepest], range->rate[range->lowest], range->rate[range->lowest] / 10, configured);
}

static dt_status show(const dt_cli *cli, const dt_rate_range *range, const char *name, double configured, FILE *picture) {
  const char *svg = dt_cli_value(cli, "svg");
  char title[256], note[2][NOTE_BYTES];
  DT_REQUIRE(
      range->count > 1, DT_NUMERIC,
      "found a loss that is not finite within the first two steps, at a rate of %.2g, expected finite ones; take a lower "
      "--from",
      range->rate[range->count]);
  snprintf(title, sizeof title, "%s: learning-rate range test", name);
  const dt_plot plot = plot_of(range, title, note);
  if (cli->comm->rank != 0) return DT_OK;
  dt_plot_text(&plot, DT_LINE_COLUMNS, stdout);
  tell(range, configured);
  if (svg != NULL) DT_TRY(write_svg(&plot, svg, picture));
  if (svg != NULL) printf("%s: the plot\n", svg);
  return DT_OK;
}

static dt_status run_job(const dt_cli *cli, dt_job *job, FILE *picture, dt_rate_range *range) {
  const double configured = job->schedules.hyper[DT_HYPER_LR].peak;
  double *memory;
  DT_TRY(dt_comm_agree(cli->comm, dt_alloc(3 * (size_t)range->steps, sizeof *memory, &memory)));
  range->rate = memory;
  range->loss = memory + range->steps;
  range->smooth = memory + 2 * range->steps;
  dt_status status = dt_rate_range_run(job, range);
  if (status == DT_OK) status = dt_comm_agree(cli->comm, show(cli, range, job->spec->name, configured, picture));
  free(memory);
  return status;
}

static dt_status run(dt_cli *cli) {
  dt_rate_range range;
  dt_config *config;
  dt_job *job = NULL;
  FILE *picture = NULL;
  DT_TRY(read_request(cli, &range));
  DT_TRY(dt_cli_config(cli, 0, &config));
  dt_status status = dt_comm_agree(cli->comm, open_svg(cli, &picture));
  if (status == DT_OK) status = dt_job_create(config, cli->comm, DT_JOB_TRAIN, false, &job);
  if (status == DT_OK) status = run_job(cli, job, picture, &range);
  if (picture != NULL) fclose(picture);
  dt_job_destroy(&job);
  dt_config_destroy(&config);
  return status;
}

const dt_command dt_command_lr_range = {
    .name = "lr-range",
    .summary = "the learning-rate range test: the loss while the rate grows",
    .words = "CONFIG",
    .words_min = 1,
    .words_max = 1,
    .description =
        "Trains for some steps while the learning rate grows in equal factors, until the loss is four times its least, and "
        "shows the loss over the rate. Nothing is saved. The other values of the config are as they are in training, and "
        "warm-up and decay are left out; ranks and threads change no bit. A rate for schedule.lr lies where the loss "
        "falls, well before it is lowest.",
    .options = options,
    .parallel = true,
    .check = check_options,
    .run = run,
};

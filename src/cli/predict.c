/* dtrain predict: a checkpoint labels data. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"
#include "train/predict.h"
#include "train/trainer.h"

static const dt_cli_option options[] = {
    {"from", "CKPT", "a checkpoint folder, or a file in it, or a folder of them; default: the run's own"},
    {"output", "FILE", "where the CSV goes, once it is whole; default: standard output"},
    {"all", NULL, "prints the probabilities of all classes as well, p0, p1, ..."},
    {NULL},
};

/* The file that --output names comes into being, or changes, when everything has been written: until then the lines go to a
 * file beside it. What is no plain file (a pipe, /dev/null) is written as it stands. */
typedef struct output {
  const char *path; /* as it was given; NULL: standard output */
  char target[PATH_MAX], temporary[PATH_MAX + 32];
  FILE *file;
} output;

static dt_status cannot_write(const output *o) {
  DT_RAISE(DT_IO, "%s: can't be written: %s", o->path, strerror(errno));
}

/* A link keeps being one: what it leads to is replaced. */
static dt_status open_beside(output *o, const struct stat *old) {
  if (old == NULL || realpath(o->path, o->target) == NULL) snprintf(o->target, sizeof o->target, "%s", o->path);
  snprintf(o->temporary, sizeof o->temporary, "%s.%ld.tmp", o->target, (long)getpid());
  int fd = open(o->temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
  if (fd < 0) {
    o->temporary[0] = '\0';
    return cannot_write(o);
  }
  if (old != NULL && fchmod(fd, old->st_mode & 07777) != 0) errno = 0; /* another's file: a new one has this user's mode */
  o->file = fdopen(fd, "w");
  if (o->file != NULL) return DT_OK;
  close(fd);
  return cannot_write(o);
}

static dt_status output_open(output *o) {
  struct stat old;
  o->file = stdout;
  if (o->path == NULL) return DT_OK;
  DT_REQUIRE(o->path[0] != '\0' && strlen(o->path) < PATH_MAX, DT_USAGE,
             "--output: found %zu bytes, expected a path of 1 to %d", strlen(o->path), PATH_MAX - 1);
  const bool there = stat(o->path, &old) == 0;
  if (!there || S_ISREG(old.st_mode)) return open_beside(o, there ? &old : NULL);
  o->file = fopen(o->path, "we");
  return o->file != NULL ? DT_OK : cannot_write(o);
}

/* Closes; `status` tells whether what was written is whole. */
static dt_status output_close(output *o, dt_status status) {
  if (o->file != NULL && o->file != stdout && fclose(o->file) != 0 && status == DT_OK) status = cannot_write(o);
  if (o->temporary[0] == '\0') return status;
  if (status == DT_OK && rename(o->temporary, o->target) != 0) status = cannot_write(o);
  if (status != DT_OK) unlink(o->temporary);
  return status;
}

static dt_status predict(dt_cli *cli, const dt_config *config) {
  output o = {.path = dt_cli_value(cli, "output")};
  const bool writes = cli->comm->rank == 0;
  dt_status status = dt_comm_agree(cli->comm, writes ? output_open(&o) : DT_OK);
  if (status == DT_OK)
    status = dt_predict(config, cli->comm, dt_cli_value(cli, "from"), dt_cli_value(cli, "all") != NULL, o.file);
  const dt_status closed = writes ? output_close(&o, status) : status;
  return status == DT_OK ? dt_comm_agree(cli->comm, closed) : status; /* only rank 0 writes the file */
}

static dt_status run(dt_cli *cli) {
  dt_config *config = NULL;
  /* `dtrain predict CONFIG | head` ends when head has enough, as other filters do. */
  if (dt_cli_value(cli, "output") == NULL && cli->comm->size == 1) signal(SIGPIPE, SIG_DFL);
  DT_TRY(dt_cli_config(cli, 0, &config));
  dt_status status = predict(cli, config);
  dt_config_destroy(&config);
  return status;
}

const dt_command dt_command_predict = {
    .name = "predict",
    .summary = "labels data with a checkpoint",
    .words = "CONFIG",
    .words_min = 1,
    .words_max = 1,
    .description =
        "Prints a header and one CSV line a sample, in the order of the data: index, the class of the largest probability "
        "(label), and that probability; then the data's own label (true) where it has labels, and the names of both "
        "(label_name, true_name) where the config has data.classes. Columns are known by the header. Where the loss has no "
        "classes, a line has the index and the numbers of the sample: probabilities p0, p1, ... of binary_cross_entropy, "
        "outputs y0, y1, ... of mse and huber.\n"
        "Other data than the config's evaluation set: --set data.eval='{idx: {images: FILE, labels: null}}'.",
    .options = options,
    .parallel = true,
    .run = run,
};

/* Picks the command, and is the only place that prints an error and ends the job. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"
#include "core/trainer.h"

/* A closed standard stream would give its number to the next file that is opened, and messages would end up in it. */
static void open_standard_streams(void) {
  for (int fd = 0; fd <= 2; fd++) {
    if (fcntl(fd, F_GETFD) == -1 && open("/dev/null", O_RDWR) != fd) _exit(dt_status_exit_code(DT_ENVIRONMENT));
  }
}

static char *join_arguments(int argc, char **argv) {
  size_t bytes = 1;
  for (int i = 0; i < argc; i++) bytes += strlen(argv[i]) + 1;
  char *line = calloc(bytes, 1), *at = line;
  for (int i = 0; line != NULL && i < argc; i++) {
    if (i > 0) *at++ = ' ';
    at = stpcpy(at, argv[i]);
  }
  return line;
}

/* mpirun ends all ranks as soon as one has failed and ended: a rank that fails stays until rank 0 is sure to have spoken and
 * the others are through MPI_Finalize, in which Open MPI 4.1 may crash when mpirun goes away. All then end together, since
 * mpirun takes a second to end those that are left. */
static void end_together(void) {
  static const struct timespec while_they_end = {.tv_nsec = 100000000};
  if (dt_launcher_exists()) nanosleep(&while_they_end, NULL);
}

/* An error that all ranks have agreed on is printed by rank 0; one that only this rank has seen is printed here, and ends
 * the others. */
static void report(const dt_comm *comm, dt_status status) {
  bool local = comm != NULL && comm->diverged;
  if (comm == NULL && dt_launcher_rank() > 0) return;
  if (comm != NULL && comm->rank != 0 && !local) return;
  fflush(stdout);
  char where[32] = "";
  if (local && comm->size > 1) snprintf(where, sizeof where, "rank %d: ", comm->rank);
  fprintf(stderr, "dtrain: %s: %s%s\n", dt_status_name(status), where, dt_error_text());
  if (status == DT_INTERNAL) fprintf(stderr, "dtrain: raised at %s; this is a defect of dtrain\n", dt_error_origin());
}

int main(int argc, char **argv) {
  open_standard_streams();
  char *line = join_arguments(argc, argv);
  dt_cli cli = {.line = line != NULL ? line : ""};
  bool done = false;
  dt_status status = dt_cli_parse(argc, argv, &cli, &done);
  bool usage_only = status != DT_OK || done;
  if (!usage_only) status = dt_signals_install();
  if (!usage_only && status == DT_OK && cli.command->parallel) status = dt_comm_create(&argc, &argv, &cli.comm);
  if (!usage_only && status == DT_OK) status = cli.command->run(&cli);
  if (status == DT_OK && (fflush(stdout) != 0 || ferror(stdout))) {
    status = dt_error_set(DT_IO, __FILE__, __LINE__, "standard output can't be written");
  }
  if (status != DT_OK) report(cli.comm, status);
  bool stranded = cli.comm != NULL && cli.comm->stranded && !cli.comm->diverged;
  if (stranded) cli.comm->ops->barrier(cli.comm); /* rank 0 has spoken */
  if (status != DT_OK && cli.comm != NULL && (cli.comm->diverged || stranded))
    cli.comm->ops->abort(cli.comm, dt_status_exit_code(status));
  if (cli.comm != NULL) cli.comm->ops->destroy(&cli.comm);
  if (status != DT_OK) end_together();
  free(line);
  return dt_status_exit_code(status);
}

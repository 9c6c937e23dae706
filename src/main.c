/* Picks the command, and is the only place that prints an error and ends the job. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"
#include "train/signals.h"
#include "train/trainer.h"

/* A closed standard stream would give its number to the next file that is opened, and messages would end up in it. */
static void open_standard_streams(void) {
  for (int fd = 0; fd <= 2; fd++) {
    if (fcntl(fd, F_GETFD) == -1 && open("/dev/null", O_RDWR) != fd) _exit(dt_status_exit_code(DT_ENVIRONMENT));
  }
}

/* Kernels keep their sums on the stack. The limit of a first thread's stack counts while it grows: raising it here is in time.
 */
static dt_status make_stack(void) {
  enum { STACK_BYTES = 512 << 10, STACK_BYTES_USUAL = 8 << 20 };
  struct rlimit limit;
  if (getrlimit(RLIMIT_STACK, &limit) != 0 || limit.rlim_cur >= STACK_BYTES) return DT_OK;
  const rlim_t found = limit.rlim_cur;
  limit.rlim_cur = limit.rlim_max < STACK_BYTES_USUAL ? limit.rlim_max : STACK_BYTES_USUAL;
  if (limit.rlim_max >= STACK_BYTES && setrlimit(RLIMIT_STACK, &limit) == 0) return DT_OK;
  DT_RAISE(DT_ENVIRONMENT, "the limit of the stack is %llu KiB, expected at least %d: see ulimit -s",
           (unsigned long long)(found >> 10), STACK_BYTES >> 10);
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

/* An error that all ranks have agreed on is printed by rank 0; one that only this rank has seen is printed here, and ends
 * the others. */
static void report(const dt_comm *comm, dt_status status) {
  bool local = comm != NULL && dt_rank_is_alone(comm->state);
  if (comm == NULL && dt_launcher_rank() > 0) return;
  if (comm != NULL && comm->rank != 0 && !local) return;
  fflush(stdout);
  /* A launcher passes the two streams on by ways of their own; the last line of an output is to come before the error. */
  static const struct timespec behind_output = {.tv_nsec = 50000000};
  if (dt_launcher_exists()) nanosleep(&behind_output, NULL);
  char where[32] = "";
  if (local && comm->size > 1) snprintf(where, sizeof where, "rank %d: ", comm->rank);
  fprintf(stderr, "dtrain: %s: %s%s\n", dt_status_name(status), where, dt_error_text());
  if (status == DT_INTERNAL) fprintf(stderr, "dtrain: raised at %s; this is a defect of dtrain\n", dt_error_origin());
}

/* Joins the ranks, which a command that is for one process needs only where a launcher started several. A rank whose command
 * line is wrong joins them too, so that all know. */
static dt_status join(int *argc, char ***argv, const dt_cli *cli, dt_status parsed, dt_comm **out) {
  bool several = dt_launcher_exists();
  if (parsed != DT_OK && !several) return parsed;
  DT_TRY(dt_signals_install());
  if (!several && !cli->command->parallel) return DT_OK;
  dt_status joined = dt_comm_create(argc, argv, out);
  if (joined == DT_OK) return dt_comm_agree(*out, parsed);
  return parsed != DT_OK ? parsed : joined;
}

/* A command that is for one process runs on rank 0; the others wait for how it ends. */
static dt_status run(dt_cli *cli, dt_comm *comm) {
  if (comm == NULL) return cli->command->run(cli);
  if (!cli->command->parallel) return dt_comm_agree(comm, comm->rank == 0 ? cli->command->run(cli) : DT_OK);
  cli->comm = comm;
  dt_status status = cli->command->run(cli);
  return dt_rank_status(comm->state, status);
}

/* What is printed may find no place, on one rank alone: all end alike. */
static dt_status flush_output(dt_comm *comm) {
  dt_status status = DT_OK;
  if (fflush(stdout) != 0 || ferror(stdout))
    status = dt_error_set(DT_IO, __FILE__, __LINE__, "standard output can't be written");
  return comm != NULL ? dt_comm_agree(comm, status) : status;
}

/* Leaves the ranks. Where another rank hangs, or does not know of the failure, the job can only be ended from here. */
static void leave(dt_comm **comm, dt_status status) {
  int code = dt_status_exit_code(status);
  if (*comm == NULL) return;
  if (status == DT_OK) {
    (*comm)->ops->destroy(comm);
  } else if ((*comm)->state != DT_RANK_TOGETHER) {
    if ((*comm)->state == DT_RANK_STRANDED) (*comm)->ops->barrier(*comm); /* rank 0 has spoken */
    (*comm)->ops->abort(*comm, code);
  } else {
    (*comm)->ops->end(comm, code);
  }
}

int main(int argc, char **argv) {
  open_standard_streams();
  char *line = join_arguments(argc, argv);
  dt_cli cli = {.line = line != NULL ? line : ""};
  dt_comm *comm = NULL;
  bool done = false;
  dt_status status = make_stack();
  if (status == DT_OK) status = dt_cli_parse(argc, argv, &cli, &done);
  if (!done) status = join(&argc, &argv, &cli, status, &comm);
  if (!done && status == DT_OK) status = run(&cli, comm);
  if (status == DT_OK) status = flush_output(comm);
  if (status != DT_OK) report(comm, status);
  bool launched = comm != NULL && dt_launcher_exists();
  leave(&comm, status);
  if (status != DT_OK && launched) { /* PMIx may still be at work, which exit handlers would pull away from under it */
    fflush(NULL);
    _exit(dt_status_exit_code(status));
  }
  free(line);
  return dt_status_exit_code(status);
}

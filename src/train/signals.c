/* Signals only raise flags; the loop reads them at step boundaries and every rank acts alike (train/trainer.h). */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "train/signals.h"
#include "train/trainer.h"

static volatile sig_atomic_t preempt_raised, stop_raised;

static void on_preempt(int number) {
  (void)number;
  preempt_raised = 1;
}

/* The second of a kind meets the default action: it ends the process at once. */
static void on_stop(int number) {
  stop_raised = 1;
  signal(number, SIG_DFL);
}

static dt_status install(int number, void (*handler)(int)) {
  struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
  sigemptyset(&action.sa_mask);
  DT_REQUIRE(sigaction(number, &action, NULL) == 0, DT_ENVIRONMENT, "signal %d can't be handled: %s", number, strerror(errno));
  return DT_OK;
}

dt_status dt_signals_install(void) {
  DT_TRY(install(SIGUSR1, on_preempt));
  DT_TRY(install(SIGINT, on_stop));
  DT_TRY(install(SIGTERM, on_stop)); /* What mpirun makes of Ctrl-C. */
  /* Writing to a closed pipe or past a file-size limit is an error code of write(), not the end of the run. */
  DT_TRY(install(SIGPIPE, SIG_IGN));
  return install(SIGXFSZ, SIG_IGN);
}

bool dt_signal_preempt(void) {
  return preempt_raised != 0;
}

bool dt_signal_stop(void) {
  return stop_raised != 0;
}

/* Signals only raise flags; the loop reads them at step boundaries. */
#ifndef DT_TRAIN_SIGNALS_H
#define DT_TRAIN_SIGNALS_H

#include "core/status.h"

/* SIGUSR1 saves and exits 75; the first SIGINT or SIGTERM saves and stops, the second
 * ends. */
dt_status dt_signals_install(void);
bool dt_signal_preempt(void);
bool dt_signal_stop(void);

#endif

/* The C locale for every byte that is written, hashed, compared or parsed, whatever locale the program around libdtrain has.
 *
 * Every function of include/dtrain.h, and every thread that dtrain starts, runs between enter and leave; below them nothing
 * thinks of locales. Only the calling thread is changed: the program's own setlocale stands. */
#ifndef DT_CORE_LOCALE_H
#define DT_CORE_LOCALE_H

#include <locale.h>
#include <pthread.h>

#include "core/status.h"

typedef struct dt_plain_locale {
  locale_t plain, before;
} dt_plain_locale;

/* The calling thread's locale becomes C until leave. */
dt_plain_locale dt_plain_locale_enter(void);
void dt_plain_locale_leave(dt_plain_locale entered);

/* pthread_create for a thread that runs in the C locale - a new thread begins in the program's - and has stack enough for every
 * kernel, whatever `ulimit -s` says. Returns pthread_create's code. */
int dt_thread_create(pthread_t *out, void *(*run)(void *context), void *context);

#endif

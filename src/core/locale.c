#include "core/locale.h"

#include <errno.h>
#include <stdlib.h>

dt_plain_locale dt_plain_locale_enter(void) {
  dt_plain_locale entered = {.plain = newlocale(LC_ALL_MASK, "C", (locale_t)0)};
  DT_ASSERT(entered.plain != (locale_t)0); /* C is built in: nothing is read or allocated for it */
  entered.before = uselocale(entered.plain);
  return entered;
}

void dt_plain_locale_leave(dt_plain_locale entered) {
  uselocale(entered.before);
  freelocale(entered.plain);
}

enum { THREAD_STACK_BYTES = 2 << 20 };

typedef struct thread_start {
  void *(*run)(void *context);
  void *context;
} thread_start;

static void *run_plainly(void *pointer) {
  thread_start start = *(thread_start *)pointer;
  free(pointer);
  dt_plain_locale locale = dt_plain_locale_enter();
  void *result = start.run(start.context);
  dt_plain_locale_leave(locale);
  return result;
}

int dt_thread_create(pthread_t *out, void *(*run)(void *context), void *context) {
  pthread_attr_t attributes;
  thread_start *start = malloc(sizeof *start);
  if (start == NULL || pthread_attr_init(&attributes) != 0) {
    free(start);
    return ENOMEM;
  }
  *start = (thread_start){.run = run, .context = context};
  int code = pthread_attr_setstacksize(&attributes, THREAD_STACK_BYTES);
  if (code == 0) code = pthread_create(out, &attributes, run_plainly, start);
  if (code != 0) free(start);
  pthread_attr_destroy(&attributes);
  return code;
}

/* Status codes and the grammar of errors.
 *
 * A function that can fail returns dt_status. The text of the first failure on this thread is kept in the thread's error
 * record; only main prints it and ends the process. Results come back through out-pointers, which stand last. */
#ifndef DT_CORE_STATUS_H
#define DT_CORE_STATUS_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

/* name, exit code of the process, what the class means */
#define DT_STATUS_LIST(X)           \
  X(OK, 0, "ok")                    \
  X(USAGE, 2, "usage or config")    \
  X(DATA, 3, "data")                \
  X(CHECKPOINT, 4, "checkpoint")    \
  X(IO, 5, "input/output")          \
  X(NUMERIC, 6, "numeric")          \
  X(PEER, 7, "peer lost or hang")   \
  X(REPLICA, 8, "replica mismatch") \
  X(MEMORY, 9, "out of memory")     \
  X(ENVIRONMENT, 10, "environment") \
  X(INTERNAL, 11, "internal")       \
  X(INTERRUPTED, 20, "interrupted") \
  X(PREEMPTED, 75, "preempted")

typedef enum dt_status {
#define X(name, code, text) DT_##name,
  DT_STATUS_LIST(X)
#undef X
      DT_STATUS_COUNT
} dt_status;

/* Exit code of the process for a status. */
int dt_status_exit_code(dt_status status);
/* The class of a status as printed in `dtrain: <class>: ...`. */
const char *dt_status_name(dt_status status);

/* Records the error text of this thread and returns status. The first text since dt_error_clear stays: a later failure
 * during tear-down must not hide the cause. */
dt_status dt_error_set(dt_status status, const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
dt_status dt_error_set_args(dt_status status, const char *file, int line, const char *format, va_list args)
    __attribute__((format(printf, 4, 0)));
/* Text of the thread's first error, "" when there is none. May hold several lines (all errors of a config file). */
const char *dt_error_text(void);
/* Where in the source the error was raised, for the log. */
const char *dt_error_origin(void);
void dt_error_clear(void);

/* Hands any failure on to the caller. */
#define DT_TRY(call)                                    \
  do {                                                  \
    dt_status dt_try_status_ = (call);                  \
    if (dt_try_status_ != DT_OK) return dt_try_status_; \
  } while (0)

/* The same through a label; needs a local `dt_status status`. */
#define DT_TRY_GOTO(label, call)     \
  do {                               \
    status = (call);                 \
    if (status != DT_OK) goto label; \
  } while (0)

/* Raises an error: the numbers that were wrong and, for a user's mistake, what to do. */
#define DT_RAISE(code, ...) return dt_error_set((code), __FILE__, __LINE__, __VA_ARGS__)
#define DT_RAISE_GOTO(label, code, ...)                             \
  do {                                                              \
    status = dt_error_set((code), __FILE__, __LINE__, __VA_ARGS__); \
    goto label;                                                     \
  } while (0)
#define DT_REQUIRE(condition, code, ...)             \
  do {                                               \
    if (!(condition)) DT_RAISE((code), __VA_ARGS__); \
  } while (0)

/* A broken promise of our own code. Always on: prints and aborts, since state cannot be trusted any more. */
#define DT_ASSERT(condition)                                            \
  do {                                                                  \
    if (!(condition)) dt_assert_failed(#condition, __FILE__, __LINE__); \
  } while (0)
_Noreturn void dt_assert_failed(const char *condition, const char *file, int line);

/* Zeroed memory; DT_MEMORY with the size when there is none. */
dt_status dt_alloc(size_t count, size_t bytes, void *out_pointer);
/* How often this thread has called dt_alloc: that a step allocates nothing is asserted by comparing two of these. */
unsigned long dt_alloc_count(void);

#endif

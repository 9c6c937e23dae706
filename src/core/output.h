/* Where the lines of a run go besides its log file. */
#ifndef DT_CORE_OUTPUT_H
#define DT_CORE_OUTPUT_H

#include <stdbool.h>

/* From what must be known to what is only for the log file. */
typedef enum dt_level { DT_LEVEL_ERROR, DT_LEVEL_WARNING, DT_LEVEL_INFO, DT_LEVEL_DETAIL } dt_level;

/* Takes one line without its end; borrowed for the call. */
typedef void dt_log(void *context, dt_level level, const char *line);

/* On rank 0; zeroed it is silence. */
typedef struct dt_output {
  bool terminal; /* lines to standard output, and a progress bar where there is a terminal */
  dt_level most; /* lines of a higher level stay in the log file */
  dt_log *log;   /* NULL = none */
  void *context; /* of log */
} dt_output;

#endif

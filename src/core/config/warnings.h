/* Warnings: what a config may say and hardly can mean, or what costs time for nothing. A run prints each at its start, and
 * describe with its tables. What cannot be meant at all is an error instead. */
#ifndef DT_CORE_CONFIG_REMARKS_H
#define DT_CORE_CONFIG_REMARKS_H

#include "core/config/spec.h"

/* Where warnings go: `take` gets each as one line without its end, valid during the call. */
typedef struct dt_warnings {
  void (*take)(void *context, const char *line);
  void *context;
} dt_warnings;

/* Hands on one warning; longer ones than 512 bytes are cut. */
void dt_warning(const dt_warnings *to, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The warnings that the config alone gives, where a rank has so many cores of its host (dt_comm.cores). */
void dt_spec_warnings(const dt_spec *spec, double cores, const dt_warnings *to);

#endif

/* The name that was meant: nearest by edit distance, upper and lower case alike. */
#ifndef DT_CORE_CONFIG_NAMES_H
#define DT_CORE_CONFIG_NAMES_H

#include "core/config/options.h"

/* The name nearest to `found` when it is near enough to be meant, else NULL. next gives names until NULL; one that it makes up
 * must stay until the next call, and the result until the one after the last. */
typedef const char *dt_name_source(const void *context, int index);
const char *dt_name_nearest(const char *found, dt_name_source *next, const void *context);
const char *dt_name_nearest_option(const char *found, const dt_option *table);
const char *dt_name_nearest_kind(const char *found, const dt_kind *const *kinds);
const char *dt_name_nearest_text(const char *found, const char *const *names);

/* ` (did you mean "..."?)`, or "" for NULL. Returns text. */
const char *dt_did_you_mean(const char *meant, char *text, size_t bytes);

#endif

/* The one clock for durations: monotonic, so that a change of the wall clock moves nothing. */
#ifndef DT_CORE_CLOCK_H
#define DT_CORE_CLOCK_H

/* Seconds since some fixed moment. */
double dt_clock_seconds(void);

#endif

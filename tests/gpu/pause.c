/* A wait gives the core away in its first millisecond and sleeps after it: 70 exchanges of a step that is issued, of which each
 * is over at once, do not sleep 70 times. */
#include <sched.h>
#include <stdio.h>
#include <time.h>

#include "gpu/await.h"

int __wrap_sched_yield(void);
int __wrap_nanosleep(const struct timespec *wanted, struct timespec *left);

static int yields, sleeps;
static long longest_ns;

int __wrap_sched_yield(void) {
  yields++;
  return 0;
}

int __wrap_nanosleep(const struct timespec *wanted, struct timespec *left) {
  sleeps++;
  if (wanted->tv_sec > 0 || wanted->tv_nsec > longest_ns) longest_ns = wanted->tv_sec * 1000000000L + wanted->tv_nsec;
  return 0;
}

int main(void) {
  const double young[] = {0, 1e-5, 9e-4}, old[] = {1.1e-3, 0.5, 100};
  for (size_t i = 0; i < 3; i++) dt_gpu_pause(young[i]);
  if (yields != 3 || sleeps != 0) return printf("in the first millisecond: %d yields, %d sleeps\n", yields, sleeps), 1;
  for (size_t i = 0; i < 3; i++) dt_gpu_pause(old[i]);
  if (sleeps != 3 || longest_ns > 1000000) return printf("later: %d sleeps, of at most %ld ns\n", sleeps, longest_ns), 1;
  return 0;
}

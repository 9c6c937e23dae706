/* Which cores a rank may count as its own. A launcher may bind each rank to cores of its own, some ranks to a socket, or none
 * to anything; only the masks of all ranks of a host together tell. */
#include "comm/cores.h"

static int sharers_of(const cpu_set_t *mask, int count, int core) {
  int sharers = 0;
  for (int i = 0; i < count; i++) sharers += CPU_ISSET(core, &mask[i]) != 0;
  return sharers;
}

double dt_cores_share(const cpu_set_t *mask, int count, int own) {
  double share = 0;
  for (int sharers = 1; sharers <= count; sharers++) {
    int cores = 0;
    for (int core = 0; core < CPU_SETSIZE; core++)
      cores += CPU_ISSET(core, &mask[own]) && sharers_of(mask, count, core) == sharers;
    share += cores / (double)sharers; /* one division, so that six ranks on twelve cores have exactly two */
  }
  return share;
}

void dt_cores_mask(cpu_set_t *out) {
  CPU_ZERO(out);
  if (sched_getaffinity(0, sizeof *out, out) == 0 && CPU_COUNT(out) > 0) return;
  CPU_ZERO(out);
  CPU_SET(0, out);
}

double dt_cores_available(void) {
  cpu_set_t mask;
  dt_cores_mask(&mask);
  return CPU_COUNT(&mask);
}

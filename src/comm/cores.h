/* Cores that this process, and those beside it, may use. */
#ifndef DT_COMM_CORES_H
#define DT_COMM_CORES_H

#include <sched.h>

/* This process's affinity mask; core 0 alone where the system tells none. Not collective. */
void dt_cores_mask(cpu_set_t *out);
/* How many cores are in it. Not collective. */
double dt_cores_available(void);
/* What is rank `own`'s of the cores of a host when each core is shared equally by the ranks whose mask has it; mask[count] are
 * the masks of the host's ranks. Pure. */
double dt_cores_share(const cpu_set_t *mask, int count, int own);

#endif

/* Ending a job through PMIx, which Open MPI's mpirun and Slurm's srun speak. mpirun then says nothing of its own: it puts
 * eleven lines behind the error of a rank that simply exits, six behind MPI_Abort (docs/field-notes.md). */
#ifndef DT_COMM_PMIX_H
#define DT_COMM_PMIX_H

#include <stdbool.h>

/* Keeps PMIx open beyond MPI_Finalize; only between MPI_Init and that. False where MPI has not loaded PMIx. Not collective. */
bool dt_pmix_hold(void);
/* Waits until all ranks of the job have come here, after MPI_Finalize too where PMIx is held open. Collective. */
bool dt_pmix_fence(void);
/* Has the launcher end every rank of the job, with this exit code. Returns, true where the launcher was told; the caller then
 * ends by itself. Not collective. */
bool dt_pmix_abort(int exit_code);

#endif

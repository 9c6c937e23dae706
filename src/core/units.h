/* Which rank works on which piece of hardware. */
#ifndef DT_CORE_UNITS_H
#define DT_CORE_UNITS_H

#include "comm/comm.h"
#include "core/device.h"

/* Gathers every rank's unit and makes a table of one line a rank, "rank 0  host  GPU 0 NVIDIA H200, ...", on rank 0; *out_table
 * is NULL elsewhere and for devices that have no units (free it). Two ranks on one unit raise DT_ENVIRONMENT naming them and
 * the remedy, unless `shared` allows it; *out_sharers is the number of ranks on this rank's unit, itself included. Collective;
 * an error is everyone's. */
dt_status dt_units_agree(dt_comm *comm, const dt_device *device, bool shared, int *out_sharers, char **out_table);

#endif

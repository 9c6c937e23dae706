/* Which rank works on which piece of hardware. */
#ifndef DT_TRAIN_UNITS_H
#define DT_TRAIN_UNITS_H

#include "comm/comm.h"
#include "core/device.h"

/* Gathers every rank's device and makes a table of one line a rank, "rank 0  host  GPU 0 NVIDIA H200, ...", on rank 0;
 * *out_table is NULL elsewhere and for devices that have no id (free it). Two ranks on one device raise DT_ENVIRONMENT naming
 * them and the remedy, unless `shared` allows it; *out_sharers is the number of ranks on this rank's device, itself included.
 * Collective; an error is everyone's. */
dt_status dt_device_ids_agree(dt_comm *comm, const dt_device *device, bool shared, int *out_sharers, char **out_table);

#endif

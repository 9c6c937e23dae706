/* Which device a rank works on. */
#ifndef DT_TRAIN_DEVICES_H
#define DT_TRAIN_DEVICES_H

#include "comm/comm.h"
#include "core/config/spec.h"
#include "core/device.h"

enum { DT_MISSING_TEXT = 512 };

/* The device a spec asks for, for a rank; comm is NULL where it is for none, with all cores to itself. threads: auto is a
 * thread for each of this rank's cores (dt_comm.cores). The device keeps comm. model: dt_device_options.model. Where the spec
 * leaves the choice, a gpu if there is one, else the cpu, and `missing` (DT_MISSING_TEXT bytes) says what a gpu lacked; ""
 * otherwise, and where the machine has none. Not collective. Returns new. */
dt_status dt_device_create(const dt_spec *spec, dt_comm *comm, const char *model, int *out_threads, char *missing,
                           dt_device **out);

#endif

/* The order of a program's instructions over streams, read off the program: where an instruction uses memory that another
 * stream has used before it, it waits for an event recorded there. */
#ifndef DT_CORE_PROGRAM_ORDER_H
#define DT_CORE_PROGRAM_ORDER_H

#include "core/program/program.h"

enum { DT_STREAMS = DT_STREAM_COPY + 1 };

typedef struct dt_order {
  int *record;             /* [program->count] the event recorded after the instruction; -1 = none */
  int (*wait)[DT_STREAMS]; /* [program->count][stream]: events waited for before it, one a stream at most; -1 = none */
  int join[DT_STREAMS];    /* events that the compute stream waits for at the end, so that it is behind everything; -1 = none */
  int events;
} dt_order;

/* Two instructions conflict when one writes what the other reads or writes: elements of a flat block, or bytes of the arena
 * (buffers that share memory conflict too). Waits that others imply are left out. begins_alone: REDUCE_BEGIN enqueues all of a
 * reduction and REDUCE_END nothing, so that a bucket can be updated while those behind it on the stream are still on their way.
 * Returns new. DT_MEMORY. */
dt_status dt_order_create(const dt_program *program, bool begins_alone, dt_order **out);
void dt_order_destroy(dt_order **order);

#endif

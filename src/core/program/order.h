/* The order of a program's instructions over streams, read off the program: where an instruction uses memory that another
 * stream has used before it, it waits for an event recorded there. */
#ifndef DT_CORE_PROGRAM_ORDER_H
#define DT_CORE_PROGRAM_ORDER_H

#include "core/program/program.h"

typedef struct dt_order {
  int *record;             /* [program->count] the event recorded after the instruction; -1 = none */
  int (*wait)[DT_STREAMS]; /* [program->count][stream]: events waited for before it, one a stream at most; -1 = none */
  int join[DT_STREAMS];    /* events that the compute stream waits for at the end, so that it is behind everything; -1 = none */
  int side_end; /* event that the compute stream waits for at the end of each micro-batch, behind the last instruction
                   of the side stream; -1 = none */
  int events;
} dt_order;

/* When a reduction touches its bucket. */
typedef enum dt_reducing {
  DT_REDUCING_SPANS,    /* from REDUCE_BEGIN to REDUCE_END */
  DT_REDUCING_AT_BEGIN, /* REDUCE_BEGIN enqueues all of it and REDUCE_END nothing, so that a bucket can be updated while those
                           behind it on the stream are still on their way */
  DT_REDUCING_NOTHING,  /* there is nothing to reduce, and neither enqueues anything */
} dt_reducing;

/* Two instructions conflict when one writes what the other reads or writes: elements of a flat block, or bytes of the arena
 * (buffers that share memory conflict too). Waits that others imply are left out.
 *
 * Where a step is several micro-batches their section is issued again and again by the same events. An instruction on the side
 * stream reads what the compute stream has written in the same micro-batch, and so comes after the micro-batches before; the
 * compute stream comes after them by side_end. Returns new. DT_MEMORY. */
dt_status dt_order_create(const dt_program *program, dt_reducing reducing, dt_order **out);
void dt_order_destroy(dt_order **order);

#endif

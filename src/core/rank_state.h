/* How a rank stands with the other ranks and with its device: what may still be waited for, whether anything is taken down, and
 * how the job ends. A rank has one such state: its communicator holds it (dt_comm.state), and its device points to it.
 *
 *   TOGETHER           -> DIVERGED   dt_steps_batch starts a batch
 *   DIVERGED           -> TOGETHER   the batches have ended, or every rank has seen the same failure in its sums
 *   TOGETHER, DIVERGED -> HUNG       a wait for the device has come to its deadline (gpu/await.c)
 *   TOGETHER, HUNG     -> STRANDED   dt_comm_agree has come to DT_PEER
 *
 * HUNG and STRANDED lead nowhere but to the end of the process. */
#ifndef DT_CORE_RANK_STATE_H
#define DT_CORE_RANK_STATE_H

#include "core/status.h"

typedef enum dt_rank_state {
  DT_RANK_TOGETHER, /* what fails is agreed on: all ranks take down what they have and leave together */
  DT_RANK_DIVERGED, /* others may wait for this rank in a collective, and cannot know that it fails: only abort ends the job */
  DT_RANK_HUNG,     /* so too; and whatever else is asked of the device could wait for ever */
  DT_RANK_STRANDED, /* all know that a rank or its device hangs (DT_PEER): abort ends the job, once rank 0 has told */
} dt_rank_state;

/* The one way to another state, or to the same again. */
static inline void dt_rank_enter(dt_rank_state *state, dt_rank_state to) {
  static const unsigned leads[] = {/* TOGETHER */ 1u << DT_RANK_DIVERGED | 1u << DT_RANK_HUNG | 1u << DT_RANK_STRANDED,
                                   /* DIVERGED */ 1u << DT_RANK_TOGETHER | 1u << DT_RANK_HUNG,
                                   /* HUNG */ 1u << DT_RANK_STRANDED,
                                   /* STRANDED */ 0};
  DT_ASSERT(*state == to || (leads[*state] >> to & 1) != 0);
  *state = to;
}

/* Whether a failure is known to this rank only, which then tells of it. */
static inline bool dt_rank_is_alone(dt_rank_state state) {
  return state == DT_RANK_DIVERGED || state == DT_RANK_HUNG;
}

/* Whether a device hangs, here or elsewhere: nothing is asked of this rank's any more, not even to free what it has. */
static inline bool dt_rank_is_stuck(dt_rank_state state) {
  return state == DT_RANK_HUNG || state == DT_RANK_STRANDED;
}

/* What a call has come to that ended with `status`: a device that hangs while it is taken down fails what else went well. */
static inline dt_status dt_rank_status(dt_rank_state state, dt_status status) {
  return status == DT_OK && state == DT_RANK_HUNG ? DT_PEER : status;
}

#endif

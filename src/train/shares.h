/* How ranks share the work of a step, and what is lost by it: warnings on train.shards, train.global_batch and threads. */
#ifndef DT_TRAIN_SHARES_H
#define DT_TRAIN_SHARES_H

#include "core/config/warnings.h"
#include "core/device.h"

typedef struct dt_shares {
  int ranks, local_ranks; /* in all, and on this host */
  double cores;           /* that are this rank's: dt_comm.cores */
  int available;          /* that its process may use, alone or not */
  int64_t train_samples;  /* 0 = not known */
} dt_shares;

/* The part of a step's time in which ranks compute, if they are equally fast: shards over ranks times the most shards of one.
 */
double dt_share_efficiency(int64_t shards, int ranks);
/* Hands on what a user should know; nothing where the work is shared well. */
void dt_share_warnings(const dt_spec *spec, const dt_device *device, const dt_shares *shares, const dt_warnings *to);

#endif

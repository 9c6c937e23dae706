/* Sparsity penalty of the D units of a layer, by their mean activities m over the samples of a shard: (1/D) sum over units of
 * KL(rho || m) = rho log(rho / m) + (1 - rho) log((1 - rho) / (1 - m)), the divergence of two coins (Ng, "Sparse autoencoder",
 * CS294A lecture notes, 2011, with a sum over units where this has their mean). Each sample of the shard counts as the shard
 * does, so that the mean over samples is that over shards; the gradient is (1/D) ((1 - rho) / (1 - m) - rho / m) for each. */
#include "core/losses/loss.h"

typedef struct kl_attr {
  dt_loss_attr common; /* first */
  double rho;
} kl_attr;

static void set_params(const void *attr, double param[DT_LOSS_PARAMS]) {
  param[0] = ((const kl_attr *)attr)->rho;
}

static const dt_loss activity_kl = {
    .layer = {.infer = dt_loss_infer_numbers, .forward = dt_loss_forward},
    .op = DT_OP_ACTIVITY_KL,
    .set_params = set_params,
    .output = DT_OUTPUT_NUMBERS,
};

static const dt_option options[] = {
    DT_PENALTY_ROWS,
    DT_ROW_REAL("rho", offsetof(kl_attr, rho), "0.05", 0, 1, "The mean activity that units are drawn to.", .open_min = true,
                .open_max = true),
    {0},
};

const dt_kind dt_loss_activity_kl = DT_KIND_LIKE(
    "activity_kl",
    "A penalty of a sigmoid's units, without a target, by each one's mean activity m over a shard's samples: the mean "
    "over the units of rho log(rho / m) + (1 - rho) log((1 - rho) / (1 - m)), which makes them rarely active (Ng, 2011).",
    options, kl_attr, activity_kl);

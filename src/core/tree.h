/* The one tree in which everything is summed, and how ranks share it out.
 *
 * A global batch is cut into S shards. Every sum over the batch is taken over shards by one fixed binary tree: the fold of a
 * binary counter. Leaf s enters; while the two youngest subtrees hold equally many leaves they are added (older + younger);
 * at the end the remaining subtrees are added from the youngest to the oldest. For S = 2^k this is the complete tree.
 *
 * Invariants
 * 1. The tree depends on S alone; ranks and passes only decide who computes which part of it.
 * 2. A micro-batch is a complete subtree (2^j consecutive shards, first shard a multiple of 2^j) run at once by one rank.
 * 3. A rank holds consecutive shards; ranks hold them in rank order; counts differ by at most one. */
#ifndef DT_CORE_TREE_H
#define DT_CORE_TREE_H

#include <stdint.h>

#include "core/status.h"

/* partial[into] += partial[from], `into` being the older. Indices are of a rank's own partial sums (dt_micro_batch.merges) or
 * positions in the list of all ranks' roots (dt_tree.fold). */
typedef struct dt_merge {
  int into, from;
} dt_merge;

/* One run of the micro-batch section of the program on one rank. */
typedef struct dt_micro_batch_plan {
  int first_shard, shard_count; /* the complete subtree that runs */
  int partial;                  /* partial sum the micro-batch writes */
  int merge_first, merge_count; /* merges due after this micro-batch, in dt_tree.merges */
} dt_micro_batch_plan;

/* A subtree that a rank holds when its micro-batches are over. */
typedef struct dt_root {
  int rank, partial; /* the owner, and the partial sum there */
  int first_shard, shard_count;
} dt_root;

typedef struct dt_tree {
  int shards, size, rank;
  int first_shard, shard_count;       /* of this rank */
  dt_micro_batch_plan *micro_batches; /* of this rank, in order */
  int micro_batch_count;
  int micro_batch_shards; /* the largest micro-batch of any rank, for the memory plan */
  dt_merge *merges;
  int merge_count;
  int partials;     /* partial sums this rank needs, >= 1 */
  int partials_max; /* the most any rank needs: programs are equal on all ranks */
  dt_root *roots;   /* of all ranks, in shard order; this rank's are roots[root_first .. +root_count) */
  int root_count_all, root_first, root_count;
  dt_merge *fold; /* over positions in roots: after these merges roots[0] holds the sum */
  int fold_count;
} dt_tree;

/* Shares S shards over `size` ranks, seen from `rank`; no micro-batch runs more than micro_batch_shards_limit shards (0 = no
 * limit). A rank may hold no shard (size > shards): it has no micro-batch, its root_count is 0, and it joins every collective.
 * Not collective. Returns new. */
dt_status dt_tree_create(int shards, int size, int rank, int micro_batch_shards_limit, dt_tree **out);
void dt_tree_destroy(dt_tree **tree);

/* The first shard of a rank: shards are dealt as evenly as they go, lower ranks first. */
int dt_tree_first_shard(int shards, int size, int rank);

/* Samples of a batch of `count` samples that shard s holds: [first, first + result) of the batch. Samples are dealt evenly,
 * so a short batch thins every shard and empties none before all are thin. */
int64_t dt_shard_samples(int64_t count, int shards, int s, int64_t *out_first);

/* The fewest samples that a shard of a batch of `count` samples holds, among those that hold any. count >= 1. */
int64_t dt_shard_fewest(int64_t count, int shards);

/* Sums count values in the tree's order: the oracle of tests and the tool of small host sums. stack needs
 * 64 entries at most and is internal. */
float dt_tree_sum_f32(const float *value, int count);
double dt_tree_sum_f64(const double *value, int count);

#endif

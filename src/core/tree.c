/* Shards are leaves; a span of shards that is a node of the tree is known by its ends alone. Reading spans from left to right
 * onto a stack and merging the two topmost while they are siblings is the binary counter's fold, whatever mixture of spans
 * comes in: a node's right child is complete exactly when its last shard has been read, and its left child then lies directly
 * below. One rank's micro-batches, and the roots of all ranks, go through the same stack, so they cannot disagree about the
 * order. */
#include "core/tree.h"

#include <stdlib.h>

typedef struct span {
  int first, count;
  int id; /* partial sum, or position in the list of roots */
} span;

enum { STACK = 64 }; /* a stack of tree nodes holds at most two spans for each bit of the shard count */

typedef struct span_stack {
  span item[STACK];
  int depth;
} span_stack;

static int min_int(int a, int b) {
  return a < b ? a : b;
}

static bool is_power_of_two(int x) {
  return x > 0 && (x & (x - 1)) == 0;
}

/* Whether older and younger, two neighbouring nodes of the tree over `shards` leaves, are the children of one node: the halves
 * of an aligned block, or one of the complete subtrees that are left at the end (one for each bit of the shard count) with
 * everything behind it. */
static bool are_siblings(const span *older, const span *younger, int shards) {
  int n = older->count;
  if (!is_power_of_two(n)) return false;
  if (younger->count == n && older->first % (2 * n) == 0) return true;
  bool is_remaining_subtree = (shards & n) != 0 && older->first == shards - shards % (2 * n);
  return is_remaining_subtree && younger->first + younger->count == shards;
}

/* Merges the top of the stack as far as it goes; returns how many merges were written to out. */
static int stack_merge(span_stack *stack, int shards, dt_merge *out) {
  int count = 0;
  while (stack->depth >= 2) {
    span *older = &stack->item[stack->depth - 2], *younger = older + 1;
    if (!are_siblings(older, younger, shards)) break;
    out[count++] = (dt_merge){.into = older->id, .from = younger->id};
    older->count += younger->count;
    stack->depth--;
  }
  return count;
}

static void stack_push(span_stack *stack, span item) {
  DT_ASSERT(stack->depth < STACK);
  stack->item[stack->depth++] = item;
}

/* The largest complete subtree that starts at `first`, ends by `end` and has no more than `limit` shards (0 = no limit). */
static int micro_batch_length(int first, int end, int limit) {
  int count = 1;
  while (first % (2 * count) == 0 && first + 2 * count <= end && (limit == 0 || 2 * count <= limit)) count *= 2;
  return count;
}

/* What one rank does: its micro-batches, the merges behind each, and what is left on its stack. */
typedef struct rank_plan {
  dt_micro_batch_plan *micro_batches; /* room for one micro-batch per shard */
  dt_merge *merges;
  int micro_batch_count, merge_count, partials, micro_batch_shards;
  span_stack stack;
} rank_plan;

static void plan_rank(rank_plan *plan, int shards, int first, int count, int limit) {
  plan->micro_batch_count = plan->merge_count = plan->micro_batch_shards = plan->stack.depth = 0;
  plan->partials = 1;
  for (int at = first, end = first + count; at < end;) {
    int length = micro_batch_length(at, end, limit), partial = plan->stack.depth;
    stack_push(&plan->stack, (span){.first = at, .count = length, .id = partial});
    int merges = stack_merge(&plan->stack, shards, plan->merges + plan->merge_count);
    plan->micro_batches[plan->micro_batch_count++] = (dt_micro_batch_plan){
        .first_shard = at, .shard_count = length, .partial = partial, .merge_first = plan->merge_count, .merge_count = merges};
    plan->merge_count += merges;
    if (partial + 1 > plan->partials) plan->partials = partial + 1;
    if (length > plan->micro_batch_shards) plan->micro_batch_shards = length;
    at += length;
  }
}

static void append_roots(dt_tree *tree, int rank, const span_stack *stack) {
  for (int i = 0; i < stack->depth; i++) {
    const span *s = &stack->item[i];
    tree->roots[tree->root_count_all++] =
        (dt_root){.rank = rank, .partial = s->id, .first_shard = s->first, .shard_count = s->count};
  }
}

static void fold_roots(dt_tree *tree) {
  span_stack stack = {.depth = 0};
  for (int i = 0; i < tree->root_count_all; i++) {
    stack_push(&stack, (span){.first = tree->roots[i].first_shard, .count = tree->roots[i].shard_count, .id = i});
    tree->fold_count += stack_merge(&stack, tree->shards, tree->fold + tree->fold_count);
  }
  DT_ASSERT(stack.depth == 1 && stack.item[0].count == tree->shards);
}

static void fill(dt_tree *tree, rank_plan *scratch, int limit) {
  rank_plan own = {.micro_batches = tree->micro_batches, .merges = tree->merges};
  for (int r = 0; r < tree->size; r++) {
    rank_plan *plan = r == tree->rank ? &own : scratch;
    int first = dt_tree_first_shard(tree->shards, tree->size, r);
    plan_rank(plan, tree->shards, first, dt_tree_first_shard(tree->shards, tree->size, r + 1) - first, limit);
    if (plan->partials > tree->partials_max) tree->partials_max = plan->partials;
    if (plan->micro_batch_shards > tree->micro_batch_shards) tree->micro_batch_shards = plan->micro_batch_shards;
    if (r == tree->rank) tree->root_first = tree->root_count_all;
    append_roots(tree, r, &plan->stack);
    if (r == tree->rank) tree->root_count = tree->root_count_all - tree->root_first;
  }
  tree->micro_batch_count = own.micro_batch_count;
  tree->merge_count = own.merge_count;
  tree->partials = own.partials;
  fold_roots(tree);
}

dt_status dt_tree_create(int shards, int size, int rank, int micro_batch_shards_limit, dt_tree **out) {
  DT_REQUIRE(shards >= 1 && shards <= 1 << 20, DT_USAGE, "%d shards: expected 1 to %d", shards, 1 << 20);
  DT_REQUIRE(size >= 1 && rank >= 0 && rank < size, DT_INTERNAL, "rank %d of %d ranks does not exist", rank, size);
  DT_REQUIRE(micro_batch_shards_limit >= 0, DT_USAGE, "a limit of %d shards to a micro-batch: expected 0 or more",
             micro_batch_shards_limit);
  dt_status status = DT_OK;
  rank_plan scratch = {.micro_batches = NULL};
  dt_tree *tree = NULL;
  DT_TRY(dt_alloc(1, sizeof *tree, &tree));
  tree->shards = shards, tree->size = size, tree->rank = rank;
  tree->first_shard = dt_tree_first_shard(shards, size, rank);
  tree->shard_count = dt_tree_first_shard(shards, size, rank + 1) - tree->first_shard;
  size_t most = (size_t)shards / (size_t)size + 1; /* shards of one rank */
  DT_TRY_GOTO(cleanup, dt_alloc(most, sizeof *tree->micro_batches, &tree->micro_batches));
  DT_TRY_GOTO(cleanup, dt_alloc(most, sizeof *tree->merges, &tree->merges));
  DT_TRY_GOTO(cleanup, dt_alloc(most, sizeof *scratch.micro_batches, &scratch.micro_batches));
  DT_TRY_GOTO(cleanup, dt_alloc(most, sizeof *scratch.merges, &scratch.merges));
  DT_TRY_GOTO(cleanup, dt_alloc((size_t)shards, sizeof *tree->roots, &tree->roots));
  DT_TRY_GOTO(cleanup, dt_alloc((size_t)shards, sizeof *tree->fold, &tree->fold));
  fill(tree, &scratch, micro_batch_shards_limit);
cleanup:
  free(scratch.merges);
  free(scratch.micro_batches);
  if (status != DT_OK) dt_tree_destroy(&tree);
  *out = tree;
  return status;
}

void dt_tree_destroy(dt_tree **tree) {
  if (*tree == NULL) return;
  free((*tree)->fold);
  free((*tree)->roots);
  free((*tree)->merges);
  free((*tree)->micro_batches);
  free(*tree);
  *tree = NULL;
}

int dt_tree_first_shard(int shards, int size, int rank) {
  return rank * (shards / size) + min_int(rank, shards % size);
}

int64_t dt_shard_samples(int64_t count, int shards, int s, int64_t *out_first) {
  int64_t least = count / shards, more = count % shards;
  *out_first = s * least + (s < more ? s : more);
  return least + (s < more ? 1 : 0);
}

int64_t dt_shard_fewest(int64_t count, int shards) {
  return count > shards ? count / shards : 1;
}

/* The binary counter: bit k of the leaves read says whether a subtree of 2^k leaves waits, so each trailing one bit before a
 * leaf enters is one merge. */
#define DEFINE_TREE_SUM(name, type)                                        \
  type name(const type *value, int count) {                                \
    if (count <= 0) return 0;                                              \
    type stack[STACK];                                                     \
    int depth = 0;                                                         \
    for (int i = 0; i < count; i++) {                                      \
      type sum = value[i];                                                 \
      for (int bits = i; bits & 1; bits >>= 1) sum = stack[--depth] + sum; \
      stack[depth++] = sum;                                                \
    }                                                                      \
    type total = stack[--depth];                                           \
    while (depth > 0) total = stack[--depth] + total;                      \
    return total;                                                          \
  }

DEFINE_TREE_SUM(dt_tree_sum_f32, float)
DEFINE_TREE_SUM(dt_tree_sum_f64, double)

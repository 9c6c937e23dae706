/* Cutting a fold into launches.
 *
 * The merges of a tree come in the order in which a reader from left to right can make them, so a subtree is a run of sources
 * that stand side by side, known by its first. Merges are collected until a subtree would read more sources than a launch
 * takes; then it is summed, and counts as a single source from there on. */
#include <stdlib.h>
#include <string.h>

#include "gpu/reducer.h"

typedef struct cutter {
  dt_gpu_rounds *out;
  const dt_merge *fold;
  int source_count;
  int *live;  /* [source]: sources of the subtree that begins here which are not yet summed; 0 where none begins */
  int *next;  /* [source]: the subtree that begins behind the one that begins here */
  int *local; /* [source]: place in the round that is being made */
  bool *made; /* [fold]: the merge stands in a round */
  bool *gone; /* [source]: summed into an older one */
  int source_used, merge_used;
} cutter;

/* Puts what is left of the subtree that begins at `first` into a round; fold[0..seen) are the merges read so far. */
static void cut_round(cutter *c, int first, int seen) {
  dt_gpu_round *round = &c->out->round[c->out->count++];
  *round = (dt_gpu_round){.source_first = c->source_used, .merge_first = c->merge_used};
  int end = c->next[first];
  for (int i = first; i < end; i++) {
    if (c->gone[i]) continue;
    c->local[i] = round->source_count++;
    c->out->source[c->source_used++] = i;
  }
  for (int m = 0; m < seen; m++) {
    const dt_merge *merge = &c->fold[m];
    if (c->made[m] || merge->into < first || merge->into >= end) continue;
    c->out->merge[c->merge_used++] = (dt_merge){.into = c->local[merge->into], .from = c->local[merge->from]};
    round->merge_count++;
    c->made[m] = true;
    c->gone[merge->from] = true;
  }
  c->live[first] = 1;
}

static void read_merge(cutter *c, int m) {
  int into = c->fold[m].into, from = c->fold[m].from;
  bool older_is_larger = c->live[into] >= c->live[from];
  if (c->live[into] + c->live[from] > DT_GPU_FOLD_MAX) cut_round(c, older_is_larger ? into : from, m);
  if (c->live[into] + c->live[from] > DT_GPU_FOLD_MAX) cut_round(c, older_is_larger ? from : into, m);
  c->live[into] += c->live[from];
  c->next[into] = c->next[from];
}

static dt_status alloc_cutter(cutter *c, int fold_count) {
  size_t sources = (size_t)c->source_count, merges = (size_t)fold_count;
  DT_TRY(dt_alloc(sources, sizeof *c->live, &c->live));
  DT_TRY(dt_alloc(sources, sizeof *c->next, &c->next));
  DT_TRY(dt_alloc(sources, sizeof *c->local, &c->local));
  DT_TRY(dt_alloc(sources, sizeof *c->gone, &c->gone));
  DT_TRY(dt_alloc(merges, sizeof *c->made, &c->made));
  /* A source takes part in one round, and the result of a round in one more. */
  DT_TRY(dt_alloc(merges + 1, sizeof *c->out->round, &c->out->round));
  DT_TRY(dt_alloc(sources + merges + 1, sizeof *c->out->source, &c->out->source));
  return dt_alloc(merges, sizeof *c->out->merge, &c->out->merge);
}

dt_status dt_gpu_rounds_create(const dt_merge *fold, int fold_count, int source_count, dt_gpu_rounds *out) {
  cutter c = {.out = out, .fold = fold, .source_count = source_count};
  *out = (dt_gpu_rounds){.count = 0};
  dt_status status = alloc_cutter(&c, fold_count);
  for (int i = 0; status == DT_OK && i < source_count; i++) c.live[i] = 1, c.next[i] = i + 1;
  for (int m = 0; status == DT_OK && m < fold_count; m++) read_merge(&c, m);
  if (status == DT_OK && source_count > 0) cut_round(&c, 0, fold_count);
  free(c.made);
  free(c.gone);
  free(c.local);
  free(c.next);
  free(c.live);
  if (status != DT_OK) dt_gpu_rounds_release(out);
  return status;
}

void dt_gpu_rounds_release(dt_gpu_rounds *rounds) {
  free(rounds->merge);
  free(rounds->source);
  free(rounds->round);
  memset(rounds, 0, sizeof *rounds);
}

dt_status dt_gpu_rounds_fold(const dt_gpu_rounds *rounds, float *const *source, int64_t count, float *out,
                             cudaStream_t stream) {
  for (int i = 0; i < rounds->count && count > 0; i++) {
    const dt_gpu_round *round = &rounds->round[i];
    const float *from[DT_GPU_FOLD_MAX];
    for (int s = 0; s < round->source_count; s++) from[s] = source[rounds->source[round->source_first + s]];
    float *sum = i + 1 == rounds->count ? out : source[rounds->source[round->source_first]];
    if (round->merge_count == 0 && sum == from[0]) continue;
    DT_TRY(dt_gpu_fold(rounds->merge + round->merge_first, round->merge_count, from, round->source_count, count, sum, stream));
  }
  return DT_OK;
}

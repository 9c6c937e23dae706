/* A fold cut into launches adds in the order of the whole fold: for trees of so many roots that one launch does not take them,
 * each root a leaf, against dt_tree_sum_f32. dt_gpu_fold is a plain loop here. */
#include <stdio.h>
#include <stdlib.h>

#include "gpu/reducer.h"

enum { ELEMENTS = 3, ROOTS_MAX = 1500 };

static int launches;

dt_status dt_gpu_fold(const dt_merge *fold, int fold_count, const float *const *source, int source_count, int64_t count,
                      float *out, cudaStream_t stream) {
  DT_REQUIRE(source_count >= 1 && source_count <= DT_GPU_FOLD_MAX, DT_INTERNAL, "%d sources", source_count);
  DT_REQUIRE(fold_count == source_count - 1, DT_INTERNAL, "%d merges of %d sources", fold_count, source_count);
  launches++;
  for (int64_t e = 0; e < count; e++) {
    float value[DT_GPU_FOLD_MAX];
    for (int s = 0; s < source_count; s++) value[s] = source[s][e];
    for (int m = 0; m < fold_count; m++) value[fold[m].into] += value[fold[m].from];
    out[e] = value[0];
  }
  return DT_OK;
}

/* As many ranks as roots, a shard each: the fold is the tree itself. */
static bool check(int roots) {
  static float value[ROOTS_MAX][ELEMENTS], column[ROOTS_MAX];
  float *source[ROOTS_MAX], out[ELEMENTS], expected[ELEMENTS];
  dt_tree *tree = NULL;
  dt_gpu_rounds rounds;
  if (dt_tree_create(roots, roots, 0, 0, &tree) != DT_OK) return false;
  if (dt_gpu_rounds_create(tree->fold, tree->fold_count, tree->root_count_all, &rounds) != DT_OK) return false;
  for (int i = 0; i < roots; i++) {
    source[i] = value[i];
    for (int e = 0; e < ELEMENTS; e++) value[i][e] = (float)(rand() - RAND_MAX / 2) / (float)(1 << (rand() % 20));
  }
  for (int e = 0; e < ELEMENTS; e++) {
    for (int i = 0; i < roots; i++) column[i] = value[i][e];
    expected[e] = dt_tree_sum_f32(column, roots);
  }
  launches = 0;
  bool same = dt_gpu_rounds_fold(&rounds, source, ELEMENTS, out, NULL) == DT_OK;
  for (int e = 0; e < ELEMENTS; e++) same = same && out[e] == expected[e];
  bool few =
      roots == 1 ? launches <= 1 : launches >= (roots + DT_GPU_FOLD_MAX - 1) / DT_GPU_FOLD_MAX && launches <= 2 + roots / 16;
  if (!same || !few) fprintf(stderr, "%d roots, %d launches: %s\n", roots, launches, same ? "too many" : "another sum");
  dt_gpu_rounds_release(&rounds);
  dt_tree_destroy(&tree);
  return same && few;
}

int main(void) {
  bool ok = true;
  for (int roots = 1; roots <= 300; roots++) ok = check(roots) && ok;
  ok = check(1000) && ok;
  ok = check(1024) && ok;
  ok = check(1439) && ok;
  if (!ok) fprintf(stderr, "%s\n", dt_error_text());
  return ok ? 0 : 1;
}

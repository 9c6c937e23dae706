/* What every kernel file needs: sizes of buffers, blocks of a micro-batch, filled lanes, and the tree. */
#ifndef DT_CPU_SIMD_COMMON_H
#define DT_CPU_SIMD_COMMON_H

#include "cpu/simd/act.h"
#include "cpu/simd/kernels.h"

VEC dt_threads *run_threads(const dt_run *run) {
  return ((const dt_cpu *)run->device)->threads;
}

VEC const dt_shape *arg_shape(const dt_run *run, const dt_instr *instr, dt_arg arg) {
  return &run->program->buffer[instr->arg[arg]].shape;
}

VEC int64_t arg_count(const dt_run *run, const dt_instr *instr, dt_arg arg) {
  return dt_shape_count(arg_shape(run, instr, arg));
}

/* Positions of one channel: H*W of [C, H, W], 1 of [D]. */
/* Blocks of a micro-batch, shard after shard. */
VEC int micro_batch_blocks(const dt_run *run, const dt_micro_batch *micro) {
  return micro->shard_count * dt_cpu_shard_blocks(run->program);
}

/* Samples in block `block` of a shard that holds `filled`. */
VEC int block_filled(int64_t valid, int block) {
  int64_t left = valid - (int64_t)block * 16;
  return left < 0 ? 0 : left > 16 ? 16 : (int)left;
}

VEC m16 lanes_filled(int count) {
  return m16_from_bits((uint16_t)((1u << count) - 1));
}

/* Merges due after leaf `leaf` (counted from 0) has entered the tree as its youngest subtree. */
VEC int tree_merges(int leaf) {
  return __builtin_ctz((unsigned)leaf + 1);
}

/* Most subtrees that stand at one time: of 2^16 shards, or of the 2^20 blocks of a batch of 2^24 samples. */
enum { TREE_DEPTH = 24 };

/* The tree over single numbers: push every leaf, then take the root. */
typedef struct tree {
  float node[TREE_DEPTH];
  int depth, leaves;
} tree;

VEC void tree_push(tree *t, float leaf) {
  int merges = tree_merges(t->leaves++);
  t->node[t->depth++] = leaf;
  for (; merges > 0; merges--, t->depth--) t->node[t->depth - 2] += t->node[t->depth - 1];
}

VEC float tree_root(tree *t) {
  for (; t->depth > 1; t->depth--) t->node[t->depth - 2] += t->node[t->depth - 1];
  return t->node[0];
}

/* into[i] = the tree over shards of from[shard * stride + i] */
VEC void tree_over_shards(float *into, const float *from, int shards, int64_t stride, int64_t count) {
  for (int64_t i = 0; i < count; i++) {
    tree t = {.depth = 0};
    for (int s = 0; s < shards; s++) tree_push(&t, from[s * stride + i]);
    into[i] = tree_root(&t);
  }
}

#endif

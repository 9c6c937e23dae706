/* The ordered sum of a slice.
 *
 * The merges of a fold come in the order of a stack machine (core/tree.c): the sources enter from left to right, and a merge
 * always adds the two youngest sums. A block of the slice goes through the whole fold while it is in the first cache, so that
 * every source is read from memory once and every place is written once; sums in between never leave the cache. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "comm/internal.h"
#include "core/clock.h"

/* Plain additions: the bits do not depend on the width of the vectors. Sanitizers cannot run before the resolvers that clones
 * need. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__)
#define DT_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define DT_CLONES
#endif

/* Sums that stand at one time: a tree over 65,536 shards, the most there are, is 16 high. */
enum { BLOCK_BYTES = 4096, STACK = 20 };

/* ivdep: where two of the three are the same memory they are the same elements. */
#define DEFINE_FOLD(name, suffix, type)                                                                                        \
  DT_CLONES static void add_##suffix(const type *a, const type *b, type *out, int count) {                                     \
    _Pragma("GCC ivdep") for (int i = 0; i < count; i++) out[i] = a[i] + b[i];                                                 \
  }                                                                                                                            \
  /* Sums elements [at, at + count) of the sources; the last addition writes to out. */                                        \
  static void fold_block_##suffix(const dt_merge *fold, int fold_count, type *const *source, int source_count, int64_t at,     \
                                  int count, type *out) {                                                                      \
    type scratch[STACK][BLOCK_BYTES / sizeof(type)];                                                                           \
    struct {                                                                                                                   \
      int id;                                                                                                                  \
      const type *value;                                                                                                       \
    } stack[STACK];                                                                                                            \
    int depth = 0, next = 0;                                                                                                   \
    for (int m = 0; m < fold_count; m++) {                                                                                     \
      while (depth == 0 || stack[depth - 1].id != fold[m].from) {                                                              \
        DT_ASSERT(depth < STACK && next < source_count);                                                                       \
        stack[depth].id = next, stack[depth].value = source[next] + at;                                                        \
        depth++, next++;                                                                                                       \
      }                                                                                                                        \
      DT_ASSERT(depth >= 2 && stack[depth - 2].id == fold[m].into);                                                            \
      type *sum = m == fold_count - 1 ? out : scratch[depth - 2];                                                              \
      add_##suffix(stack[depth - 2].value, stack[depth - 1].value, sum, count);                                                \
      stack[depth - 2].value = sum;                                                                                            \
      depth--;                                                                                                                 \
    }                                                                                                                          \
    if (fold_count == 0 && out != source[0] + at) memcpy(out, source[0] + at, (size_t)count * sizeof(type));                   \
  }                                                                                                                            \
  static void fold_to_all_##suffix(const dt_merge *fold, int fold_count, type *const *source, int source_count, int64_t count, \
                                   type *const *out, int out_count) {                                                          \
    const int64_t block = BLOCK_BYTES / sizeof(type);                                                                          \
    for (int64_t at = 0; at < count; at += block) {                                                                            \
      int here = (int)(count - at < block ? count - at : block);                                                               \
      fold_block_##suffix(fold, fold_count, source, source_count, at, here, out[0] + at);                                      \
      for (int i = 1; i < out_count; i++) memcpy(out[i] + at, out[0] + at, (size_t)here * sizeof(type));                       \
    }                                                                                                                          \
  }                                                                                                                            \
  void name(const dt_merge *fold, int fold_count, type *const *source, int source_count, int64_t count, type *out) {           \
    fold_to_all_##suffix(fold, fold_count, source, source_count, count, &out, 1);                                              \
  }

DEFINE_FOLD(dt_fold_f32, f32, float)
DEFINE_FOLD(dt_fold_f64, f64, double)

void dt_fold_to_all(dt_dtype dtype, const dt_merge *fold, int fold_count, void *const *source, int source_count, int64_t count,
                    void *const *out, int out_count) {
  if (dtype == DT_F64) {
    fold_to_all_f64(fold, fold_count, (double *const *)source, source_count, count, (double *const *)out, out_count);
  } else {
    fold_to_all_f32(fold, fold_count, (float *const *)source, source_count, count, (float *const *)out, out_count);
  }
}

static const size_t huge_page = (size_t)2 << 20;

static size_t block_alignment(size_t bytes) {
  return bytes >= 2 * huge_page ? huge_page : 64;
}

size_t dt_block_bytes(size_t bytes) {
  size_t align = block_alignment(bytes);
  return bytes > 0 ? (bytes + align - 1) / align * align : align;
}

dt_status dt_block_alloc(size_t bytes, void **out) {
  size_t align = block_alignment(bytes), rounded = dt_block_bytes(bytes);
  void *block = aligned_alloc(align, rounded);
  DT_REQUIRE(block != NULL, DT_MEMORY, "could not allocate %zu bytes for gradients", bytes);
  if (align == huge_page) (void)madvise(block, rounded, MADV_HUGEPAGE); /* a hint: without it only slower */
  memset(block, 0, rounded);
  *out = block;
  return DT_OK;
}

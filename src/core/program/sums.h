/* Sums over samples: in the gradient block in training, in integers in an evaluation, so that they are the same whoever adds
 * what in which order. C and CUDA alike. */
#ifndef DT_CORE_PROGRAM_SUMS_H
#define DT_CORE_PROGRAM_SUMS_H

#include "core/exact_sum.h"
#include "core/program/program.h"

/* A REAL sum in a score: the sum, then how many terms were not finite, or 2^128 and more, and added nothing. */
enum { DT_SUM_NONFINITE = DT_EXACT_SUM_LIMBS, DT_SUM_REAL_WORDS };

/* 64-bit words that the sum takes in a score: REAL as above, COUNT the count, HISTOGRAM a count for each bin. */
static inline int64_t dt_sum_words(const dt_sum_decl *decl) {
  return decl->kind == DT_SUM_REAL ? DT_SUM_REAL_WORDS : decl->kind == DT_SUM_COUNT ? 1 : decl->bins;
}

/* The first sum of that name; there is one. */
int dt_sum_find(const dt_program *program, const char *name);

/* Elements that the sum takes in the step statistics. */
static inline int64_t dt_sum_elements(const dt_sum_decl *decl) {
  return decl->kind == DT_SUM_REAL ? 2 : decl->kind == DT_SUM_COUNT ? 1 : 0;
}

/* Adds a sample's term to a sum's words. An index that is no bin is left out. */
DT_EXACT_SUM_FUNCTION void dt_sum_add(dt_sum_kind kind, int64_t bins, int64_t *word, double term) {
  if (kind == DT_SUM_REAL) {
    if (!dt_exact_sum_add((dt_exact_sum *)word, term)) word[DT_SUM_NONFINITE]++;
  } else if (kind == DT_SUM_COUNT) {
    word[0] += (int64_t)term;
  } else if (term >= 0 && term < (double)bins) {
    word[(int64_t)term]++;
  }
}

/* Of a score's REAL or COUNT sum: its value as a double. */
static inline double dt_sum_value(const dt_sum *sum, const int64_t *score) {
  if (sum->decl->kind == DT_SUM_COUNT) return (double)score[sum->word];
  return dt_exact_sum_value((const dt_exact_sum *)(score + sum->word));
}

/* How many of its terms were not finite. */
static inline int64_t dt_sum_nonfinite(const dt_sum *sum, const int64_t *score) {
  return sum->decl->kind == DT_SUM_REAL ? score[sum->word + DT_SUM_NONFINITE] : 0;
}

#endif

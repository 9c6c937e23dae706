/* The exact sum against two oracles of its own kind: a count of every bit of every term, and the compiler's 128-bit integers.
 */
#include "core/exact_sum.h"

#include <float.h>
#include <stdlib.h>
#include <string.h>

#include "core/device.h"
#include "support/unit.h"

enum { BITS = 192 + 64, POINT = 64, TERMS = 20000 };

/* How many terms have bit i, of weight 2^(i - 64), once carries are made: the binary digits of the sum. */
typedef struct digits {
  int64_t bit[BITS];
} digits;

static void digits_carry(digits *d) {
  for (int i = 0; i + 1 < BITS; i++) {
    d->bit[i + 1] += d->bit[i] / 2;
    d->bit[i] %= 2;
  }
}

/* Bits below 2^-64 are dropped. */
static void digits_add(digits *d, double term) {
  int exponent;
  uint64_t mantissa = (uint64_t)ldexp(frexp(term, &exponent), 53);
  for (int i = 0; i < 53; i++) {
    int place = POINT + exponent - 53 + i;
    if (place >= 0) d->bit[place] += mantissa >> i & 1;
  }
}

static digits digits_of(const dt_exact_sum *sum) {
  digits d = {{0}};
  for (int l = 0; l < DT_EXACT_SUM_LIMBS; l++) {
    for (int i = 0; i < 63; i++) d.bit[32 * l + i] += sum->limb[l] >> i & 1;
  }
  digits_carry(&d);
  return d;
}

static uint64_t draw(uint64_t *seed) {
  *seed = *seed * 6364136223846793005u + 1442695040888963407u;
  return *seed >> 11;
}

/* A double with 53 random bits and an exponent in [least, most). */
static double draw_term(uint64_t *seed, int least, int most) {
  double mantissa = (double)(draw(seed) | UINT64_C(1) << 52);
  return ldexp(mantissa, least - 52 + (int)(draw(seed) % (uint64_t)(most - least)));
}

static double *draw_terms(int least, int most) {
  uint64_t seed = 1;
  double *term = malloc(TERMS * sizeof *term);
  assert_non_null(term);
  for (int i = 0; i < TERMS; i++) term[i] = draw_term(&seed, least, most);
  return term;
}

static dt_exact_sum sum_of(const double *term, int count) {
  dt_exact_sum sum = {{0}};
  for (int i = 0; i < count; i++) assert_true(dt_exact_sum_add(&sum, term[i]));
  return sum;
}

static void test_every_bit(void **state) {
  static const int range[][2] = {{-149, 128}, {-70, -40}, {-30, 10}, {0, 64}, {100, 128}};
  for (size_t r = 0; r < sizeof range / sizeof *range; r++) {
    double *term = draw_terms(range[r][0], range[r][1]);
    digits expected = {{0}};
    for (int i = 0; i < TERMS; i++) digits_add(&expected, term[i]);
    digits_carry(&expected);
    dt_exact_sum sum = sum_of(term, TERMS);
    digits got = digits_of(&sum);
    assert_memory_equal(&got, &expected, sizeof got);
    free(term);
  }
}

/* Terms of either sign, in 128 bits. */
static void test_signs(void **state) {
  __extension__ typedef __int128 wide;
  double *term = draw_terms(-11, 40); /* whole in units of 2^-64 */
  dt_exact_sum sum = {{0}};
  wide expected = 0, got = 0;
  for (int i = 0; i < TERMS; i++) {
    double signed_term = i % 3 == 0 ? -term[i] : term[i];
    assert_true(dt_exact_sum_add(&sum, signed_term));
    expected += (wide)ldexp(signed_term, 64);
  }
  for (int l = DT_EXACT_SUM_LIMBS - 1; l >= 0; l--) got = got * ((wide)1 << 32) + sum.limb[l];
  assert_true(got == expected);
  assert_true(fabs(dt_exact_sum_value(&sum) - ldexp((double)expected, -64)) <= 0x1p-50 * ldexp((double)expected, -64));
  free(term);
}

/* Dealt to ranks in whatever order, and the ranks added up limb by limb. */
static void test_any_dealing(void **state) {
  double *term = draw_terms(-149, 128);
  dt_exact_sum expected = sum_of(term, TERMS);
  uint64_t seed = 2;
  for (int ranks = 1; ranks <= 13; ranks += 3) {
    dt_exact_sum part[13] = {{{0}}}, all = {{0}};
    for (int i = TERMS - 1; i > 0; i--) {
      int other = (int)(draw(&seed) % (uint64_t)(i + 1));
      double kept = term[i];
      term[i] = term[other];
      term[other] = kept;
    }
    for (int i = 0; i < TERMS; i++) dt_exact_sum_add(&part[draw(&seed) % (uint64_t)ranks], term[i]);
    for (int r = 0; r < ranks; r++) {
      for (int l = 0; l < DT_EXACT_SUM_LIMBS; l++) all.limb[l] += part[r].limb[l];
    }
    assert_memory_equal(&all, &expected, sizeof all);
  }
  free(term);
}

/* 2^31 times the same term, by doubling. */
static void test_many(void **state) {
  static const double terms[] = {FLT_MAX, 1e-7f, 5.6e17, 6.2e35f, 0x1p-64, 1, FLT_MIN};
  for (size_t t = 0; t < sizeof terms / sizeof *terms; t++) {
    dt_exact_sum sum = {{0}};
    assert_true(dt_exact_sum_add(&sum, terms[t]));
    double one = dt_exact_sum_value(&sum);
    if (terms[t] >= 1e-7f) assert_true(fabs(one - terms[t]) <= 1e-12 * terms[t]);
    for (int i = 0; i < 31; i++) {
      for (int l = 0; l < DT_EXACT_SUM_LIMBS; l++) {
        assert_true(sum.limb[l] <= INT64_MAX / 2);
        sum.limb[l] *= 2;
      }
    }
    assert_true(fabs(dt_exact_sum_value(&sum) - 0x1p31 * one) <= 0x1p-50 * 0x1p31 * one);
  }
}

static void test_what_has_no_place(void **state) {
  const double refused[] = {NAN, -NAN, INFINITY, -INFINITY, 0x1p128, -0x1p128, 1e300};
  const double least[] = {0, -0.0, 0x1p-65, FLT_TRUE_MIN, -DBL_TRUE_MIN};
  const double largest = nextafter(0x1p128, 0);
  dt_exact_sum sum = {{0}}, empty = {{0}};
  for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) assert_false(dt_exact_sum_add(&sum, refused[i]));
  for (size_t i = 0; i < sizeof least / sizeof *least; i++) assert_true(dt_exact_sum_add(&sum, least[i]));
  assert_memory_equal(&sum, &empty, sizeof sum);
  assert_true(dt_exact_sum_add(&sum, largest));
  assert_true(dt_exact_sum_value(&sum) == largest);
}

/* A score counts what the sum refuses. */
static void test_score(void **state) {
  static const double losses[] = {5.6e17, 6.2e35, 1e-7, 2.5, INFINITY, NAN, 1e39};
  static const dt_sum_decl real = {.kind = DT_SUM_REAL}, counted = {.kind = DT_SUM_COUNT};
  static const dt_sum_decl histogram = {.kind = DT_SUM_HISTOGRAM, .bins = 3};
  const dt_sum loss = {.decl = &real, .word = 0}, count = {.decl = &counted, .word = DT_SUM_REAL_WORDS};
  int64_t score[DT_SUM_REAL_WORDS + 1 + 3] = {0}, *bin = score + DT_SUM_REAL_WORDS + 1;
  for (int i = 0; i < 7; i++) {
    dt_sum_add(DT_SUM_REAL, 0, score + loss.word, losses[i]);
    dt_sum_add(DT_SUM_COUNT, 0, score + count.word, i % 2 == 0);
    dt_sum_add(DT_SUM_HISTOGRAM, 3, bin, i - 1); /* -1 and 3 to 5 are no bins */
  }
  dt_sum_add(DT_SUM_HISTOGRAM, 3, bin, NAN);
  assert_true(dt_sum_value(&count, score) == 4);
  assert_int_equal(dt_sum_nonfinite(&count, score), 0);
  assert_int_equal(dt_sum_nonfinite(&loss, score), 3);
  assert_true(fabs(dt_sum_value(&loss, score) - 6.2e35) <= 1e-15 * 6.2e35);
  for (int i = 0; i < 3; i++) assert_int_equal(bin[i], 1);
  assert_int_equal(dt_sum_words(&real) + dt_sum_words(&counted) + dt_sum_words(&histogram), sizeof score / sizeof *score);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_every_bit),         cmocka_unit_test(test_signs),
      cmocka_unit_test(test_any_dealing),       cmocka_unit_test(test_many),
      cmocka_unit_test(test_what_has_no_place), cmocka_unit_test(test_score),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

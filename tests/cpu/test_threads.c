/* The thread pool: every index once, by a thread that exists, spinning or asleep, with more threads than cores. */
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "cpu/cpu.h"
#include "support/unit.h"

enum { INDICES = 1000, MAX_THREADS = 8 };

typedef struct tally {
  _Atomic int runs[INDICES];
  _Atomic int bad_thread;
  int threads;
} tally;

/* Takes long enough for the threads to meet. */
static void count_index(void *context, int index, int thread) {
  tally *t = context;
  for (volatile int i = 0; i < 300; i++) continue;
  atomic_fetch_add(&t->runs[index], 1);
  if (thread < 0 || thread >= t->threads) atomic_store(&t->bad_thread, 1);
}

static void check_counts(dt_threads *pool, int count) {
  static tally t;
  memset(&t, 0, sizeof t);
  t.threads = dt_threads_count(pool);
  dt_threads_run(pool, count, count_index, &t);
  for (int i = 0; i < INDICES; i++) assert_int_equal(t.runs[i], i < count ? 1 : 0);
  assert_int_equal(t.bad_thread, 0);
}

static void test_every_index_once(void **state) {
  for (int threads = 1; threads <= MAX_THREADS; threads++) {
    for (int spin = 0; spin < 2; spin++) {
      dt_threads *pool = NULL;
      assert_int_equal(dt_threads_create(threads, spin, &pool), DT_OK);
      const int counts[] = {0, 1, 2, 3, 7, 64, INDICES};
      for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 7; i++) check_counts(pool, counts[i]);
      }
      dt_threads_destroy(&pool);
      assert_null(pool);
    }
  }
}

/* Unsynchronised sums: what a task wrote must be seen by the caller and by the next run. */
typedef struct chain {
  int64_t value[64];
} chain;

static void add_neighbour(void *context, int index, int thread) {
  chain *c = context;
  c->value[index] += index;
}

static void test_results_are_visible(void **state) {
  dt_threads *pool = NULL;
  assert_int_equal(dt_threads_create(3, true, &pool), DT_OK);
  chain c = {{0}};
  for (int round = 0; round < 5000; round++) dt_threads_run(pool, 64, add_neighbour, &c);
  for (int i = 0; i < 64; i++) assert_int_equal(c.value[i], 5000 * i);
  dt_threads_destroy(&pool);
}

/* Workers that have gone to sleep wake up for the next run. */
static void test_wakes_after_sleep(void **state) {
  dt_threads *pool = NULL;
  assert_int_equal(dt_threads_create(2, true, &pool), DT_OK);
  for (int round = 0; round < 5; round++) {
    usleep(5000);
    check_counts(pool, 64);
  }
  dt_threads_destroy(&pool);
}

static void do_nothing(void *context, int index, int thread) {
}

/* A worker that wakes late, while the pool is already being destroyed, must still see that it is to stop. */
static void test_destroy_while_waking(void **state) {
  for (int round = 0; round < 20000; round++) {
    dt_threads *pool = NULL;
    assert_int_equal(dt_threads_create(3, false, &pool), DT_OK);
    dt_threads_run(pool, 2, do_nothing, NULL);
    dt_threads_destroy(&pool);
  }
}

static void test_refuses_no_threads(void **state) {
  dt_threads *pool = NULL;
  assert_int_equal(dt_threads_create(0, true, &pool), DT_USAGE);
  assert_null(pool);
  dt_error_clear();
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_every_index_once),   cmocka_unit_test(test_results_are_visible),
      cmocka_unit_test(test_wakes_after_sleep),  cmocka_unit_test(test_destroy_while_waking),
      cmocka_unit_test(test_refuses_no_threads),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

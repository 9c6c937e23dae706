/* What a rank may count as its cores, for the ways in which launchers bind ranks. */
#include "comm/cores.h"
#include "support/unit.h"

enum { RANKS = 8 };

typedef struct row {
  const char *what;
  int count;
  struct {
    int first, last; /* cores that the rank may use */
  } rank[RANKS];
  double expected[RANKS];
} row;

static const row rows[] = {
    {"alone", 1, {{0, 7}}, {8}},
    {"two, unbound", 2, {{0, 7}, {0, 7}}, {4, 4}},
    {"six, unbound, on twelve", 6, {{0, 11}, {0, 11}, {0, 11}, {0, 11}, {0, 11}, {0, 11}}, {2, 2, 2, 2, 2, 2}},
    {"three, unbound, on four", 3, {{0, 3}, {0, 3}, {0, 3}}, {4 / 3.0, 4 / 3.0, 4 / 3.0}},
    {"a core each", 4, {{0, 0}, {1, 1}, {2, 2}, {3, 3}}, {1, 1, 1, 1}},
    {"four cores each", 2, {{0, 3}, {4, 7}}, {4, 4}},
    {"two to a socket", 4, {{0, 7}, {8, 15}, {0, 7}, {8, 15}}, {4, 4, 4, 4}},
    {"three to two sockets", 3, {{0, 7}, {8, 15}, {0, 7}}, {4, 8, 4}},
    {"all on one core", 4, {{5, 5}, {5, 5}, {5, 5}, {5, 5}}, {0.25, 0.25, 0.25, 0.25}},
    {"one bound, one free", 2, {{0, 0}, {0, 3}}, {0.5, 3.5}},
    {"the last core there is", 2, {{CPU_SETSIZE - 1, CPU_SETSIZE - 1}, {0, CPU_SETSIZE - 2}}, {1, CPU_SETSIZE - 1}},
};

static void test_shares(void **state) {
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    cpu_set_t mask[RANKS];
    for (int r = 0; r < rows[i].count; r++) {
      CPU_ZERO(&mask[r]);
      for (int core = rows[i].rank[r].first; core <= rows[i].rank[r].last; core++) CPU_SET(core, &mask[r]);
    }
    for (int r = 0; r < rows[i].count; r++) {
      const double share = dt_cores_share(mask, rows[i].count, r);
      if (share != rows[i].expected[r])
        fail_msg("%s: rank %d has %g cores, expected %g", rows[i].what, r, share, rows[i].expected[r]);
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_shares)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}

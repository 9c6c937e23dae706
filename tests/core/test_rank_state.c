/* A rank goes from state to state as core/rank_state.h draws it, and no other way. */
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/rank_state.h"
#include "support/unit.h"

enum { STATES = DT_RANK_STRANDED + 1 };
static const char initials[] = "TDHS"; /* of the states, in order */

/* In a process of its own, which a step that there is not ends. */
static bool leads(dt_rank_state from, dt_rank_state to) {
  int status = 0;
  fflush(NULL);
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    if (freopen("/dev/null", "w", stderr) == NULL) _exit(1);
    dt_rank_state state = from;
    dt_rank_enter(&state, to);
    _exit(state == to ? 0 : 1);
  }
  assert_int_equal(waitpid(child, &status, 0), child);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void only_drawn_steps_are_taken(void **context) {
  char found[64] = "";
  for (int from = 0; from < STATES; from++) {
    for (int to = 0; to < STATES; to++) {
      const char step[] = {initials[from], initials[to], ' ', '\0'};
      if (leads((dt_rank_state)from, (dt_rank_state)to)) strcat(found, step);
    }
  }
  assert_string_equal(found, "TT TD TH TS DT DD DH HH HS SS ");
}

static void a_late_hang_fails_what_went_well(void **context) {
  assert_int_equal(dt_rank_status(DT_RANK_TOGETHER, DT_OK), DT_OK);
  assert_int_equal(dt_rank_status(DT_RANK_HUNG, DT_OK), DT_PEER);
  assert_int_equal(dt_rank_status(DT_RANK_HUNG, DT_IO), DT_IO);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(only_drawn_steps_are_taken),
      cmocka_unit_test(a_late_hang_fails_what_went_well),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

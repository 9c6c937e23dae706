/* The library as a C program meets it: silent unless it is asked. */
#include "dtrain.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/files.h"
#include "support/folders.h"
#include "support/unit.h"

enum { PATH_ROOM = DT_TEST_PATH + 64 };

static char dir[DT_TEST_PATH];
static int saved[2];

static const char config_text[] =
    "name: net\ndevice: cpu\nthreads: 1\n"
    "data: {train: {synthetic: {shape: [1, 4, 4], classes: 3, samples: 40}},\n"
    "       eval: {synthetic: {shape: [1, 4, 4], classes: 3, samples: 20}}}\n"
    "model: {input: [1, 4, 4], layers: [flatten, {linear: 3}]}\n"
    "train: {global_batch: 8, shards: 2, epochs: 2}\nschedule: {lr: 0.1}\nlog: {every: 1 steps, terminal: 1 steps}\n";

static const char *path_in(const char *name, char path[PATH_ROOM]) {
  snprintf(path, PATH_ROOM, "%s/%s", dir, name);
  return path;
}

/* Standard output and standard error go to files, which no part of a test but the library could write to. */
static int begin(void **state) {
  char path[PATH_ROOM];
  static const char *const names[] = {"stdout", "stderr"};
  if (dt_test_dir_create(dir) != 0) return -1;
  FILE *config = fopen(path_in("net.yaml", path), "w");
  fputs(config_text, config);
  fclose(config);
  fflush(NULL);
  for (int i = 0; i < 2; i++) {
    saved[i] = dup(STDOUT_FILENO + i);
    int fd = open(path_in(names[i], path), O_RDWR | O_CREAT | O_TRUNC, 0600);
    dup2(fd, STDOUT_FILENO + i);
    close(fd);
  }
  return 0;
}

static int end(void **state) {
  fflush(NULL);
  for (int i = 0; i < 2; i++) {
    dup2(saved[i], STDOUT_FILENO + i);
    close(saved[i]);
  }
  dt_test_tree_remove(dir);
  return 0;
}

static long bytes_of(const char *name) {
  char path[PATH_ROOM];
  struct stat info;
  fflush(NULL);
  return stat(path_in(name, path), &info) == 0 ? (long)info.st_size : -1;
}

typedef struct heard {
  int count[DTRAIN_DETAIL + 1];
  bool epoch, summary;
} heard;

static void listen(void *context, dtrain_level level, const char *line) {
  heard *h = context;
  h->count[level]++;
  h->epoch |= strstr(line, "train loss") != NULL;
  h->summary |= strncmp(line, "time: ", 6) == 0;
}

static dtrain_session *open_session(void) {
  char path[PATH_ROOM], output[PATH_ROOM + 16];
  dtrain_session *session;
  snprintf(output, sizeof output, "output=%s/runs", dir);
  const char *sets[] = {output};
  assert_int_equal(dtrain_open(NULL, NULL, path_in("net.yaml", path), sets, 1, &session), 0);
  return session;
}

static void nothing_is_printed_unless_asked(void **state) {
  dtrain_session *session = open_session();
  dtrain_training training;
  dtrain_score score;
  char path[PATH_ROOM];
  assert_int_equal(dtrain_evaluate(session, NULL, &score), 4); /* there is no run yet: an error is no output either */
  assert_true(dtrain_error()[0] != '\0');
  assert_int_equal(dtrain_train(session, false, &training), 0);
  assert_int_equal(training.steps, 10);
  assert_string_equal(training.outcome, "finished");
  assert_int_equal(dtrain_evaluate(session, NULL, &score), 0);
  assert_int_equal(score.samples, 20);
  assert_int_equal(score.measure_count, 2);
  assert_string_equal(score.measure[0].name, "loss");
  assert_true(dtrain_value(training.measure, training.measure_count, "loss") ==
              dtrain_value(score.measure, score.measure_count, "loss"));
  assert_true(isnan(dtrain_value(score.measure, score.measure_count, "mse")));
  assert_int_equal(dtrain_train(session, false, &training), 0); /* sets the first run aside, without a word */
  assert_int_equal(bytes_of("stdout"), 0);
  assert_int_equal(bytes_of("stderr"), 0);
  assert_true(bytes_of("runs/net/log.0.txt") > 0);
  assert_int_equal(access(path_in("runs/net.1/run.json", path), F_OK), 0);
  dtrain_close(&session);
}

static void the_callback_gets_the_lines(void **state) {
  dtrain_session *session = open_session();
  dtrain_training training;
  heard info = {{0}}, detail = {{0}};
  dtrain_set_log(session, DTRAIN_INFO, listen, &info);
  assert_int_equal(dtrain_train(session, false, &training), 0);
  dtrain_set_log(session, DTRAIN_DETAIL, listen, &detail);
  assert_int_equal(dtrain_train(session, false, &training), 0);
  dtrain_set_log(session, DTRAIN_DETAIL, NULL, NULL);
  assert_int_equal(dtrain_train(session, false, &training), 0);
  assert_true(info.count[DTRAIN_INFO] >= 10 + 2 + 1); /* steps, epochs, the summary */
  assert_true(info.epoch && info.summary);
  assert_int_equal(info.count[DTRAIN_DETAIL], 0);
  assert_true(detail.count[DTRAIN_DETAIL] > 0); /* "saved ..." */
  assert_int_equal(bytes_of("stdout"), 0);
  assert_int_equal(bytes_of("stderr"), 0);
  dtrain_close(&session);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(nothing_is_printed_unless_asked, begin, end),
      cmocka_unit_test_setup_teardown(the_callback_gets_the_lines, begin, end),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The record of a run: what is left in its folder, and what is shown. */
#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "report/record.h"
#include "report/terminal.h"
#include "support/files.h"
#include "support/folders.h"
#include "support/unit.h"

enum { PATH_ROOM = DT_TEST_PATH + 128, TEXT_ROOM = 16384 };

static char dir[DT_TEST_PATH];
static dt_spec spec;
static dt_output output;

/* Each test runs with standard output in a file of its folder, which is no terminal. */
static int saved_stdout;

static int begin(void **state) {
  char path[PATH_ROOM];
  dt_error_clear();
  if (dt_test_dir_create(dir) != DT_OK) return -1;
  spec = (dt_spec){.name = "net", .output = dir, .seed = 7, .checkpoint = {.best = ""}};
  output = (dt_output){.terminal = true, .most = DT_LEVEL_INFO};
  snprintf(path, sizeof path, "%s/stdout", dir);
  fflush(stdout);
  saved_stdout = dup(STDOUT_FILENO);
  int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
  dup2(fd, STDOUT_FILENO);
  close(fd);
  unsetenv("OMPI_COMM_WORLD_RANK");
  setenv("TERM", "dumb", 1);
  return 0;
}

static int end(void **state) {
  dup2(saved_stdout, STDOUT_FILENO);
  close(saved_stdout);
  dt_test_tree_remove(dir);
  return 0;
}

static char *slurp(const char *name, char text[TEXT_ROOM]) {
  char path[PATH_ROOM];
  snprintf(path, sizeof path, "%s/%s", dir, name);
  FILE *file = fopen(path, "rb");
  if (file == NULL) fail_msg("%s is not there", path);
  text[fread(text, 1, TEXT_ROOM - 1, file)] = '\0';
  fclose(file);
  return text;
}

/* The loss, and the accuracy that goes with it. */
static const dt_goals goals = {
    .loss = {{.weight = 1}},
    .loss_count = 1,
    .measure =
        {{.name = "loss", .label = "loss", .sum = -1, .per_sample = 1},
         {.name = "accuracy", .label = "acc", .counts = "correct", .percent = true, .higher = true, .sum = 1, .per_sample = 1}},
    .measure_count = 2,
    .chief = 1,
};

static dt_status open_rank(int rank, bool resume, dt_record **out) {
  return dt_record_open(&spec, &goals, rank, resume, &output, out);
}

/* A run that stands, as after its first checkpoint. */
static dt_record *open_run(bool resume) {
  dt_record *r;
  if (open_rank(0, resume, &r) != DT_OK) fail_msg("%s", dt_error_text());
  if (dt_record_take_place(r) != DT_OK) fail_msg("%s", dt_error_text());
  dt_record_stand(r);
  return r;
}

static dt_record_step step_at(int64_t step) {
  static const char *const names[] = {"lr", "beta1"};
  static const double values[] = {0.1, 0.9};
  return (dt_record_step){.step = step,
                          .samples_seen = 64 * step,
                          .total_samples = 6400,
                          .epoch = 1,
                          .value = {1.0 / (double)step, 0.5},
                          .hyper_name = names,
                          .hyper = values,
                          .hyper_count = 2,
                          .penalised = step == 3,
                          .penalty = 0.5,
                          .grad_norm = 2,
                          .samples_per_second = 12345,
                          .data_wait = 0.001,
                          .exposed_communication = 0.002,
                          .timing = {.ranks = 2, .slowest = 1, .step = {0.01, 0.015, 0.02}},
                          .line = true};
}

static void write_steps(dt_record *r, int64_t first, int64_t last) {
  for (int64_t i = first; i <= last; i++) {
    dt_record_step s = step_at(i);
    assert_int_equal(dt_record_write_step(r, &s), DT_OK);
  }
}

/* ---- numbers ---- */

static void one_line_a_step_and_every_digit(void **state) {
  char text[TEXT_ROOM];
  dt_record *r = open_run(false);
  write_steps(r, 3, 3);
  dt_record_sums e = {
      .step = 3, .samples_seen = 192, .epoch = 1, .seconds = 2, .of = {.samples = 10, .value = {0.25, 0.9}, .count = {0, 9}}};
  dt_record_sums epoch = {
      .step = 3, .samples_seen = 192, .epoch = 1, .seconds = 3, .of = {.samples = 192, .value = {0.75, 0.5}, .count = {0, 96}}};
  assert_int_equal(dt_record_write_epoch(r, &epoch), DT_OK);
  assert_int_equal(dt_record_write_eval(r, &e), DT_OK);
  dt_record_close(&r);
  assert_string_equal(
      slurp("net/metrics.jsonl", text),
      "{\"kind\":\"train\",\"samples_seen\":192,\"step\":3,\"epoch\":1,\"loss\":0.33333333333333331,\"accuracy\":0.5,"
      "\"lr\":0.10000000000000001,\"beta1\":0.90000000000000002,\"penalty\":0.5,\"grad_norm\":2.0}\n"
      "{\"kind\":\"epoch\",\"samples_seen\":192,\"step\":3,\"epoch\":1,\"samples\":192,\"correct\":96,\"loss\":0.75,"
      "\"accuracy\":0.5}\n"
      "{\"kind\":\"eval\",\"samples_seen\":192,\"step\":3,\"epoch\":1,\"samples\":10,\"correct\":9,\"loss\":0.25,"
      "\"accuracy\":0.90000000000000002}\n");
  assert_non_null(strstr(slurp("net/timing.jsonl", text), "\"samples_per_second\":12345.0"));
  assert_non_null(strstr(text, "\"ranks\":{\"step\":{\"min\":0.01,\"median\":0.014999999999999999,\"max\":0.02}"));
  assert_non_null(strstr(text, "\"slowest\":1}"));
}

static void what_is_no_number_is_null(void **state) {
  char text[TEXT_ROOM];
  dt_record *r = open_run(false);
  dt_record_step s = step_at(1);
  s.value[0] = NAN;
  s.grad_norm = INFINITY;
  assert_int_equal(dt_record_write_step(r, &s), DT_OK);
  dt_record_close(&r);
  assert_non_null(strstr(slurp("net/metrics.jsonl", text), "\"loss\":null"));
  assert_non_null(strstr(text, "\"grad_norm\":null"));
}

static void resume_gives_the_lines_of_no_interruption(void **state) {
  char whole[TEXT_ROOM], again[TEXT_ROOM];
  dt_record *r = open_run(false);
  write_steps(r, 1, 9);
  dt_record_close(&r);
  slurp("net/metrics.jsonl", whole);
  /* Killed in the middle of a line, three steps after the checkpoint. */
  char path[PATH_ROOM];
  snprintf(path, sizeof path, "%s/net/metrics.jsonl", dir);
  assert_int_equal(truncate(path, (off_t)strlen(whole) - 20), 0);
  r = open_run(true);
  assert_int_equal(dt_record_truncate(r, 64 * 5), DT_OK);
  write_steps(r, 6, 9);
  dt_record_close(&r);
  assert_string_equal(slurp("net/metrics.jsonl", again), whole);
}

/* ---- folder ---- */

static void a_second_job_is_turned_away(void **state) {
  char expected[64];
  dt_record *r = open_run(false), *second = NULL;
  assert_int_equal(open_rank(0, true, &second), DT_IO);
  snprintf(expected, sizeof expected, "in use by process %ld on ", (long)getpid());
  assert_non_null(strstr(dt_error_text(), expected));
  assert_null(second);
  dt_record_close(&r);
  r = open_run(true);
  dt_record_close(&r);
}

static void an_earlier_run_is_set_aside(void **state) {
  char text[TEXT_ROOM], first[TEXT_ROOM];
  dt_record *r = open_run(false);
  write_steps(r, 1, 2);
  dt_record_close(&r);
  slurp("net/metrics.jsonl", first);
  for (int i = 0; i < 2; i++) {
    r = open_run(false);
    write_steps(r, 5, 5);
    dt_record_close(&r);
  }
  assert_string_equal(slurp("net.1/metrics.jsonl", text), first);
  assert_non_null(strstr(slurp("net.2/metrics.jsonl", text), "\"step\":5"));
  assert_non_null(strstr(slurp("net/metrics.jsonl", text), "\"step\":5"));
  assert_non_null(strstr(slurp("stdout", text), "held an earlier run"));
}

/* A start that fails before its first checkpoint leaves the earlier run under its own name, and nothing of its own. */
static void a_start_that_fails_displaces_nothing(void **state) {
  char text[TEXT_ROOM], first[TEXT_ROOM], path[PATH_ROOM];
  dt_record *r;
  struct stat info;
  assert_int_equal(open_rank(0, false, &r), DT_OK);
  dt_record_close(&r);
  snprintf(path, sizeof path, "%s/net", dir);
  assert_int_equal(lstat(path, &info), -1); /* there was no earlier run, and there is none now */
  r = open_run(false);
  write_steps(r, 1, 2);
  dt_record_close(&r);
  slurp("net/metrics.jsonl", first);
  assert_int_equal(open_rank(0, false, &r), DT_OK);
  write_steps(r, 5, 5);
  snprintf(path, sizeof path, "%s/ckpt", dt_record_work(r));
  assert_int_equal(mkdir(path, 0700), 0);
  assert_string_equal(slurp("net/metrics.jsonl", text), first);
  dt_record_close(&r);
  assert_string_equal(slurp("net/metrics.jsonl", text), first);
  assert_int_equal(dt_test_dir_count(dir), 2); /* net, and this test's stdout */
  /* Another rank fails when the run is in its place already. */
  assert_int_equal(open_rank(0, false, &r), DT_OK);
  write_steps(r, 5, 5);
  assert_int_equal(dt_record_take_place(r), DT_OK);
  assert_string_equal(slurp("net.1/metrics.jsonl", text), first);
  assert_non_null(strstr(slurp("net/metrics.jsonl", text), "\"step\":5"));
  dt_record_close(&r);
  assert_string_equal(slurp("net/metrics.jsonl", text), first);
  assert_int_equal(dt_test_dir_count(dir), 2);
  assert_null(strstr(slurp("stdout", text), "held an earlier run")); /* which it does not any more */
}

/* A start that is killed leaves its folder: without a checkpoint it goes, and with one it is kept aside. */
static void a_start_that_was_killed_loses_nothing(void **state) {
  char text[TEXT_ROOM], path[PATH_ROOM];
  dt_record *r = open_run(false);
  write_steps(r, 1, 2);
  dt_record_close(&r);
  for (int checkpoint = 0; checkpoint < 2; checkpoint++) {
    pid_t child = fork();
    if (child == 0) {
      if (open_rank(0, false, &r) != DT_OK) _exit(1);
      snprintf(path, sizeof path, "%s/ckpt", dt_record_work(r));
      if (checkpoint) mkdir(path, 0700);
      kill(getpid(), SIGKILL);
    }
    waitpid(child, NULL, 0);
    assert_int_equal(dt_test_dir_count(dir), 3); /* net, .net.new, stdout */
    assert_non_null(strstr(slurp("net/metrics.jsonl", text), "\"step\":2"));
    assert_int_equal(open_rank(0, false, &r), DT_OK);
    dt_record_close(&r);
    assert_int_equal(dt_test_dir_count(dir), checkpoint ? 3 : 2); /* with net.1 */
  }
}

/* ---- who hears what ---- */

static void count_line(void *context, dt_level level, const char *line) {
  ((int *)context)[level]++;
  assert_null(strchr(line, '\n'));
}

static void levels_are_heard_up_to_the_one_asked_for(void **state) {
  char text[TEXT_ROOM];
  for (int most = DT_LEVEL_WARNING; most <= DT_LEVEL_DETAIL; most++) {
    int heard[DT_LEVEL_DETAIL + 1] = {0};
    output = (dt_output){.most = (dt_level)most, .log = count_line, .context = heard};
    dt_record *r = open_run(most > DT_LEVEL_WARNING);
    dt_record_log(r, "said");
    dt_record_warn(r, "warned");
    dt_record_log_quietly(r, "noted");
    dt_record_close(&r);
    assert_int_equal(heard[DT_LEVEL_WARNING], 1);
    assert_int_equal(heard[DT_LEVEL_INFO], most >= DT_LEVEL_INFO);
    assert_int_equal(heard[DT_LEVEL_DETAIL], most >= DT_LEVEL_DETAIL);
  }
  assert_string_equal(slurp("stdout", text), ""); /* nobody asked for the terminal */
  assert_non_null(strstr(slurp("net/log.0.txt", text), "Z  noted\n"));
}

static void other_ranks_write_their_log_only(void **state) {
  char text[TEXT_ROOM];
  dt_record *r = open_run(false), *other;
  assert_int_equal(open_rank(2, false, &other), DT_OK);
  dt_record_step s = step_at(1);
  assert_int_equal(dt_record_write_step(other, &s), DT_OK);
  dt_record_log(other, "from %d", 2);
  dt_record_close(&other);
  dt_record_close(&r);
  assert_non_null(strstr(slurp("net/log.2.txt", text), "Z  from 2\n"));
  assert_string_equal(slurp("net/metrics.jsonl", text), "");
  assert_string_equal(slurp("stdout", text), "");
}

static void names_that_leave_the_folder_are_refused(void **state) {
  static const char *const names[] = {"", ".", "..", "../x", "a/b"};
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
    dt_record *r;
    spec.name = names[i];
    dt_error_clear();
    assert_int_equal(open_rank(0, false, &r), DT_USAGE);
  }
}

static void output_that_is_a_file_is_refused(void **state) {
  dt_record *r;
  char path[PATH_ROOM];
  snprintf(path, sizeof path, "%s/stdout", dir);
  spec.output = path;
  assert_int_equal(open_rank(0, false, &r), DT_IO);
  assert_non_null(strstr(dt_error_text(), "is not a directory"));
}

/* ---- run.json ---- */

static const char config_text[] =
    "name: net\nseed: 7\ndata:\n  dir: /tmp\n  train: {idx: {images: a, labels: b}}\n  eval: {idx: {images: a, labels: b}}\n"
    "model:\n  input: [1, 28, 28]\n  layers: [flatten, {linear: 10}]\n  loss: cross_entropy\n"
    "train: {global_batch: 64, shards: 4, epochs: 1}\noptimizer: sgd\nschedule: {lr: 0.1}\n";

static json_t *load_run(void) {
  char text[TEXT_ROOM];
  json_t *run = json_loads(slurp("net/run.json", text), 0, NULL);
  assert_non_null(run);
  return run;
}

static void run_json_tells_the_facts(void **state) {
  dt_config *config;
  char text[TEXT_ROOM];
  if (dt_config_parse("c.yaml", config_text, strlen(config_text), NULL, 0, &config) != DT_OK) fail_msg("%s", dt_error_text());
  const dt_record_facts facts = {.device_name = "cpu",
                                 .program_hash = 0xabc,
                                 .ranks = 4,
                                 .threads = 2,
                                 .shards = 4,
                                 .command = "dtrain train c.yaml",
                                 .mpi_library = "Open MPI"};
  for (int attempt = 0; attempt < 2; attempt++) {
    dt_record *r = open_run(attempt > 0);
    assert_int_equal(dt_record_start(r, config, &facts), DT_OK);
    const dt_record_sums evals[] = {
        {.step = 1, .samples_seen = 64, .of = {.samples = 10, .value = {0, 0.9}, .count = {0, 0}}},
        {.step = 2, .samples_seen = 128, .of = {.samples = 10, .value = {0, 0.5}, .count = {0, 0}}}};
    for (int i = 0; attempt == 0 && i < 2; i++) assert_int_equal(dt_record_write_eval(r, &evals[i]), DT_OK);
    if (attempt > 0) assert_int_equal(dt_record_truncate(r, 128), DT_OK); /* reads what was before */
    const dt_record_end end = {.outcome = attempt > 0 ? "finished" : "preempted",
                               .status = attempt > 0 ? DT_OK : DT_PREEMPTED,
                               .seconds = {.wall = 2, .training = 1}};
    assert_int_equal(dt_record_finish(r, &end), DT_OK);
    dt_record_close(&r);
  }
  json_t *run = load_run();
  assert_string_equal(json_string_value(json_object_get(run, "seed")), "7");
  assert_string_equal(json_string_value(json_object_get(run, "program_xxh3_64")), "0000000000000abc");
  assert_string_equal(json_string_value(json_object_get(run, "outcome")), "finished");
  assert_string_equal(json_string_value(json_object_get(json_object_get(run, "versions"), "mpi")), "Open MPI");
  assert_true(json_integer_value(json_object_get(json_object_get(run, "hardware"), "cores")) > 0);
  assert_true(json_is_null(json_object_get(run, "failure")));
  assert_true(json_number_value(json_object_get(json_object_get(run, "seconds"), "wall")) == 2);
  assert_int_equal(json_integer_value(json_object_get(json_object_get(run, "final_evaluation"), "step")), 2);
  assert_int_equal(json_integer_value(json_object_get(json_object_get(run, "best_evaluation"), "step")), 1);
  json_t *earlier = json_object_get(run, "earlier");
  assert_int_equal(json_array_size(earlier), 1);
  assert_int_equal(json_integer_value(json_object_get(json_array_get(earlier, 0), "exit_code")), 75);
  json_decref(run);
  dt_config *again; /* config.yaml is a config */
  slurp("net/config.yaml", text);
  assert_int_equal(dt_config_parse("again.yaml", text, strlen(text), NULL, 0, &again), DT_OK);
  dt_config_destroy(&again);
  dt_config_destroy(&config);
}

/* ---- what is shown ---- */

/* The text behind the time "2026-11-21T02:04:59Z  " that a line must begin with. */
static const char *behind_time(const char *line) {
  static const char shape[] = "dddd-dd-ddTdd:dd:ddZ  ";
  for (size_t i = 0; i < sizeof shape - 1; i++) {
    bool fits = shape[i] == 'd' ? line[i] >= '0' && line[i] <= '9' : line[i] == shape[i];
    if (!fits) fail_msg("no time before \"%s\"", line);
  }
  return line + sizeof shape - 1;
}

static void lines_with_time_where_there_is_no_terminal(void **state) {
  static const char step[] = "step 10       10.0%  epoch 1  loss 0.1000  acc 50.00%  lr 0.1  12.3k samples/s  ETA 00:00\n";
  char text[TEXT_ROOM];
  dt_record *r = open_run(false);
  write_steps(r, 10, 10);
  dt_record_log(r, "said");
  dt_record_log_quietly(r, "noted");
  dt_record_close(&r);
  const char *first = behind_time(slurp("stdout", text));
  assert_memory_equal(first, step, sizeof step - 1);
  assert_string_equal(behind_time(first + sizeof step - 1), "said\n");
  assert_null(strchr(text, '\r'));
  assert_non_null(strstr(slurp("net/log.0.txt", text), "Z  noted\n"));
  assert_non_null(strstr(text, "loss 0.1000"));
}

static void an_epoch_and_its_evaluation_are_one_line(void **state) {
  char text[TEXT_ROOM];
  dt_record_sums epoch = {.step = 9,
                          .samples_seen = 576,
                          .epoch = 3,
                          .seconds = 12.34,
                          .of = {.samples = 0, .value = {0.25, 0.875}, .count = {0, 0}}};
  dt_record_sums eval = {.step = 9, .epoch = 3, .seconds = 1, .of = {.samples = 100, .value = {0.5, 0.88}, .count = {0, 88}}};
  dt_record *r = open_run(false);
  assert_int_equal(dt_record_write_epoch(r, &epoch), DT_OK);
  assert_int_equal(dt_record_write_eval(r, &eval), DT_OK);
  dt_record_tell(r);
  dt_record_tell(r); /* nothing is told twice */
  assert_int_equal(dt_record_write_epoch(r, &epoch), DT_OK);
  dt_record_tell(r);
  assert_int_equal(dt_record_write_eval(r, &eval), DT_OK);
  dt_record_tell(r);
  dt_record_close(&r);
  const char *expected[] = {"epoch 3   train loss 0.2500 acc 87.50%  test loss 0.5000 acc 88.00% (88 of 100)  12.3 s\n",
                            "epoch 3   train loss 0.2500 acc 87.50%  12.3 s\n",
                            "epoch 3   step 9        test loss 0.5000 acc 88.00% (88 of 100)  1.0 s\n"};
  const char *at = slurp("stdout", text);
  for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
    at = behind_time(at);
    assert_memory_equal(at, expected[i], strlen(expected[i]));
    at += strlen(expected[i]);
  }
  assert_string_equal(at, "");
}

static void the_summary_has_what_there_is(void **state) {
  char text[TEXT_ROOM];
  dt_record_end end = {
      .seconds = {
          .wall = 100, .training = 80, .data_wait = 5, .exposed_communication = 15, .evaluation = 10, .checkpoints = 4}};
  dt_record *r = open_run(false);
  dt_record_summary(r, &end); /* one rank, never evaluated */
  assert_non_null(strstr(slurp("stdout", text),
                         "time: 100.0 s: compute 60% (60.0 s), data 5% (5.0 s), reduction 15% (15.0 s), "
                         "evaluation 10% (10.0 s), checkpoints 4% (4.0 s), other 6% (6.0 s)"));
  assert_null(strstr(text, "slowest"));
  assert_null(strstr(text, "best"));
  end.timing = (dt_ranks_timing){.ranks = 3, .slowest = 2, .own = {50, 60, 70}};
  dt_record_sums eval = {
      .step = 9, .samples_seen = 576, .epoch = 3, .of = {.samples = 100, .value = {0.5, 0.88}, .count = {0, 88}}};
  assert_int_equal(dt_record_write_eval(r, &eval), DT_OK);
  end.seconds = (dt_record_seconds){.wall = 100, .training = 99.4, .data_wait = 0.4, .evaluation = 0.6};
  dt_record_summary(r, &end);
  dt_record_close(&r);
  slurp("stdout", text);
  assert_non_null(strstr(text, "time: 100.0 s: compute 99% (99.0 s), evaluation 1% (0.6 s)\n"));
  assert_non_null(strstr(text, "slowest rank: 2 of 3, with 70.0 s of work of its own; the median is 60.0 s, the least 50.0 s"));
  assert_non_null(strstr(text, "best: accuracy 88.00% (88 of 100), loss 0.5000, after epoch 3, step 9"));
}

/* Runs a body in a child with standard output broken in one way, and expects it to live and to say so once in the log. */
static void broken_output(int fd, const char *expected) {
  char text[TEXT_ROOM];
  pid_t child = fork();
  if (child == 0) {
    if (fd >= 0) dup2(fd, STDOUT_FILENO);
    if (fd < 0) close(STDOUT_FILENO);
    dt_record *r;
    if (open_rank(0, false, &r) != DT_OK || dt_record_take_place(r) != DT_OK) _exit(1);
    dt_record_stand(r);
    dt_record_log(r, "one");
    dt_record_step s = step_at(1);
    if (dt_record_write_step(r, &s) != DT_OK) _exit(2);
    dt_record_close(&r);
    _exit(0);
  }
  int how;
  waitpid(child, &how, 0);
  assert_true(WIFEXITED(how) && WEXITSTATUS(how) == 0);
  char *at = strstr(slurp("net/log.0.txt", text), "standard output cannot be written: ");
  assert_non_null(at);
  assert_non_null(strstr(at, expected));
  assert_null(strstr(at + 1, "standard output cannot"));
}

static void a_full_output_does_not_end_the_run(void **state) {
  int fd = open("/dev/full", O_WRONLY);
  if (fd < 0) skip();
  broken_output(fd, "No space left");
  close(fd);
}

static void a_closed_output_does_not_end_the_run(void **state) {
  char text[TEXT_ROOM];
  broken_output(-1, "Bad file descriptor");
  assert_true(slurp("net/metrics.jsonl", text)[0] == '{');
  assert_null(strchr(strchr(text, '\n') + 1, '\n'));
}

static void a_reader_that_went_away_does_not_end_the_run(void **state) {
  int fds[2];
  assert_int_equal(pipe(fds), 0);
  close(fds[0]);
  broken_output(fds[1], "Broken pipe");
  close(fds[1]);
}

/* Columns that a text takes: escapes take none, a UTF-8 character one. */
static int columns_of(const char *text) {
  int columns = 0;
  for (; *text != '\0'; text++) {
    if (*text == '\x1b')
      text = strchr(text, 'm');
    else
      columns += ((unsigned char)*text & 0xc0) != 0x80;
  }
  return columns;
}

static void the_bar_never_wraps(void **state) {
  char text[DT_BAR_TEXT];
  const dt_progress progress[] = {
      {.samples_seen = 0, .total_samples = 100, .eta_seconds = -1, .samples_per_second = -1},
      {.samples_seen = 50,
       .total_samples = 100,
       .epoch = 3,
       .loss = "loss 0.5000",
       .metrics = "acc 87.50%",
       .samples_per_second = 12345,
       .eta_seconds = 42},
      {.samples_seen = INT64_MAX,
       .total_samples = 1,
       .epoch = INT64_MAX,
       .loss = "loss 1e+300",
       .metrics = "acc 100.00%",
       .samples_per_second = 1e300,
       .eta_seconds = 1e300},
      {.samples_seen = 1,
       .total_samples = 0,
       .loss = "loss nan",
       .metrics = "acc nan%",
       .samples_per_second = NAN,
       .eta_seconds = NAN},
  };
  for (size_t p = 0; p < sizeof progress / sizeof progress[0]; p++)
    for (int columns = 1; columns < 400; columns++)
      for (int way = 0; way < 4; way++) {
        dt_progress_print(&progress[p], columns, way & 1, way & 2, text);
        assert_true(columns_of(text) <= columns);
      }
}

static void the_bar_reads_well(void **state) {
  char text[DT_BAR_TEXT], rate[DT_SHORT_TEXT], eta[DT_SHORT_TEXT];
  const dt_progress p = {.samples_seen = 50,
                         .total_samples = 100,
                         .epoch = 3,
                         .loss = "loss 0.4123",
                         .metrics = "acc 87.65%",
                         .samples_per_second = 12345,
                         .eta_seconds = 3725};
  dt_progress_print(&p, 100, false, false, text);
  assert_string_equal(text,
                      "===============----------------  50%  epoch 3  loss 0.4123  acc 87.65%  12.3k samples/s  ETA 1:02:05");
  dt_progress_print(&p, 30, false, false, text);
  assert_string_equal(text, "======------  50%  loss 0.4123");
  dt_progress_print(&p, 4, false, false, text);
  assert_string_equal(text, " 50%");
  assert_string_equal(dt_rate_text(999.4, rate), "999");
  assert_string_equal(dt_rate_text(2.5e6, rate), "2.50M");
  assert_string_equal(dt_seconds_text(59.6, eta), "01:00");
  assert_string_equal(dt_seconds_text(NAN, eta), "--:--");
}

static void lines_stand_above_the_bar(void **state) {
  char text[TEXT_ROOM];
  dt_terminal *t;
  const dt_terminal_view view = {.line_fd = STDOUT_FILENO, .bar_fd = STDOUT_FILENO, .size_fd = -1, .width = 5};
  const dt_progress p = {.samples_seen = 1, .total_samples = 2};
  assert_int_equal(dt_terminal_create(&view, &t), DT_OK);
  dt_terminal_line(t, "before");
  dt_terminal_progress(t, &p);
  dt_terminal_progress(t, &p); /* too soon to be drawn again */
  dt_terminal_line(t, "above");
  dt_terminal_destroy(&t);
  assert_string_equal(slurp("stdout", text), "before\n\r 50%\x1b[K\r\x1b[Kabove\n\r 50%\x1b[K\r\x1b[K");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(one_line_a_step_and_every_digit, begin, end),
      cmocka_unit_test_setup_teardown(what_is_no_number_is_null, begin, end),
      cmocka_unit_test_setup_teardown(resume_gives_the_lines_of_no_interruption, begin, end),
      cmocka_unit_test_setup_teardown(a_second_job_is_turned_away, begin, end),
      cmocka_unit_test_setup_teardown(an_earlier_run_is_set_aside, begin, end),
      cmocka_unit_test_setup_teardown(other_ranks_write_their_log_only, begin, end),
      cmocka_unit_test_setup_teardown(names_that_leave_the_folder_are_refused, begin, end),
      cmocka_unit_test_setup_teardown(output_that_is_a_file_is_refused, begin, end),
      cmocka_unit_test_setup_teardown(run_json_tells_the_facts, begin, end),
      cmocka_unit_test_setup_teardown(lines_with_time_where_there_is_no_terminal, begin, end),
      cmocka_unit_test_setup_teardown(an_epoch_and_its_evaluation_are_one_line, begin, end),
      cmocka_unit_test_setup_teardown(the_summary_has_what_there_is, begin, end),
      cmocka_unit_test_setup_teardown(a_start_that_fails_displaces_nothing, begin, end),
      cmocka_unit_test_setup_teardown(a_start_that_was_killed_loses_nothing, begin, end),
      cmocka_unit_test_setup_teardown(levels_are_heard_up_to_the_one_asked_for, begin, end),
      cmocka_unit_test_setup_teardown(a_full_output_does_not_end_the_run, begin, end),
      cmocka_unit_test_setup_teardown(a_closed_output_does_not_end_the_run, begin, end),
      cmocka_unit_test_setup_teardown(a_reader_that_went_away_does_not_end_the_run, begin, end),
      cmocka_unit_test_setup_teardown(the_bar_never_wraps, begin, end),
      cmocka_unit_test_setup_teardown(the_bar_reads_well, begin, end),
      cmocka_unit_test_setup_teardown(lines_stand_above_the_bar, begin, end),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

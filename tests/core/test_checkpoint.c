/* Checkpoints: what was saved comes back, and what was changed in any bit is never used. */
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "checkpoint/parts.h"
#include "support/files.h"
#include "support/folders.h"
#include "support/unit.h"

enum { PATH_ROOM = DT_TEST_PATH + 128, FILE_ROOM = 8192 };

static char dir[DT_TEST_PATH];

/* A tiny model: an F32 matrix, an F64 vector, an F32 slot. */
typedef struct model {
  float weight[6], slot[6];
  double mean[3];
  dt_tensor_ref model[2], optimizer[1];
  dt_checkpoint_tensors tensors;
} model;

static void model_init(model *m, double value) {
  for (int i = 0; i < 6; i++) m->weight[i] = (float)(value + i), m->slot[i] = (float)(value - i);
  for (int i = 0; i < 3; i++) m->mean[i] = value / 3 + i;
  m->model[0] = (dt_tensor_ref){.name = "fc.weight", .dtype = DT_F32, .shape = {2, {2, 3}}, .data = m->weight};
  m->model[1] = (dt_tensor_ref){.name = "bn.mean", .dtype = DT_F64, .shape = {1, {3}}, .data = m->mean};
  m->optimizer[0] = (dt_tensor_ref){.name = "fc.weight.momentum", .dtype = DT_F32, .shape = {2, {2, 3}}, .data = m->slot};
  m->tensors = (dt_checkpoint_tensors){.model = m->model, .optimizer = m->optimizer, .model_count = 2, .optimizer_count = 1};
}

static int64_t best; /* samples seen by the best checkpoint, as the ones that are saved tell it */

static dt_status save_with(int64_t samples, const char *config, int keep, char *path) {
  model m;
  model_init(&m, (double)samples);
  dt_checkpoint_meta meta = {
      .samples_seen = samples,
      .step = samples / 10,
      .watch = {[DT_WATCH_BEST] = {.measure = "accuracy", .best = 0.1, .samples_seen = best, .step = 1, .waited = 7}},
      .epoch = {.samples = samples, .count = 2, .name = {"loss.correct", "loss.loss"}, .sum = {(double)(samples - 1), 1.0 / 3}},
      .train = {.samples = 600, .hash = UINT64_C(0xfedcba9876543210)},
      .eval = {.samples = samples == 120 ? 200 : 0, .hash = samples == 120 ? 7 : 0},
      .evaluation_due = samples == 120,
      .config = config,
      .fingerprint = "dtrain test"};
  return dt_checkpoint_save(dir, &meta, &m.tensors, keep, path);
}

static void save(int64_t samples) {
  char path[PATH_MAX];
  assert_int_equal(save_with(samples, "seed: 1\n", 3, path), DT_OK);
}

static void path_in(int64_t samples, const char *file, char path[PATH_ROOM]) {
  snprintf(path, PATH_ROOM, "%s/step-%010lld-samples-%012lld%s%s", dir, (long long)samples / 10, (long long)samples,
           file[0] != '\0' ? "/" : "", file);
}

static size_t read_whole(const char *path, uint8_t data[FILE_ROOM]) {
  FILE *file = fopen(path, "rb");
  assert_non_null(file);
  size_t bytes = fread(data, 1, FILE_ROOM, file);
  fclose(file);
  return bytes;
}

/* Written over, not truncated first: some file systems sync a file that was cut to nothing, which makes the sweeps slow. */
static void write_whole(const char *path, const void *data, size_t bytes) {
  int fd = open(path, O_WRONLY | O_CREAT, 0644);
  assert_true(fd >= 0);
  assert_int_equal(write(fd, data, bytes), (ssize_t)bytes);
  assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
  close(fd);
}

/* Opens dir and expects the checkpoint of so many samples; returns what was passed over (free). */
static char *expect_newest(int64_t samples) {
  dt_checkpoint *c;
  char *refused;
  dt_error_clear();
  assert_int_equal(dt_checkpoint_open(dir, &c, &refused), DT_OK);
  assert_int_equal(dt_checkpoint_get_meta(c)->samples_seen, samples);
  dt_checkpoint_close(&c);
  return refused;
}

/* The checkpoint of 20 samples is passed over for the one of 10, and the reason names folder and file. */
static void expect_refused(const char *file, const char *reason) {
  char *refused = expect_newest(10);
  if (strstr(refused, "step-0000000002-samples-000000000020: ") == NULL || strstr(refused, file) == NULL ||
      strstr(refused, reason) == NULL)
    fail_msg("\"%s\", expected %s and \"%s\"", refused, file, reason);
  free(refused);
}

static int make_dir(void **state) {
  dt_error_clear();
  return dt_test_dir_create(dir) == DT_OK ? 0 : -1;
}

static int make_two(void **state) {
  if (make_dir(state) != 0) return -1;
  save(10);
  save(20);
  return 0;
}

static int remove_dir(void **state) {
  dt_test_tree_remove(dir);
  return 0;
}

/* ---- round trip ---- */

static void gives_back_what_was_saved(void **state) {
  model m, expected;
  dt_checkpoint *c;
  char *refused, path[PATH_ROOM];
  save(120);
  model_init(&m, 0);
  model_init(&expected, 120);
  assert_int_equal(dt_checkpoint_open(dir, &c, &refused), DT_OK);
  assert_string_equal(refused, "");
  path_in(120, "", path);
  assert_string_equal(dt_checkpoint_path(c), path);
  const dt_checkpoint_meta *meta = dt_checkpoint_get_meta(c);
  assert_int_equal(meta->step, 12);
  assert_true(meta->watch[DT_WATCH_BEST].best == 0.1);
  assert_string_equal(meta->watch[DT_WATCH_BEST].measure, "accuracy");
  assert_int_equal(meta->watch[DT_WATCH_BEST].waited, 7);
  assert_string_equal(meta->watch[DT_WATCH_STOP].measure, "");
  assert_true(meta->evaluation_due);
  assert_int_equal(meta->epoch.count, 2);
  assert_string_equal(meta->epoch.name[1], "loss.loss");
  assert_true(meta->epoch.sum[1] == 1.0 / 3); /* every bit: an epoch's mean does not tell where the run stopped */
  assert_true(meta->epoch.sum[0] == 119);
  assert_int_equal(meta->epoch.samples, 120);
  assert_int_equal(meta->train.samples, 600);
  assert_true(meta->train.hash == UINT64_C(0xfedcba9876543210));
  assert_int_equal(meta->eval.samples, 200);
  assert_true(meta->eval.hash == 7);
  assert_string_equal(meta->config, "seed: 1\n");
  assert_string_equal(meta->fingerprint, "dtrain test");
  assert_int_equal(dt_checkpoint_read(c, &m.tensors), DT_OK);
  assert_memory_equal(m.weight, expected.weight, sizeof m.weight);
  assert_memory_equal(m.mean, expected.mean, sizeof m.mean);
  assert_memory_equal(m.slot, expected.slot, sizeof m.slot);
  free(refused);
  dt_checkpoint_close(&c);
}

static void converts_between_float_and_double(void **state) {
  double weight[6];
  float mean[3];
  dt_tensor_ref refs[] = {{.name = "bn.mean", .dtype = DT_F32, .shape = {1, {3}}, .data = mean},
                          {.name = "fc.weight", .dtype = DT_F64, .shape = {2, {2, 3}}, .data = weight}};
  dt_checkpoint_tensors into = {.model = refs, .model_count = 2};
  dt_checkpoint *c;
  char *refused;
  save(10);
  assert_int_equal(dt_checkpoint_open(dir, &c, &refused), DT_OK);
  assert_int_equal(dt_checkpoint_read(c, &into), DT_OK);
  for (int i = 0; i < 6; i++) assert_true(weight[i] == 10 + i);
  for (int i = 0; i < 3; i++) assert_true(mean[i] == (float)(10.0 / 3 + i));
  free(refused);
  dt_checkpoint_close(&c);
}

static void equal_state_is_equal_bytes(void **state) {
  static const char *const files[] = {"manifest.json", "model.safetensors", "optimizer.safetensors", "config.yaml"};
  uint8_t before[4][FILE_ROOM], after[FILE_ROOM];
  size_t bytes[4];
  char path[PATH_ROOM];
  save(10);
  for (int i = 0; i < 4; i++) path_in(10, files[i], path), bytes[i] = read_whole(path, before[i]);
  dt_test_tree_remove(dir);
  assert_int_equal(mkdir(dir, 0700), 0);
  save(10);
  for (int i = 0; i < 4; i++) {
    path_in(10, files[i], path);
    assert_int_equal(read_whole(path, after), bytes[i]);
    assert_memory_equal(after, before[i], bytes[i]);
  }
}

static void names_the_tensor_that_differs(void **state) {
  static const struct {
    dt_tensor_ref ref;
    const char *expected;
  } cases[] = {
      {{.name = "fc.weight", .dtype = DT_F32, .shape = {2, {3, 2}}}, "has shape [2, 3], the model's has [3, 2]"},
      {{.name = "fc.bias", .dtype = DT_F32, .shape = {1, {3}}}, "no tensor fc.bias [3]"},
      {{.name = "fc.weight", .dtype = DT_I32, .shape = {2, {2, 3}}}, "is F32, the model's is I32"},
  };
  dt_checkpoint *c;
  char *refused;
  save(10);
  assert_int_equal(dt_checkpoint_open(dir, &c, &refused), DT_OK);
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    model m;
    model_init(&m, -1);
    m.model[0] = cases[i].ref;
    m.model[0].data = m.weight;
    dt_error_clear();
    assert_int_equal(dt_checkpoint_read(c, &m.tensors), DT_CHECKPOINT);
    assert_non_null(strstr(dt_error_text(), cases[i].expected));
    assert_true(m.mean[0] == -1.0 / 3 && m.weight[0] == -1); /* nothing half read */
  }
  model fewer;
  model_init(&fewer, 0);
  fewer.tensors.model_count = 1;
  dt_error_clear();
  assert_int_equal(dt_checkpoint_read(c, &fewer.tensors), DT_CHECKPOINT);
  assert_non_null(strstr(dt_error_text(), "tensor bn.mean [3], which the model does not have"));
  free(refused);
  dt_checkpoint_close(&c);
}

/* ---- damage ---- */

static void every_bit_of_every_file_counts(void **state) {
  static const char *const files[] = {"manifest.json", "model.safetensors", "optimizer.safetensors", "config.yaml"};
  for (int f = 0; f < 4; f++) {
    uint8_t data[FILE_ROOM];
    char path[PATH_ROOM];
    path_in(20, files[f], path);
    size_t bytes = read_whole(path, data);
    for (size_t bit = 0; bit < 8 * bytes; bit++) {
      data[bit / 8] ^= (uint8_t)(1 << bit % 8);
      write_whole(path, data, bytes);
      expect_refused(files[f], "");
      data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    write_whole(path, data, bytes);
    free(expect_newest(20));
  }
}

static void every_truncation_and_growth_is_seen(void **state) {
  static const char *const files[] = {"manifest.json", "model.safetensors", "optimizer.safetensors"};
  for (int f = 0; f < 3; f++) {
    uint8_t data[FILE_ROOM];
    char path[PATH_ROOM];
    path_in(20, files[f], path);
    size_t bytes = read_whole(path, data);
    for (size_t cut = 0; cut < bytes; cut += cut < 16 ? 1 : 64) {
      write_whole(path, data, cut);
      expect_refused(files[f], "");
    }
    data[bytes] = ' ';
    write_whole(path, data, bytes + 1);
    expect_refused(files[f], "");
    write_whole(path, data, bytes);
  }
}

static void missing_files_and_wrong_kinds(void **state) {
  char path[PATH_ROOM], other[PATH_ROOM];
  path_in(20, "model.safetensors", path);
  snprintf(other, sizeof other, "%s/elsewhere", dir);
  assert_int_equal(rename(path, other), 0);
  expect_refused("model.safetensors", "No such file");
  assert_int_equal(symlink(other, path), 0);
  expect_refused("model.safetensors", "symbolic link");
  unlink(path);
  assert_int_equal(link(other, path), 0);
  expect_refused("model.safetensors", "hard links");
  unlink(path);
  assert_int_equal(mkfifo(path, 0600), 0);
  expect_refused("model.safetensors", "pipe");
  unlink(path);
  assert_int_equal(mkdir(path, 0700), 0);
  expect_refused("model.safetensors", "directory");
}

static void folders_that_are_not(void **state) {
  char path[PATH_ROOM], other[PATH_ROOM];
  path_in(20, "", path);
  snprintf(other, sizeof other, "%s/moved", dir);
  assert_int_equal(rename(path, other), 0);
  assert_int_equal(symlink(other, path), 0);
  expect_refused("step-0000000002-samples-000000000020", "symbolic link");
  unlink(path);
  write_whole(path, "x", 1);
  expect_refused("step-0000000002-samples-000000000020", "a file");
}

static void two_checkpoints_mixed(void **state) {
  uint8_t data[FILE_ROOM];
  char from[PATH_ROOM], to[PATH_ROOM];
  path_in(10, "model.safetensors", from);
  path_in(20, "model.safetensors", to);
  write_whole(to, data, read_whole(from, data));
  expect_refused("model.safetensors", "hash");
  path_in(10, "manifest.json", from);
  path_in(20, "manifest.json", to);
  write_whole(to, data, read_whole(from, data));
  expect_refused("manifest.json", "the folder's name says step 2 with 20");
}

static void all_refused_names_all(void **state) {
  dt_checkpoint *c;
  char *refused, path[PATH_ROOM];
  path_in(10, "manifest.json", path);
  write_whole(path, "", 0);
  path_in(20, "manifest.json", path);
  write_whole(path, "GGUF....", 8);
  assert_int_equal(dt_checkpoint_open(dir, &c, &refused), DT_CHECKPOINT);
  assert_non_null(strstr(dt_error_text(), "step-0000000001-samples-000000000010: manifest.json"));
  assert_non_null(strstr(dt_error_text(), "step-0000000002-samples-000000000020: manifest.json: is a GGUF file"));
  assert_null(c);
  assert_null(refused);
}

static void paths_that_hold_none(void **state) {
  dt_checkpoint *c;
  char *refused, path[PATH_ROOM];
  snprintf(path, sizeof path, "%s/step-0000000001-samples-000000000010.tmp.host.1", dir);
  assert_int_equal(mkdir(path, 0700), 0);
  assert_int_equal(dt_checkpoint_open(dir, &c, &refused), DT_CHECKPOINT);
  assert_non_null(strstr(dt_error_text(), "no complete checkpoint"));
  assert_false(dt_checkpoint_exists(dir));
  snprintf(path, sizeof path, "%s/model.pt", dir);
  write_whole(path, "PK\x03\x04....", 8);
  dt_error_clear();
  assert_int_equal(dt_checkpoint_open(path, &c, &refused), DT_CHECKPOINT);
  assert_non_null(strstr(dt_error_text(), "torch.save"));
  dt_error_clear();
  assert_int_equal(dt_checkpoint_open("/nonexistent/ckpt", &c, &refused), DT_CHECKPOINT);
  assert_non_null(strstr(dt_error_text(), "No such file"));
}

static void one_folder_is_taken_exactly(void **state) {
  dt_checkpoint *c;
  char *refused, path[PATH_ROOM];
  path_in(10, "", path);
  assert_int_equal(dt_checkpoint_open(path, &c, &refused), DT_OK);
  assert_int_equal(dt_checkpoint_get_meta(c)->samples_seen, 10);
  dt_checkpoint_close(&c);
  free(refused);
  path_in(10, "manifest.json", path);
  write_whole(path, "{}", 2);
  path_in(10, "", path);
  assert_int_equal(dt_checkpoint_open(path, &c, &refused), DT_CHECKPOINT);
  assert_true(strncmp(dt_error_text(), path, strlen(path)) == 0);
}

/* ---- saving ---- */

static void keeps_the_newest_that_verify(void **state) {
  char path[PATH_ROOM];
  for (int i = 1; i <= 4; i++) save(10 * i);
  assert_int_equal(dt_test_dir_count(dir), 3);
  /* A broken one is no reason to let a good one go. */
  path_in(40, "model.safetensors", path);
  write_whole(path, "x", 1);
  save(50);
  free(expect_newest(50));
  path_in(20, "", path);
  assert_int_equal(access(path, F_OK), 0);
  path_in(30, "", path);
  assert_int_equal(access(path, F_OK), 0);
}

/* Whoever lists the folder sees them in the order in which they were saved, however many digits a number has. */
static void names_sort_as_time(void **state) {
  static const dt_candidate in_time[] = {
      {.step = 0, .samples_seen = 0},        {.step = 9, .samples_seen = 576},
      {.step = 10, .samples_seen = 640},     {.step = 235, .samples_seen = 60000},
      {.step = 99999, .samples_seen = 6400}, {.step = 1234567890, .samples_seen = INT64_C(999999999999999999)},
  };
  char before[DT_CHECKPOINT_NAME] = "", name[DT_CHECKPOINT_NAME];
  for (size_t i = 0; i < sizeof in_time / sizeof in_time[0]; i++) {
    dt_candidate parsed;
    dt_candidate_name(in_time[i].step, in_time[i].samples_seen, name);
    assert_true(strcmp(before, name) < 0);
    assert_true(dt_candidate_parse(name, &parsed));
    assert_int_equal(parsed.step, in_time[i].step);
    assert_int_equal(parsed.samples_seen, in_time[i].samples_seen);
    assert_string_equal(parsed.name, name);
    memcpy(before, name, sizeof name);
  }
  static const char *const others[] = {"step-0000000001", "step-0000000001-samples-", "step-00000000010-samples-000000000640",
                                       "step-000000001-samples-000000000064", "step-0000000001-samples-000000000064.tmp.x.1"};
  dt_candidate parsed;
  for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) assert_false(dt_candidate_parse(others[i], &parsed));
}

static void keeps_two_whatever_is_asked(void **state) {
  char path[PATH_MAX];
  for (int i = 1; i <= 3; i++) assert_int_equal(save_with(i, "", 0, path), DT_OK);
  assert_int_equal(dt_test_dir_count(dir), 2);
}

/* The best checkpoint of those that stay, stays. */
static void the_best_is_kept_besides(void **state) {
  char path[PATH_MAX], manifest[PATH_ROOM];
  struct stat info;
  for (int i = 1; i <= 7; i++) {
    best = i < 2 ? 0 : i < 6 ? 20 : 60;
    assert_int_equal(save_with(10 * i, "", 2, path), DT_OK);
    assert_int_equal(dt_test_dir_count(dir), i < 4 ? (i < 3 ? i : 2) : i < 6 ? 3 : i == 6 ? 3 : 2);
    path_in(20, "manifest.json", manifest);
    if (i >= 2 && i <= 6) assert_int_equal(stat(manifest, &info), 0);
  }
  assert_int_not_equal(stat(manifest, &info), 0); /* 60 and 70 know a better one */
  best = 0;
}

static void saving_again_keeps_or_replaces(void **state) {
  char path[PATH_MAX], manifest[PATH_ROOM];
  struct stat before, after;
  path_in(20, "manifest.json", manifest);
  assert_int_equal(stat(manifest, &before), 0);
  save(20);
  assert_int_equal(stat(manifest, &after), 0);
  assert_true(before.st_ino == after.st_ino);
  assert_int_equal(save_with(20, "seed: 2\n", 3, path), DT_OK);
  assert_int_equal(stat(manifest, &after), 0);
  assert_true(before.st_ino != after.st_ino);
  write_whole(manifest, "broken", 6);
  save(20);
  free(expect_newest(20));
  path_in(20, "", manifest);
  dt_test_tree_remove(manifest);
  write_whole(manifest, "a file", 6);
  save(20);
  free(expect_newest(20));
  assert_int_equal(dt_test_dir_count(dir), 2);
}

static void dead_writers_leave_nothing(void **state) {
  static const char *const stale[] = {"step-0000000003-samples-000000000030.tmp.elsewhere.1",
                                      "step-0000000004-samples-000000000040.tmp.host.999999999"};
  char path[PATH_ROOM];
  for (int i = 0; i < 2; i++) {
    snprintf(path, sizeof path, "%s/%s", dir, stale[i]);
    assert_int_equal(mkdir(path, 0700), 0);
    strcat(path, "/model.safetensors");
    write_whole(path, "half", 4);
  }
  save(50);
  assert_int_equal(dt_test_dir_count(dir), 3);
}

/* The file system refuses the write at every size in turn, as a full disk would. */
static void failed_writes_change_nothing(void **state) {
  struct rlimit old, limit;
  char path[PATH_MAX];
  assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
  signal(SIGXFSZ, SIG_IGN);
  for (rlim_t size = 0; size < 1500; size += 19) {
    limit = (struct rlimit){.rlim_cur = size, .rlim_max = old.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
    dt_error_clear();
    dt_status status = save_with(30, "seed: 1\n", 3, path);
    setrlimit(RLIMIT_FSIZE, &old);
    if (status == DT_OK) break;
    assert_int_equal(status, DT_IO);
    assert_non_null(strstr(dt_error_text(), "File too large"));
    assert_non_null(strstr(dt_error_text(), "step-0000000003-samples-000000000030"));
    assert_int_equal(dt_test_dir_count(dir), 2);
    free(expect_newest(20));
    assert_true(size < 1400);
  }
}

static void not_a_directory_is_said(void **state) {
  char path[PATH_MAX], file[DT_TEST_PATH + 16];
  model m;
  model_init(&m, 0);
  dt_checkpoint_meta meta = {.config = "", .fingerprint = ""};
  snprintf(file, sizeof file, "%s/file", dir);
  write_whole(file, "", 0);
  assert_int_equal(dt_checkpoint_save(file, &meta, &m.tensors, 2, path), DT_IO);
  assert_non_null(strstr(dt_error_text(), "not a directory"));
  meta.watch[DT_WATCH_BEST] = (dt_watch){.measure = "accuracy", .best = NAN};
  dt_error_clear();
  assert_int_equal(dt_checkpoint_save(dir, &meta, &m.tensors, 2, path), DT_INTERNAL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(gives_back_what_was_saved, make_dir, remove_dir),
      cmocka_unit_test_setup_teardown(converts_between_float_and_double, make_dir, remove_dir),
      cmocka_unit_test_setup_teardown(equal_state_is_equal_bytes, make_dir, remove_dir),
      cmocka_unit_test_setup_teardown(names_the_tensor_that_differs, make_dir, remove_dir),
      cmocka_unit_test_setup_teardown(every_bit_of_every_file_counts, make_two, remove_dir),
      cmocka_unit_test_setup_teardown(every_truncation_and_growth_is_seen, make_two, remove_dir),
      cmocka_unit_test_setup_teardown(missing_files_and_wrong_kinds, make_two, remove_dir),
      cmocka_unit_test_setup_teardown(folders_that_are_not, make_two, remove_dir),
      cmocka_unit_test_setup_teardown(two_checkpoints_mixed, make_two, remove_dir),
      cmocka_unit_test_setup_teardown(all_refused_names_all, make_two, remove_dir),
      cmocka_unit_test_setup_teardown(paths_that_hold_none, make_dir, remove_dir),
      cmocka_unit_test_setup_teardown(one_folder_is_taken_exactly, make_two, remove_dir),
      cmocka_unit_test_setup_teardown(keeps_the_newest_that_verify, make_dir, remove_dir),
      cmocka_unit_test(names_sort_as_time),
      cmocka_unit_test_setup_teardown(keeps_two_whatever_is_asked, make_dir, remove_dir),
      cmocka_unit_test_setup_teardown(the_best_is_kept_besides, make_dir, remove_dir),
      cmocka_unit_test_setup_teardown(saving_again_keeps_or_replaces, make_two, remove_dir),
      cmocka_unit_test_setup_teardown(dead_writers_leave_nothing, make_two, remove_dir),
      cmocka_unit_test_setup_teardown(failed_writes_change_nothing, make_two, remove_dir),
      cmocka_unit_test_setup_teardown(not_a_directory_is_said, make_dir, remove_dir),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

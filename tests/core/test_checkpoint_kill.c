/* Kills a process that saves without pause, again and again: whatever it has said to be saved must load. The same trial on a
 * writer that overwrites in place must fail, or this test could not. */
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "checkpoint/parts.h"
#include "support/files.h"
#include "support/folders.h"
#include "support/unit.h"

enum { KILLS = 100, KILLS_NAIVE = 200, VALUES = 4096, LIFE_SAVES = 4, LIFE_MOST_US = 60000 };

static char dir[DT_TEST_PATH];
static float values[VALUES];
static dt_tensor_ref refs[1] = {{.name = "w", .dtype = DT_F32, .shape = {1, {VALUES}}, .data = values}};
static dt_checkpoint_tensors tensors = {.model = refs, .model_count = 1};

typedef dt_status writer(int64_t samples);

static dt_checkpoint_meta meta_of(int64_t samples) {
  for (int i = 0; i < VALUES; i++) values[i] = (float)samples;
  return (dt_checkpoint_meta){.samples_seen = samples, .step = samples, .config = "", .fingerprint = ""};
}

static dt_status write_well(int64_t samples) {
  char path[PATH_MAX];
  dt_checkpoint_meta meta = meta_of(samples);
  return dt_checkpoint_save(dir, &meta, &tensors, 2, path);
}

static dt_status put_text(int fd, const char *name, const char *text, dt_file_sum *sum) {
  dt_file_writer w;
  unlinkat(fd, name, 0);
  DT_TRY(dt_file_create(fd, name, &w));
  DT_TRY(dt_file_append(&w, text, strlen(text)));
  return dt_file_commit(&w, sum);
}

/* One folder, each file overwritten where it stands: what most programs do. */
static dt_status write_in_place(int64_t samples) {
  char path[PATH_MAX], *text;
  dt_file_sum sum;
  meta_of(samples);
  dt_manifest manifest = {.samples_seen = samples, .step = samples, .fingerprint = ""};
  snprintf(path, sizeof path, "%s/latest", dir);
  mkdir(path, 0700);
  int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  unlinkat(fd, dt_part_file[DT_PART_MODEL], 0);
  unlinkat(fd, dt_part_file[DT_PART_OPTIMIZER], 0);
  DT_TRY(dt_safetensors_write_sum(fd, dt_part_file[DT_PART_MODEL], refs, 1, &manifest.part[DT_PART_MODEL]));
  DT_TRY(dt_safetensors_write_sum(fd, dt_part_file[DT_PART_OPTIMIZER], NULL, 0, &manifest.part[DT_PART_OPTIMIZER]));
  DT_TRY(put_text(fd, dt_part_file[DT_PART_CONFIG], "", &manifest.part[DT_PART_CONFIG]));
  DT_TRY(dt_manifest_print(&manifest, &text));
  DT_TRY(put_text(fd, dt_manifest_file, text, &sum));
  free(text);
  close(fd);
  return DT_OK;
}

/* The child: saves from `first` on and says each number once it is safe. */
static void save_forever(writer *write_one, int64_t first, int pipe_fd) {
  for (int64_t samples = first;; samples++) {
    if (write_one(samples) != DT_OK) _exit(1);
    if (write(pipe_fd, &samples, sizeof samples) != (ssize_t)sizeof samples) _exit(1);
  }
}

/* Starts a writer, kills it after so many microseconds, and gives the last number that it called safe; -1 when the child ended
 * by itself. */
static int64_t run_and_kill(writer *write_one, int64_t last, unsigned delay_us) {
  int fds[2], how;
  assert_int_equal(pipe(fds), 0);
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) save_forever(write_one, last + 1, fds[1]);
  close(fds[1]);
  struct timespec pause = {.tv_nsec = (long)delay_us * 1000};
  nanosleep(&pause, NULL);
  kill(child, SIGKILL);
  waitpid(child, &how, 0);
  for (int64_t said; read(fds[0], &said, sizeof said) == (ssize_t)sizeof said;) last = said;
  close(fds[0]);
  return WIFSIGNALED(how) ? last : -1;
}

/* Whether a checkpoint at least as new as `last` loads, and holds what its number says. */
static bool loads(const char *path, int64_t last, int64_t *out_samples) {
  static float got[VALUES];
  dt_tensor_ref into[] = {{.name = "w", .dtype = DT_F32, .shape = {1, {VALUES}}, .data = got}};
  dt_checkpoint_tensors place = {.model = into, .model_count = 1};
  dt_checkpoint *c;
  char *refused;
  dt_error_clear();
  if (dt_checkpoint_open(path, &c, &refused) != DT_OK) return false;
  int64_t samples = dt_checkpoint_get_meta(c)->samples_seen;
  bool good = samples >= last && dt_checkpoint_read(c, &place) == DT_OK && refused[0] == '\0';
  for (int i = 0; good && i < VALUES; i++) good = got[i] == (float)samples;
  free(refused);
  dt_checkpoint_close(&c);
  *out_samples = samples;
  return good;
}

static unsigned microseconds_of_one(writer *write_one) {
  struct timespec begin, end;
  clock_gettime(CLOCK_MONOTONIC, &begin);
  assert_int_equal(write_one(1), DT_OK);
  clock_gettime(CLOCK_MONOTONIC, &end);
  return (unsigned)((end.tv_sec - begin.tv_sec) * 1000000 + (end.tv_nsec - begin.tv_nsec) / 1000);
}

/* Kills so often, or until a checkpoint is lost, each time within the first few saves of a child; the number of kills
 * survived, and how far the numbers came. */
static int survive(writer *write_one, const char *path, int kills, int64_t *out_last) {
  unsigned random = 20240607, life = LIFE_SAVES * microseconds_of_one(write_one);
  if (life > LIFE_MOST_US) life = LIFE_MOST_US;
  *out_last = 1;
  for (int i = 0; i < kills; i++) {
    int64_t said = run_and_kill(write_one, *out_last, 200 + (unsigned)rand_r(&random) % life);
    assert_true(said >= *out_last);
    if (!loads(path, said, out_last)) return i;
  }
  return kills;
}

static void nothing_committed_is_ever_lost(void **state) {
  int64_t last;
  assert_int_equal(survive(write_well, dir, KILLS, &last), KILLS);
  assert_true(last > 1); /* it did save between the kills */
  /* What the kills left lying about goes with the next save. */
  assert_int_equal(write_well(1000000), DT_OK);
  assert_int_equal(dt_test_dir_count(dir), 2);
}

static void overwriting_in_place_is_caught(void **state) {
  char path[DT_TEST_PATH + 16];
  int64_t last;
  snprintf(path, sizeof path, "%s/latest", dir);
  assert_true(survive(write_in_place, path, KILLS_NAIVE, &last) < KILLS_NAIVE);
}

static int make_dir(void **state) {
  dt_error_clear();
  return dt_test_dir_create(dir) == DT_OK ? 0 : -1;
}

static int remove_dir(void **state) {
  dt_test_tree_remove(dir);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(nothing_committed_is_ever_lost, make_dir, remove_dir),
      cmocka_unit_test_setup_teardown(overwriting_in_place_is_caught, make_dir, remove_dir),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Writing a checkpoint.
 *
 * Invariants
 * 1. Everything is written under <name>.tmp.<host>.<pid>; the rename of the whole, synced folder is the commit point.
 * 2. Nothing older is touched before the new folder is committed and its parent synced; a failure removes only the new one.
 * 3. A folder goes only when `keep` newer ones have just been read and verified, and none of them names it as its best; it
 * first loses its name, so that a kill in the middle leaves no half of it behind under a name that loads.
 *
 * States: CLEAN (temporary folders of dead writers go) -> WRITE -> COMMIT -> RETAIN. The caller holds the run directory's
 * lock: there is one writer. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "checkpoint/parts.h"

enum { KEEP_LEAST = 2, HOST = 80, NAME = 256 };
static const char temporary_mark[] = ".tmp.";

/* One save on its way. */
typedef struct save {
  int dir_fd;
  char name[DT_CHECKPOINT_NAME]; /* of the finished folder */
  char temporary[NAME];
  char host[HOST];
} save;

/* ---- folders ---- */

/* Host names become part of a file name. */
static void host_name(char host[HOST]) {
  if (gethostname(host, HOST) != 0) snprintf(host, HOST, "unknown");
  host[HOST - 1] = '\0';
  for (char *c = host; *c != '\0'; c++)
    if (!isalnum((unsigned char)*c) && *c != '-') *c = '_';
}

/* A writer on this host that still lives keeps its folder, should the lock not have worked on this file system. */
static bool writer_lives(const save *s, const char *mark) {
  const char *host = mark + sizeof temporary_mark - 1, *dot = strrchr(host, '.');
  if (dot == NULL || (size_t)(dot - host) != strlen(s->host) || strncmp(host, s->host, (size_t)(dot - host)) != 0) return false;
  char *end;
  long pid = strtol(dot + 1, &end, 10);
  if (*end != '\0' || pid <= 0 || pid == getpid()) return false;
  return kill((pid_t)pid, 0) == 0 || errno == EPERM;
}

static bool is_stale(const save *s, const char *name) {
  const char *mark = strstr(name, temporary_mark);
  char head[DT_CHECKPOINT_NAME];
  dt_candidate candidate;
  if (mark == NULL || (size_t)(mark - name) >= sizeof head) return false;
  snprintf(head, sizeof head, "%.*s", (int)(mark - name), name);
  return dt_candidate_parse(head, &candidate) && !writer_lives(s, mark);
}

static void remove_stale(const save *s) {
  int fd = openat(s->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
  if (dir == NULL) {
    if (fd >= 0) close(fd);
    return;
  }
  for (struct dirent *item; (item = readdir(dir)) != NULL;)
    if (is_stale(s, item->d_name)) dt_dir_remove(s->dir_fd, item->d_name);
  closedir(dir);
}

/* ---- writing ---- */

static dt_status write_text(int fd, const char *name, const char *text, dt_file_sum *out) {
  dt_file_writer writer;
  DT_TRY(dt_file_create(fd, name, &writer));
  dt_status status = dt_file_append(&writer, text, strlen(text));
  if (status == DT_OK) return dt_file_commit(&writer, out);
  dt_file_abandon(&writer);
  return status;
}

static dt_status write_manifest(int fd, const dt_manifest *manifest) {
  char *text;
  dt_file_sum sum;
  DT_TRY(dt_manifest_print(manifest, &text));
  dt_status status = write_text(fd, dt_manifest_file, text, &sum);
  free(text);
  return status;
}

static dt_status write_parts(int fd, const dt_checkpoint_meta *meta, const dt_checkpoint_tensors *tensors, dt_manifest *out) {
  *out = (dt_manifest){
      .samples_seen = meta->samples_seen,
      .step = meta->step,
      .epoch = meta->epoch,
      .train = meta->train,
      .eval = meta->eval,
      .evaluation_due = meta->evaluation_due,
      .fingerprint = (char *)meta->fingerprint,
  };
  memcpy(out->watch, meta->watch, sizeof out->watch);
  DT_TRY(dt_safetensors_write_sum(fd, dt_part_file[DT_PART_MODEL], tensors->model, tensors->model_count,
                                  &out->part[DT_PART_MODEL]));
  DT_TRY(dt_safetensors_write_sum(fd, dt_part_file[DT_PART_OPTIMIZER], tensors->optimizer, tensors->optimizer_count,
                                  &out->part[DT_PART_OPTIMIZER]));
  DT_TRY(write_text(fd, dt_part_file[DT_PART_CONFIG], meta->config, &out->part[DT_PART_CONFIG]));
  return write_manifest(fd, out);
}

/* Afterwards the temporary folder is complete and on disk. Its mode follows the umask, as everything of a run does: whoever may
 * read a run's record may score its checkpoints. */
static dt_status write_folder(const save *s, const dt_checkpoint_meta *meta, const dt_checkpoint_tensors *tensors,
                              dt_manifest *out) {
  int fd;
  DT_REQUIRE(mkdirat(s->dir_fd, s->temporary, 0777) == 0, DT_IO, "could not make %s: %s", s->temporary, strerror(errno));
  DT_TRY(dt_candidate_open(s->dir_fd, s->temporary, &fd));
  dt_status status = write_parts(fd, meta, tensors, out);
  if (status == DT_OK) status = dt_dir_sync(fd, s->temporary);
  close(fd);
  return status;
}

/* ---- committing ---- */

/* Whether the folder that already has the final name verifies and holds the same state. */
static bool holds_same(const save *s, const dt_manifest *manifest) {
  int fd;
  dt_manifest there = {0};
  const dt_candidate named = {.step = manifest->step, .samples_seen = manifest->samples_seen};
  dt_status status = dt_candidate_open(s->dir_fd, s->name, &fd);
  if (status == DT_OK) {
    status = dt_manifest_check(fd, &named, &there);
    close(fd);
  }
  bool same = status == DT_OK && dt_manifest_same_state(&there, manifest);
  if (status != DT_OK) dt_error_clear();
  dt_manifest_clear(&there);
  return same;
}

/* Puts the new folder in the place of another one: both change names at once, and the other goes under the temporary name. */
static dt_status replace(const save *s) {
  if (renameat2(s->dir_fd, s->temporary, s->dir_fd, s->name, RENAME_EXCHANGE) != 0) {
    /* A file system without exchange: the older checkpoints and the complete temporary folder cover the moment between. */
    char aside[NAME + 8];
    snprintf(aside, sizeof aside, "%s.old", s->temporary);
    DT_REQUIRE(renameat(s->dir_fd, s->name, s->dir_fd, aside) == 0, DT_IO, "could not move the older one away: %s",
               strerror(errno));
    DT_REQUIRE(renameat(s->dir_fd, s->temporary, s->dir_fd, s->name) == 0, DT_IO, "could not rename: %s", strerror(errno));
    DT_TRY(dt_dir_sync(s->dir_fd, "."));
    dt_dir_remove(s->dir_fd, aside);
    return DT_OK;
  }
  DT_TRY(dt_dir_sync(s->dir_fd, "."));
  dt_dir_remove(s->dir_fd, s->temporary);
  return DT_OK;
}

/* RENAME_NOREPLACE is not asked for: rename never replaces a folder that holds something. */
static dt_status commit(const save *s, const dt_manifest *manifest) {
  if (renameat(s->dir_fd, s->temporary, s->dir_fd, s->name) == 0) return dt_dir_sync(s->dir_fd, ".");
  DT_REQUIRE(errno == ENOTEMPTY || errno == EEXIST || errno == ENOTDIR, DT_IO, "could not rename %s: %s", s->temporary,
             strerror(errno));
  if (!holds_same(s, manifest)) return replace(s);
  dt_dir_remove(s->dir_fd, s->temporary);
  return DT_OK;
}

/* ---- retaining ---- */

/* *out_best: the samples seen by its best checkpoint; -1 = it names none. */
static bool verifies(const save *s, const dt_candidate *candidate, int64_t *out_best) {
  int fd;
  dt_manifest manifest = {0};
  dt_status status = dt_candidate_open(s->dir_fd, candidate->name, &fd);
  if (status == DT_OK) {
    status = dt_manifest_check(fd, candidate, &manifest);
    close(fd);
  }
  const dt_watch *best = &manifest.watch[DT_WATCH_BEST];
  *out_best = best->measure[0] != '\0' ? best->samples_seen : -1;
  dt_manifest_clear(&manifest);
  if (status != DT_OK) dt_error_clear();
  return status == DT_OK;
}

/* Takes the name first: what a kill leaves behind is a temporary folder of a dead writer. */
static void remove_checkpoint(const save *s, const char *name) {
  char doomed[NAME];
  snprintf(doomed, sizeof doomed, "%s%s%s.%ld", name, temporary_mark, s->host, (long)getpid());
  if (renameat(s->dir_fd, name, s->dir_fd, doomed) == 0) dt_dir_remove(s->dir_fd, doomed);
}

static bool is_among(int64_t value, const int64_t *list, int count) {
  int i = 0;
  while (i < count && list[i] != value) i++;
  return i < count;
}

/* Failing to remove an old checkpoint is no reason to stop training: it is tried again at the next save. */
static dt_status retain(const save *s, int keep) {
  dt_candidate *list;
  int64_t *best = NULL;
  int count, good = 0;
  DT_TRY(dt_candidate_list(s->dir_fd, ".", &list, &count));
  dt_status status = dt_alloc((size_t)keep, sizeof *best, &best);
  for (int i = 0; status == DT_OK && count > keep && i < count; i++) {
    if (good < keep)
      good += verifies(s, &list[i], &best[good]);
    else if (strcmp(list[i].name, s->name) != 0 && !is_among(list[i].samples_seen, best, good))
      remove_checkpoint(s, list[i].name);
  }
  free(best);
  free(list);
  return status;
}

/* ---- saving ---- */

static dt_status save_open(save *s, const char *dir, const dt_checkpoint_meta *meta) {
  DT_TRY(dt_dir_make(dir));
  s->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DT_REQUIRE(s->dir_fd >= 0, DT_IO, "could not open: %s", strerror(errno));
  host_name(s->host);
  dt_candidate_name(meta->step, meta->samples_seen, s->name);
  snprintf(s->temporary, sizeof s->temporary, "%s%s%s.%ld", s->name, temporary_mark, s->host, (long)getpid());
  return DT_OK;
}

static dt_status save_run(save *s, const dt_checkpoint_meta *meta, const dt_checkpoint_tensors *tensors, int keep) {
  dt_manifest manifest;
  remove_stale(s);
  dt_status status = write_folder(s, meta, tensors, &manifest);
  if (status == DT_OK) status = commit(s, &manifest);
  if (status == DT_OK) return retain(s, keep > KEEP_LEAST ? keep : KEEP_LEAST);
  dt_dir_remove(s->dir_fd, s->temporary);
  return status;
}

dt_status dt_checkpoint_save(const char *dir, const dt_checkpoint_meta *meta, const dt_checkpoint_tensors *tensors, int keep,
                             char *out_path) {
  save s = {.dir_fd = -1};
  char reason[1024];
  int length = snprintf(out_path, PATH_MAX, "%s/", dir);
  DT_REQUIRE(length > 0 && length + DT_CHECKPOINT_NAME < PATH_MAX, DT_IO, "%.100s...: path too long", dir);
  dt_status status = save_open(&s, dir, meta);
  if (status == DT_OK) {
    strcat(out_path, s.name);
    status = save_run(&s, meta, tensors, keep);
    close(s.dir_fd);
  }
  if (status == DT_OK) return DT_OK;
  snprintf(reason, sizeof reason, "%s", dt_error_text());
  dt_error_clear();
  DT_RAISE(status, "%s: checkpoint not written: %s", out_path, reason);
}

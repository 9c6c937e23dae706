/* The run's folder: one job at a time, and no run is ever overwritten by another.
 *
 * States of a run that is begun anew: LOCKED (the folder under its name) -> BEGUN -> IN PLACE -> STANDING. Where the folder
 * holds an earlier run, the new one is begun beside it, in .<name>.new, and takes its place in one exchange once it has saved a
 * checkpoint; the earlier run is then <name>.1, .2, .... It stands when every rank is ready: a start that fails before that
 * leaves nothing of its own, and the earlier run under its name. One that is killed may leave .<name>.new, which the next start
 * clears away, or sets aside where it holds checkpoints. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/file.h"
#include "report/record_parts.h"

enum { LOCK_TRIES = 8, ASIDE_MOST = 100000 };

const char dt_lock_file[] = "lock";

static dt_status make_path(dt_record *r) {
  const char *name = r->spec->name;
  bool plain =
      name != NULL && name[0] != '\0' && strchr(name, '/') == NULL && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
  DT_REQUIRE(plain, DT_USAGE, "name \"%s\" cannot name a folder; use letters, digits, '.', '_' or '-'",
             name != NULL ? name : "");
  int length = snprintf(r->dir, sizeof r->dir, "%s/%s", r->spec->output, name);
  DT_REQUIRE(length > 0 && (size_t)length + NAME_MAX < sizeof r->dir, DT_USAGE, "output %.100s...: path too long",
             r->spec->output);
  return DT_OK;
}

static dt_status open_dir(dt_record *r) {
  r->dir_fd = open(r->work, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DT_REQUIRE(r->dir_fd >= 0, DT_IO, "%s: could not open: %s", r->work, strerror(errno));
  return DT_OK;
}

/* Says whom to ask: the holder wrote itself into the file. */
static dt_status refuse_locked(const dt_record *r, int fd) {
  char holder[256] = "";
  ssize_t bytes = pread(fd, holder, sizeof holder - 1, 0);
  holder[bytes > 0 ? bytes : 0] = '\0';
  holder[strcspn(holder, "\n")] = '\0';
  DT_RAISE(DT_IO, "%s: in use by %s; wait for it, or give this run another name", r->dir,
           holder[0] != '\0' ? holder : "another job");
}

static dt_status write_holder(const dt_record *r, int fd) {
  char host[HOST_NAME_MAX + 1] = "unknown", since[DT_TIME_TEXT], text[512], label[PATH_MAX + 8];
  gethostname(host, sizeof host - 1);
  int length = snprintf(text, sizeof text, "process %ld on %s since %s\n", (long)getpid(), host, dt_time_text(since));
  snprintf(label, sizeof label, "%s/%s", r->dir, dt_lock_file);
  DT_REQUIRE(ftruncate(fd, 0) == 0, DT_IO, "%s: could not truncate: %s", label, strerror(errno));
  return dt_write_all(fd, label, text, (size_t)length);
}

/* Whether the locked file is still the one under the folder's path: another job may have set the folder aside in between. */
static bool lock_in_place(const dt_record *r, int fd) {
  char path[PATH_MAX + 8];
  struct stat held, there;
  snprintf(path, sizeof path, "%s/%s", r->work, dt_lock_file);
  return fstat(fd, &held) == 0 && stat(path, &there) == 0 && held.st_ino == there.st_ino && held.st_dev == there.st_dev;
}

/* Makes the folder when needed, opens it and takes its lock. */
static dt_status lock_take(dt_record *r) {
  for (int i = 0; i < LOCK_TRIES; i++) {
    struct stat info;
    const bool made = lstat(r->work, &info) != 0;
    DT_TRY(dt_dir_make(r->work));
    DT_TRY(open_dir(r));
    int fd = openat(r->dir_fd, dt_lock_file, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666);
    DT_REQUIRE(fd >= 0, DT_IO, "%s/%s: could not open: %s", r->dir, dt_lock_file, strerror(errno));
    r->lock_fd = fd;
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
      if (errno == EWOULDBLOCK) return refuse_locked(r, fd);
      DT_RAISE(DT_IO, "%s/%s: could not lock: %s", r->dir, dt_lock_file, strerror(errno));
    }
    if (lock_in_place(r, fd)) {
      r->made = made;
      return write_holder(r, fd);
    }
    close(fd);
    close(r->dir_fd);
    r->lock_fd = r->dir_fd = -1;
  }
  DT_RAISE(DT_IO, "%s: other jobs keep moving it away", r->dir);
}

static bool has(const dt_record *r, const char *name) {
  struct stat info;
  return fstatat(r->dir_fd, name, &info, AT_SYMLINK_NOFOLLOW) == 0;
}

static bool holds_run(const dt_record *r) {
  return has(r, dt_run_file) || has(r, dt_metrics_file) || has(r, "ckpt");
}

static dt_status find_free(const dt_record *r, char aside[PATH_MAX]) {
  struct stat info;
  for (int i = 1; i < ASIDE_MOST; i++) {
    snprintf(aside, PATH_MAX, "%.*s.%d", PATH_MAX - 16, r->dir, i);
    if (lstat(aside, &info) != 0 && errno == ENOENT) return DT_OK;
  }
  DT_RAISE(DT_IO, "%s: no free name to set the earlier run aside", r->dir);
}

static dt_status rename_to(const char *from, const char *to) {
  DT_REQUIRE(rename(from, to) == 0, DT_IO, "%s: could not rename to %s: %s", from, to, strerror(errno));
  return DT_OK;
}

/* What a start that was killed has left: nothing that holds a checkpoint is removed. */
static dt_status clear_leftover(const dt_record *r) {
  char path[PATH_MAX + 8], aside[PATH_MAX];
  struct stat info;
  snprintf(path, sizeof path, "%s/ckpt", r->work);
  if (lstat(path, &info) == 0) {
    DT_TRY(find_free(r, aside));
    return rename_to(r->work, aside);
  }
  dt_dir_remove(AT_FDCWD, r->work);
  return DT_OK;
}

static void make_work(dt_record *r) {
  snprintf(r->work, sizeof r->work, "%.*s/.%.*s.new", PATH_MAX - NAME_MAX - 16, r->spec->output, NAME_MAX - 8, r->spec->name);
}

/* The new run begins beside the earlier one, whose folder stays locked. */
static dt_status begin_beside(dt_record *r) {
  r->earlier_dir_fd = r->dir_fd;
  r->earlier_lock_fd = r->lock_fd;
  r->dir_fd = r->lock_fd = -1;
  make_work(r);
  DT_TRY(clear_leftover(r));
  return lock_take(r);
}

dt_status dt_folder_open(dt_record *r) {
  DT_TRY(make_path(r));
  memcpy(r->work, r->dir, sizeof r->work);
  if (r->rank != 0) {
    DT_TRY(dt_dir_make(r->dir));
    return open_dir(r);
  }
  DT_TRY(lock_take(r));
  r->standing = r->resume;
  return !r->resume && holds_run(r) ? begin_beside(r) : DT_OK;
}

/* For a moment no run has the name, but both are whole: for file systems without exchange. */
static dt_status exchange_in_two(dt_record *r) {
  DT_TRY(rename_to(r->dir, r->set_aside));
  dt_status status = rename_to(r->work, r->dir);
  if (status != DT_OK) rename(r->set_aside, r->dir);
  return status;
}

/* Afterwards the earlier run is in set_aside; or, after a failure, where it was. */
static dt_status exchange(dt_record *r) {
  if (renameat2(AT_FDCWD, r->work, AT_FDCWD, r->dir, RENAME_EXCHANGE) != 0) return exchange_in_two(r);
  dt_status status = rename_to(r->work, r->set_aside);
  if (status == DT_OK) return DT_OK;
  /* Should it not go back, `work` holds the earlier run, and is not to be removed. */
  if (renameat2(AT_FDCWD, r->work, AT_FDCWD, r->dir, RENAME_EXCHANGE) != 0) r->made = false;
  return status;
}

dt_status dt_folder_take_place(dt_record *r) {
  if (strcmp(r->work, r->dir) == 0) return DT_OK;
  DT_TRY(find_free(r, r->set_aside));
  DT_TRY(exchange(r));
  r->displaced = true;
  memcpy(r->work, r->dir, sizeof r->work);
  return DT_OK;
}

/* The earlier run gets its name back; whether what this start has made is now in `work`. */
static bool put_back(dt_record *r) {
  if (!r->displaced) return true;
  if (renameat2(AT_FDCWD, r->set_aside, AT_FDCWD, r->dir, RENAME_EXCHANGE) == 0) {
    memcpy(r->work, r->set_aside, sizeof r->work);
    return true;
  }
  make_work(r);
  return rename(r->dir, r->work) == 0 && rename(r->set_aside, r->dir) == 0;
}

static void close_pair(int *lock_fd, int *dir_fd) {
  if (*lock_fd >= 0) close(*lock_fd);
  if (*dir_fd >= 0) close(*dir_fd);
  *lock_fd = *dir_fd = -1;
}

/* Nothing is put back from here on, and the earlier run may be gone on with under its new name. */
void dt_folder_stand(dt_record *r) {
  r->standing = true;
  close_pair(&r->earlier_lock_fd, &r->earlier_dir_fd);
}

void dt_folder_close(dt_record *r) {
  if (r->rank == 0 && r->dir_fd >= 0 && r->made && !r->standing && put_back(r)) dt_dir_remove(AT_FDCWD, r->work);
  close_pair(&r->lock_fd, &r->dir_fd);
  close_pair(&r->earlier_lock_fd, &r->earlier_dir_fd);
}

/* The run's folder: one job at a time, and no run is ever overwritten by another. */
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
  r->dir_fd = open(r->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DT_REQUIRE(r->dir_fd >= 0, DT_IO, "%s: could not open: %s", r->dir, strerror(errno));
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
  snprintf(path, sizeof path, "%s/%s", r->dir, dt_lock_file);
  return fstat(fd, &held) == 0 && stat(path, &there) == 0 && held.st_ino == there.st_ino && held.st_dev == there.st_dev;
}

/* Makes the folder when needed, opens it and takes its lock. */
static dt_status lock_take(dt_record *r) {
  for (int i = 0; i < LOCK_TRIES; i++) {
    DT_TRY(dt_dir_make(r->dir));
    DT_TRY(open_dir(r));
    int fd = openat(r->dir_fd, dt_lock_file, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666);
    DT_REQUIRE(fd >= 0, DT_IO, "%s/%s: could not open: %s", r->dir, dt_lock_file, strerror(errno));
    r->lock_fd = fd;
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
      if (errno == EWOULDBLOCK) return refuse_locked(r, fd);
      DT_RAISE(DT_IO, "%s/%s: could not lock: %s", r->dir, dt_lock_file, strerror(errno));
    }
    if (lock_in_place(r, fd)) return write_holder(r, fd);
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

static dt_status find_free(const dt_record *r, char *aside) {
  struct stat info;
  for (int i = 1; i < ASIDE_MOST; i++) {
    snprintf(aside, PATH_MAX, "%.*s.%d", PATH_MAX - 16, r->dir, i);
    if (lstat(aside, &info) != 0 && errno == ENOENT) return DT_OK;
  }
  DT_RAISE(DT_IO, "%s: no free name to set the earlier run aside", r->dir);
}

/* Moves an earlier run to <name>.1, .2, ...; the lock goes with it, so that the new folder gets its own. */
static dt_status set_aside(dt_record *r) {
  int old_dir = r->dir_fd, old_lock = r->lock_fd;
  DT_TRY(find_free(r, r->set_aside));
  DT_REQUIRE(rename(r->dir, r->set_aside) == 0, DT_IO, "%s: could not set the earlier run aside as %s: %s", r->dir,
             r->set_aside, strerror(errno));
  r->dir_fd = r->lock_fd = -1;
  dt_status status = lock_take(r);
  close(old_lock);
  close(old_dir);
  return status;
}

dt_status dt_folder_open(dt_record *r) {
  DT_TRY(make_path(r));
  if (r->rank != 0) {
    DT_TRY(dt_dir_make(r->dir));
    return open_dir(r);
  }
  DT_TRY(lock_take(r));
  return !r->resume && holds_run(r) ? set_aside(r) : DT_OK;
}

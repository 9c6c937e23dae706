#include "report/terminal.h"
#include "core/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { WIDTH_UNKNOWN = 80, WIDTH_MOST = 400, ANCESTORS = 16 };
static const double redraw_seconds = 0.1;
static const char erase_line[] = "\r\x1b[K";

struct dt_terminal {
  dt_terminal_view view;
  int failure;
  bool drawn;
  double drawn_at;
  char bar[DT_BAR_TEXT]; /* what is drawn now, to be put back below a line */
};

/* ---- finding the terminal ---- */

/* Name and parent of a process; false when it cannot be seen. */
static bool process_look(long pid, char name[32], long *out_parent) {
  char path[64], text[512];
  snprintf(path, sizeof path, "/proc/%ld/stat", pid);
  FILE *file = fopen(path, "re");
  if (file == NULL) return false;
  size_t length = fread(text, 1, sizeof text - 1, file);
  fclose(file);
  text[length] = '\0';
  /* The name stands in parentheses and may hold some itself. */
  char *open = strchr(text, '('), *close = strrchr(text, ')');
  if (open == NULL || close == NULL || close < open) return false;
  *close = '\0';
  snprintf(name, 32, "%.31s", open + 1);
  return sscanf(close + 1, " %*c %ld", out_parent) == 1;
}

static bool is_launcher(const char *name) {
  static const char *const launchers[] = {"mpirun", "mpiexec",       "orterun",         "prterun", "orted",
                                          "prted",  "mpiexec.hydra", "hydra_pmi_proxy", "srun",    "slurmstepd"};
  for (size_t i = 0; i < sizeof launchers / sizeof launchers[0]; i++)
    if (strcmp(name, launchers[i]) == 0) return true;
  return false;
}

static bool under_launcher(void) {
  return getenv("OMPI_COMM_WORLD_RANK") != NULL || getenv("PMIX_RANK") != NULL || getenv("PMI_RANK") != NULL;
}

/* The launcher's own stdout, opened, when it is a terminal; -1 otherwise. */
static int launcher_terminal(void) {
  char name[32], path[64];
  long pid = getppid(), parent = 0;
  for (int i = 0; i < ANCESTORS && pid > 1 && process_look(pid, name, &parent); i++, pid = parent) {
    if (!is_launcher(name)) continue;
    snprintf(path, sizeof path, "/proc/%ld/fd/1", pid);
    int fd = open(path, O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || isatty(fd)) return fd;
    close(fd);
    return -1;
  }
  return -1;
}

static bool locale_is_utf8(void) {
  static const char *const keys[] = {"LC_ALL", "LC_CTYPE", "LANG"};
  for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
    const char *value = getenv(keys[i]);
    if (value == NULL || value[0] == '\0') continue;
    return strcasestr(value, "utf-8") != NULL || strcasestr(value, "utf8") != NULL;
  }
  return false;
}

dt_terminal_view dt_terminal_detect(void) {
  const char *term = getenv("TERM"), *no_colour = getenv("NO_COLOR");
  dt_terminal_view view = {.line_fd = STDOUT_FILENO, .bar_fd = -1, .size_fd = -1, .width = WIDTH_UNKNOWN};
  view.colour = no_colour == NULL || no_colour[0] == '\0';
  view.utf8 = locale_is_utf8();
  view.times = true;
  if (term == NULL || strcmp(term, "dumb") == 0) return view;
  if (under_launcher()) {
    view.size_fd = isatty(STDOUT_FILENO) ? launcher_terminal() : -1;
    view.bar_fd = view.size_fd >= 0 ? STDOUT_FILENO : -1;
  } else {
    view.bar_fd = isatty(STDOUT_FILENO) ? STDOUT_FILENO : isatty(STDERR_FILENO) ? STDERR_FILENO : -1;
    view.size_fd = view.bar_fd;
  }
  view.times = view.bar_fd != STDOUT_FILENO;
  return view;
}

/* ---- writing ---- */

/* A terminal may have been left non-blocking by an earlier program; it gets a moment to take what it is given. */
static bool wait_writable(int fd) {
  struct pollfd ready = {.fd = fd, .events = POLLOUT};
  return poll(&ready, 1, 1000) > 0;
}

/* Blocks SIGPIPE for this thread while it writes, and takes back the one it may have caused: a reader that went away must
 * not end the run. */
static void write_quietly(dt_terminal *t, int fd, const char *text, size_t bytes) {
  sigset_t pipe_set, old_set;
  sigemptyset(&pipe_set);
  sigaddset(&pipe_set, SIGPIPE);
  if (t->failure != 0 || pthread_sigmask(SIG_BLOCK, &pipe_set, &old_set) != 0) return;
  while (bytes > 0 && t->failure == 0) {
    ssize_t done = write(fd, text, bytes);
    if (done < 0 && (errno == EINTR || (errno == EAGAIN && wait_writable(fd)))) continue;
    if (done < 0) t->failure = errno;
    if (done < 0) break;
    text += done;
    bytes -= (size_t)done;
  }
  const struct timespec now = {0};
  if (t->failure == EPIPE) sigtimedwait(&pipe_set, NULL, &now);
  pthread_sigmask(SIG_SETMASK, &old_set, NULL);
}

/* One column stays free: a terminal wraps when the last one is written. */
static int columns(const dt_terminal *t) {
  struct winsize size;
  int width = t->view.width;
  if (t->view.size_fd >= 0 && ioctl(t->view.size_fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) width = size.ws_col;
  if (width > WIDTH_MOST) width = WIDTH_MOST;
  return width > 1 ? width - 1 : 1;
}

static void draw(dt_terminal *t) {
  char text[DT_BAR_TEXT + sizeof erase_line];
  int length = snprintf(text, sizeof text, "\r%s\x1b[K", t->bar);
  write_quietly(t, t->view.bar_fd, text, (size_t)length);
  t->drawn = true;
}

dt_status dt_terminal_create(const dt_terminal_view *view, dt_terminal **out) {
  DT_TRY(dt_alloc(1, sizeof **out, out));
  (*out)->view = *view;
  return DT_OK;
}

bool dt_terminal_has_bar(const dt_terminal *terminal) {
  return terminal->view.bar_fd >= 0;
}

void dt_terminal_clear(dt_terminal *t) {
  if (t->drawn) write_quietly(t, t->view.bar_fd, erase_line, sizeof erase_line - 1);
  t->drawn = false;
}

/* "2026-11-21T02:04:59Z  ": the log's time, without the fraction of a second. */
static void write_time(dt_terminal *t) {
  char text[32];
  struct tm parts;
  time_t now = time(NULL);
  gmtime_r(&now, &parts);
  write_quietly(t, t->view.line_fd, text, strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ  ", &parts));
}

void dt_terminal_line(dt_terminal *t, const char *text) {
  bool back = t->drawn;
  dt_terminal_clear(t);
  if (t->view.times) write_time(t);
  write_quietly(t, t->view.line_fd, text, strlen(text));
  write_quietly(t, t->view.line_fd, "\n", 1);
  if (back) draw(t);
}

void dt_terminal_progress(dt_terminal *t, const dt_progress *progress) {
  double now = dt_clock_seconds();
  if (t->view.bar_fd < 0 || (t->drawn && now - t->drawn_at < redraw_seconds)) return;
  dt_progress_print(progress, columns(t), t->view.colour, t->view.utf8, t->bar);
  t->drawn_at = now;
  draw(t);
}

int dt_terminal_failure(const dt_terminal *terminal) {
  return terminal->failure;
}

void dt_terminal_destroy(dt_terminal **terminal) {
  dt_terminal *t = *terminal;
  if (t == NULL) return;
  dt_terminal_clear(t);
  if (t->view.size_fd > STDERR_FILENO) close(t->view.size_fd);
  free(t);
  *terminal = NULL;
}

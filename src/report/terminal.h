/* The terminal: lines, and below them one bar that moves. Where there is no terminal, lines only. Not collective.
 *
 * Nothing here can fail a run: what cannot be written is dropped, and dt_terminal_failure says so. */
#ifndef DT_REPORT_TERMINAL_H
#define DT_REPORT_TERMINAL_H

#include <stdint.h>

#include "core/status.h"

/* Where and how to draw; found by dt_terminal_detect, or made up by a test. */
typedef struct dt_terminal_view {
  int line_fd; /* lines go here */
  int bar_fd;  /* the bar goes here, -1 = no bar */
  int size_fd; /* whose width is asked before every drawing; owned, may equal bar_fd */
  int width;   /* columns when size_fd does not tell */
  bool colour, utf8;
  bool times; /* lines begin with the time */
} dt_terminal_view;

typedef struct dt_progress {
  int64_t samples_seen, total_samples, epoch;
  char loss[64], metrics[128];            /* "loss 0.0123", "acc 97.50%" */
  double samples_per_second, eta_seconds; /* < 0: not known */
} dt_progress;

typedef struct dt_terminal dt_terminal;

/* stdout if it is a terminal, else lines to stdout and the bar to stderr if that is one. Lines that no one watches, as stdout
 * is no terminal, begin with the time. A launcher hands every rank a pseudo-terminal even when its own output goes into a file;
 * then the launcher's stdout decides. */
dt_terminal_view dt_terminal_detect(void);
dt_status dt_terminal_create(const dt_terminal_view *view, dt_terminal **out);
bool dt_terminal_has_bar(const dt_terminal *terminal);
/* Prints text as a line above the bar. */
void dt_terminal_line(dt_terminal *terminal, const char *text);
/* Draws the bar, at most ten times a second. */
void dt_terminal_progress(dt_terminal *terminal, const dt_progress *progress);
/* Takes the bar away until the next progress. */
void dt_terminal_clear(dt_terminal *terminal);
/* The error number of the first failed write, 0 when all went well. */
int dt_terminal_failure(const dt_terminal *terminal);
void dt_terminal_destroy(dt_terminal **terminal);

/* Text of the bar for so many columns, without escapes but for colours; exposed for tests. text holds DT_BAR_TEXT bytes. */
enum { DT_BAR_TEXT = 2048 };
void dt_progress_print(const dt_progress *progress, int columns, bool colour, bool utf8, char *text);
/* "12.3k", "00:42". */
enum { DT_SHORT_TEXT = 32 };
const char *dt_rate_text(double per_second, char text[DT_SHORT_TEXT]);
const char *dt_seconds_text(double seconds, char text[DT_SHORT_TEXT]);

#endif

/* dtrain from a C program: load a config, train, evaluate, predict.
 *
 * Every function that can fail returns 0 or the exit code that the dtrain command would end with (2 usage or config, 3 data,
 * 4 checkpoint, 5 input/output, 6 numeric, 7 peer lost, 8 replica mismatch, 9 memory, 10 environment, 11 a defect of dtrain, 20
 * interrupted, 75 preempted); dtrain_error then tells what was found, what was expected and where. Under mpirun every rank
 * makes the same calls in the same order. The program's locale changes nothing: while a call lasts, its thread is in the C
 * locale, and afterwards in the program's again. The calling thread needs 512 KiB of stack. Link with libdtrain and what
 * `pkg-config --libs dtrain` says. */
#ifndef DTRAIN_H
#define DTRAIN_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dtrain_session dtrain_session;

/* Nothing is printed, unless asked: see dtrain_set_log. */
typedef enum dtrain_level {
  DTRAIN_ERROR,   /* the job is about to be ended, since the other ranks cannot know of a failure */
  DTRAIN_WARNING, /* worth a look */
  DTRAIN_INFO,    /* what the dtrain command prints: steps, epochs, evaluations */
  DTRAIN_DETAIL   /* what else goes to the log file of the run */
} dtrain_level;

/* Takes one line, without a line end; it is borrowed for the call. Called on rank 0 (an error: on the rank that has it), one
 * call at a time, from the thread that called dtrain_train, in the C locale. */
typedef void dtrain_log(void *context, dtrain_level level, const char *line);

/* A number that tells how good the network is: "loss", "accuracy", or what else the config measures. */
typedef struct dtrain_measure {
  const char *name;
  double value; /* an accuracy is in [0, 1] */
} dtrain_measure;

typedef struct dtrain_training {
  int64_t samples_seen, steps;
  const dtrain_measure *measure; /* of the last evaluation, the loss first; valid until the session's next call */
  int measure_count;             /* 0 when there was none */
  double samples_per_second;
  const char *run_dir, *checkpoint; /* valid until dtrain_close */
  const char *outcome;              /* why it ended: "finished", "target reached", "failed", ... (docs/run.md); static */
} dtrain_training;

typedef struct dtrain_score {
  int64_t samples;
  const dtrain_measure *measure; /* the loss first; valid until the session's next call */
  int measure_count;
} dtrain_score;

/* Joins the ranks (a world of one without a launcher) and loads a config with `key=value` overrides. argc and argv may be NULL.
 * Collective. One session at a time; under a
 * launcher one a process, since MPI cannot be started twice. */
int dtrain_open(int *argc, char ***argv, const char *config, const char *const *overrides, int override_count,
                dtrain_session **out);
int dtrain_rank(const dtrain_session *session);
/* Has the lines of up to a level handed to a function from now on; log NULL, as at first, is silence. The run's log file gets
 * every line in any case. context is handed on as it is. Not collective. */
void dtrain_set_log(dtrain_session *session, dtrain_level most, dtrain_log *log, void *context);
/* Trains to the end; resume goes on from the run's newest checkpoint. Collective. */
int dtrain_train(dtrain_session *session, bool resume, dtrain_training *out);
/* Scores the evaluation set with a checkpoint folder, NULL for the run's newest. One of step 0 is refused (2) unless it is
 * named. Collective. */
int dtrain_evaluate(dtrain_session *session, const char *checkpoint, dtrain_score *out);
/* Writes CSV on rank 0, after a header: index,label,probability, then true where the data has labels, and label_name and
 * true_name where the config has data.classes; for a loss without classes index,p0,p1,... or index,y0,y1,.... Collective. */
int dtrain_predict(dtrain_session *session, const char *checkpoint, FILE *out);
/* Leaves the ranks and frees everything; takes NULL, leaves NULL. Collective. */
void dtrain_close(dtrain_session **session);
/* The value of that name in a list of measures; NaN where it is not there. */
double dtrain_value(const dtrain_measure *measure, int count, const char *name);
/* The text of the last failure, "" when there was none. */
const char *dtrain_error(void);

#ifdef __cplusplus
}
#endif

#endif

/* dtrain from a C program: load a config, train, evaluate, predict.
 *
 * Every function that can fail returns 0 or the exit code that the dtrain command would end with (2 usage or config, 3 data,
 * 4 checkpoint, 5 input/output, 6 numeric, 7 peer lost, 8 replica mismatch, 9 memory, 10 environment, 11 a defect of dtrain, 20
 * interrupted, 75 preempted); dtrain_error then tells what was found, what was expected and where. Under mpirun every rank
 * makes the same calls in the same order. Link with libdtrain and what `pkg-config --libs dtrain` says. */
#ifndef DTRAIN_H
#define DTRAIN_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dtrain_session dtrain_session;

typedef struct dtrain_training {
  int64_t samples_seen, steps;
  double accuracy, loss; /* of the last evaluation; accuracy is -1 when there was none */
  double samples_per_second;
  const char *run_dir, *checkpoint; /* valid until dtrain_close */
} dtrain_training;

typedef struct dtrain_score {
  int64_t samples, correct;
  double loss, accuracy; /* accuracy in [0, 1] */
} dtrain_score;

/* Joins the ranks (a world of one without a launcher) and loads a config with `key=value` overrides. argc and argv may be NULL.
 * Collective. One session a process. */
int dtrain_open(int *argc, char ***argv, const char *config, const char *const *overrides, int override_count,
                dtrain_session **out);
int dtrain_rank(const dtrain_session *session);
/* Trains to the end; resume goes on from the run's newest checkpoint. Collective. */
int dtrain_train(dtrain_session *session, bool resume, dtrain_training *out);
/* Scores the evaluation set with a checkpoint folder, NULL for the run's newest. Collective. */
int dtrain_evaluate(dtrain_session *session, const char *checkpoint, dtrain_score *out);
/* Writes CSV lines index,label,probability on rank 0. Collective. */
int dtrain_predict(dtrain_session *session, const char *checkpoint, FILE *out);
/* Leaves the ranks and frees everything; takes NULL, leaves NULL. Collective. */
void dtrain_close(dtrain_session **session);
/* The text of the last failure, "" when there was none. */
const char *dtrain_error(void);

#ifdef __cplusplus
}
#endif

#endif

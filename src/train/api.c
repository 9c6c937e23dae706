/* include/dtrain.h over the library. */
#include "dtrain.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/locale.h"
#include "train/evaluate.h"
#include "train/job.h"
#include "train/predict.h"
#include "train/trainer.h"

struct dtrain_session {
  dt_comm *comm;
  dt_config *config;
  dt_train_result result;
  dt_measured measured;
  dtrain_measure measure[DT_MEASURES_MAX]; /* of measured, as it is handed out */
  dtrain_level most;
  dtrain_log *log; /* NULL = silence */
  void *context;
};

_Static_assert((int)DTRAIN_ERROR == DT_LEVEL_ERROR && (int)DTRAIN_WARNING == DT_LEVEL_WARNING &&
                   (int)DTRAIN_INFO == DT_LEVEL_INFO && (int)DTRAIN_DETAIL == DT_LEVEL_DETAIL,
               "the levels of dtrain.h are those of core/output.h");

/* From the library's log to the program's. */
static void hand_on(void *context, dt_level level, const char *line) {
  const dtrain_session *session = context;
  session->log(session->context, (dtrain_level)level, line);
}

static void tell_error(dtrain_session *session, dt_status status) {
  char *line;
  if (session->log == NULL) return;
  if (asprintf(&line, "%s: rank %d: %s", dt_status_name(status), session->comm->rank, dt_error_text()) < 0) return;
  hand_on(session, DT_LEVEL_ERROR, line);
  free(line);
}

/* A failure that the other ranks cannot know of must not leave them waiting. */
static int outcome(dtrain_session *session, dt_status status) {
  if (session->comm != NULL) status = dt_rank_status(session->comm->state, status);
  int code = dt_status_exit_code(status);
  if (session->comm != NULL && dt_rank_is_alone(session->comm->state)) {
    tell_error(session, status);
    session->comm->ops->abort(session->comm, code);
  }
  return code;
}

static void close_session(dtrain_session **session) {
  if (*session == NULL) return;
  dt_config_destroy(&(*session)->config);
  if ((*session)->comm != NULL) (*session)->comm->ops->destroy(&(*session)->comm);
  free(*session);
  *session = NULL;
}

static int open_session(int *argc, char ***argv, const char *config, const char *const *overrides, int override_count,
                        dtrain_session **out) {
  dtrain_session *session = NULL;
  dt_error_clear();
  dt_status status = dt_alloc(1, sizeof *session, &session);
  if (status == DT_OK) status = dt_comm_create(argc, argv, &session->comm);
  if (status == DT_OK) {
    status = dt_config_load(config, overrides, override_count, &session->config);
    status = dt_job_agree_config(session->comm, status, session->config);
  }
  if (status != DT_OK) close_session(&session);
  *out = session;
  return dt_status_exit_code(status);
}

/* The session keeps what is handed out. */
static void hand_out(dtrain_session *session, const dt_measured *measured, const dtrain_measure **out, int *out_count) {
  session->measured = *measured;
  for (int i = 0; i < measured->count; i++)
    session->measure[i] = (dtrain_measure){.name = session->measured.item[i].name, .value = measured->item[i].value};
  *out = session->measure;
  *out_count = measured->count;
}

static int train(dtrain_session *session, bool resume, dtrain_training *out) {
  dt_error_clear();
  dt_train_options options = {.resume = resume, .command = "dtrain_train"};
  if (session->log != NULL) options.output = (dt_output){.most = (dt_level)session->most, .log = hand_on, .context = session};
  dt_status status = dt_train(session->config, session->comm, &options, &session->result);
  const dt_train_result *r = &session->result;
  *out = (dtrain_training){.samples_seen = r->samples_seen,
                           .steps = r->steps,
                           .samples_per_second = r->samples_per_second,
                           .outcome = r->outcome,
                           .run_dir = r->run_dir,
                           .checkpoint = r->checkpoint};
  hand_out(session, &r->measured, &out->measure, &out->measure_count);
  return outcome(session, status);
}

static int evaluate(dtrain_session *session, const char *checkpoint, dtrain_score *out) {
  dt_error_clear();
  dt_eval_result score = {0};
  dt_status status = dt_evaluate(session->config, session->comm, checkpoint, false, &score);
  *out = (dtrain_score){.samples = score.measured.samples};
  hand_out(session, &score.measured, &out->measure, &out->measure_count);
  free(score.matrix);
  return outcome(session, status);
}

/* What follows is what dtrain.h declares, each in the C locale whatever the program's is: not a byte of what is written, hashed
 * or compared may depend on it. */

int dtrain_open(int *argc, char ***argv, const char *config, const char *const *overrides, int override_count,
                dtrain_session **out) {
  dt_plain_locale locale = dt_plain_locale_enter();
  int code = open_session(argc, argv, config, overrides, override_count, out);
  dt_plain_locale_leave(locale);
  return code;
}

int dtrain_rank(const dtrain_session *session) {
  return session->comm->rank;
}

void dtrain_set_log(dtrain_session *session, dtrain_level most, dtrain_log *log, void *context) {
  session->most = most;
  session->log = log;
  session->context = context;
}

int dtrain_train(dtrain_session *session, bool resume, dtrain_training *out) {
  dt_plain_locale locale = dt_plain_locale_enter();
  int code = train(session, resume, out);
  dt_plain_locale_leave(locale);
  return code;
}

int dtrain_evaluate(dtrain_session *session, const char *checkpoint, dtrain_score *out) {
  dt_plain_locale locale = dt_plain_locale_enter();
  int code = evaluate(session, checkpoint, out);
  dt_plain_locale_leave(locale);
  return code;
}

int dtrain_predict(dtrain_session *session, const char *checkpoint, FILE *out) {
  dt_plain_locale locale = dt_plain_locale_enter();
  dt_error_clear();
  int code = outcome(session, dt_predict(session->config, session->comm, checkpoint, false, out));
  dt_plain_locale_leave(locale);
  return code;
}

void dtrain_close(dtrain_session **session) {
  dt_plain_locale locale = dt_plain_locale_enter();
  close_session(session);
  dt_plain_locale_leave(locale);
}

double dtrain_value(const dtrain_measure *measure, int count, const char *name) {
  for (int i = 0; i < count; i++) {
    if (strcmp(measure[i].name, name) == 0) return measure[i].value;
  }
  return NAN;
}

const char *dtrain_error(void) {
  return dt_error_text();
}

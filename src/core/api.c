/* include/dtrain.h over the library. */
#include "dtrain.h"

#include <stdlib.h>

#include "core/job.h"
#include "core/trainer.h"

struct dtrain_session {
  dt_comm *comm;
  dt_config *config;
  dt_train_result result;
};

/* A failure that the other ranks cannot know of must not leave them waiting. */
static int outcome(dtrain_session *session, dt_status status) {
  int code = dt_status_exit_code(status);
  if (session->comm != NULL && session->comm->diverged) {
    fprintf(stderr, "dtrain: %s: rank %d: %s\n", dt_status_name(status), session->comm->rank, dt_error_text());
    session->comm->ops->abort(session->comm, code);
  }
  return code;
}

int dtrain_open(int *argc, char ***argv, const char *config, const char *const *overrides, int override_count,
                dtrain_session **out) {
  dtrain_session *session = NULL;
  dt_error_clear();
  dt_status status = dt_alloc(1, sizeof *session, &session);
  if (status == DT_OK) status = dt_comm_create(argc, argv, &session->comm);
  if (status == DT_OK) {
    status = dt_config_load(config, overrides, override_count, &session->config);
    status = dt_job_agree_config(session->comm, status, session->config);
  }
  if (status != DT_OK) dtrain_close(&session);
  *out = session;
  return dt_status_exit_code(status);
}

int dtrain_rank(const dtrain_session *session) {
  return session->comm->rank;
}

int dtrain_train(dtrain_session *session, bool resume, dtrain_training *out) {
  dt_error_clear();
  dt_train_options options = {.resume = resume, .command = "dtrain_train"};
  dt_status status = dt_train(session->config, session->comm, &options, &session->result);
  const dt_train_result *r = &session->result;
  *out = (dtrain_training){.samples_seen = r->samples_seen,
                           .steps = r->steps,
                           .accuracy = r->accuracy,
                           .loss = r->loss,
                           .samples_per_second = r->samples_per_second,
                           .run_dir = r->run_dir,
                           .checkpoint = r->checkpoint};
  return outcome(session, status);
}

int dtrain_evaluate(dtrain_session *session, const char *checkpoint, dtrain_score *out) {
  dt_error_clear();
  dt_eval_result score = {0};
  dt_status status = dt_evaluate(session->config, session->comm, checkpoint, false, &score);
  *out = (dtrain_score){.samples = score.samples, .correct = score.correct, .loss = score.loss, .accuracy = score.accuracy};
  return outcome(session, status);
}

int dtrain_predict(dtrain_session *session, const char *checkpoint, FILE *out) {
  dt_error_clear();
  return outcome(session, dt_predict(session->config, session->comm, checkpoint, out));
}

void dtrain_close(dtrain_session **session) {
  if (*session == NULL) return;
  dt_config_destroy(&(*session)->config);
  if ((*session)->comm != NULL) (*session)->comm->ops->destroy(&(*session)->comm);
  free(*session);
  *session = NULL;
}

const char *dtrain_error(void) {
  return dt_error_text();
}

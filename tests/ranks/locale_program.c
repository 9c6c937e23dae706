/* A program that runs in its user's locale, as many do, and trains, evaluates and predicts through dtrain.h: locale_program
 * CONFIG CSV. It tells on standard output what it got, and that its own locale is still there. */
#include <dtrain.h>
#include <locale.h>
#include <stdlib.h>

static int train_and_predict(dtrain_session *session, const char *csv) {
  dtrain_training training;
  dtrain_score score;
  int code = dtrain_train(session, false, &training);
  if (code == 0) code = dtrain_evaluate(session, NULL, &score);
  if (code != 0) return code;
  FILE *out = fopen(dtrain_rank(session) == 0 ? csv : "/dev/null", "w");
  if (out == NULL) return 1;
  code = dtrain_predict(session, NULL, out);
  return fclose(out) == 0 ? code : 1;
}

int main(int argc, char **argv) {
  if (argc != 3 || setlocale(LC_ALL, "") == NULL) return 77;
  const char *const overrides[] = {"schedule.lr.peak=0.05", "optimizer.sgd.momentum=0.5"};
  dtrain_session *session;
  int code = dtrain_open(&argc, &argv, argv[1], overrides, 2, &session);
  if (code == 0) code = train_and_predict(session, argv[2]);
  if (code != 0) fprintf(stderr, "dtrain: exit %d: %s\n", code, dtrain_error());
  dtrain_close(&session);
  printf("a half is %g\n", 0.5);
  return code;
}

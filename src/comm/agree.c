/* Agreement: one rank's failure becomes everyone's, and everyone knows whose it was. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "comm/comm.h"

enum { TEXT_BYTES = 16384, LINE_BYTES = 512 };

/* Folds the ranks' statuses; the text of the lowest failing rank goes to those that were well, behind its rank when name_rank
 * is set. */
static dt_status fold_status(dt_comm *comm, dt_status status, bool name_rank) {
  /* The smallest word belongs to the lowest failing rank and holds its status. */
  int64_t word = status == DT_OK ? INT64_MAX : (int64_t)comm->rank * DT_STATUS_COUNT + status;
  DT_TRY(comm->ops->allreduce_i64(comm, &word, 1, DT_MIN));
  if (word == INT64_MAX) return DT_OK;
  int rank = (int)(word / DT_STATUS_COUNT);
  dt_status first = (dt_status)(word % DT_STATUS_COUNT);
  char *text = NULL;
  DT_TRY(dt_alloc(1, TEXT_BYTES, &text));
  if (comm->rank == rank) strncpy(text, dt_error_text(), TEXT_BYTES - 1);
  dt_status sent = comm->ops->bcast(comm, text, TEXT_BYTES, rank);
  if (sent == DT_OK && status == DT_OK) {
    dt_error_clear();
    if (name_rank)
      dt_error_set(first, __FILE__, __LINE__, "rank %d: %s", rank, text);
    else
      dt_error_set(first, __FILE__, __LINE__, "%s", text);
  }
  free(text);
  return sent == DT_OK ? first : sent;
}

dt_status dt_comm_agree(dt_comm *comm, dt_status status) {
  status = fold_status(comm, status, true);
  if (status == DT_PEER) dt_rank_enter(&comm->state, DT_RANK_STRANDED);
  return status;
}

/* Length of the line that starts at text. */
static size_t line_length(const char *text) {
  return strcspn(text, "\n");
}

/* Raises the first line in which two texts differ. */
static dt_status compare(const char *what, int rank, const char *theirs, const char *ours) {
  int line = 1;
  for (;; line++) {
    size_t a = line_length(theirs), b = line_length(ours);
    bool same = a == b && memcmp(theirs, ours, a) == 0;
    if (!same || theirs[a] != ours[b]) break; /* one text ends here and the other goes on */
    if (theirs[a] == '\0') return DT_OK;
    theirs += a + 1, ours += b + 1;
  }
  int a = (int)line_length(theirs), b = (int)line_length(ours);
  bool same = a == b && memcmp(theirs, ours, (size_t)a) == 0;
  if (same) {
    DT_RAISE(DT_ENVIRONMENT, "%s differs between ranks: it ends after line %d on rank %d and goes on on rank %d", what, line,
             theirs[a] == '\0' ? 0 : rank, theirs[a] == '\0' ? rank : 0);
  }
  DT_RAISE(DT_ENVIRONMENT, "%s differs between ranks in line %d: rank 0 has `%.*s`, rank %d has `%.*s`", what, line,
           a < LINE_BYTES ? a : LINE_BYTES, theirs, rank, b < LINE_BYTES ? b : LINE_BYTES, ours);
}

dt_status dt_comm_agree_text(dt_comm *comm, const char *what, const char *text) {
  int64_t bytes = (int64_t)strlen(text) + 1;
  DT_TRY(comm->ops->bcast(comm, &bytes, sizeof bytes, 0));
  dt_status status = DT_OK;
  char *theirs = NULL;
  /* When one rank has no memory, none may go into the broadcast. */
  DT_TRY_GOTO(cleanup, dt_comm_agree(comm, dt_alloc(1, (size_t)bytes, &theirs)));
  if (comm->rank == 0) memcpy(theirs, text, (size_t)bytes);
  DT_TRY_GOTO(cleanup, comm->ops->bcast(comm, theirs, (size_t)bytes, 0));
  status = fold_status(comm, compare(what, comm->rank, theirs, text), false);
cleanup:
  free(theirs);
  return status;
}

/* mpi_bench: the bench at three small sizes prints a head and one line for each, with ratios that are numbers. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "comm/bench.h"

static int check(const char *text) {
  int lines = 0, ratios = 0;
  for (const char *c = text; *c != '\0'; c++) lines += *c == '\n';
  for (const char *c = strstr(text, "x)"); c != NULL; c = strstr(c + 1, "x)")) ratios++;
  if (lines == 5 && ratios == 9 && strstr(text, "nan") == NULL && strstr(text, "inf") == NULL) return 0;
  fprintf(stderr, "expected 2 lines of head, 3 of figures, 9 ratios:\n%s", text);
  return 1;
}

int main(int argc, char **argv) {
  dt_comm *comm = NULL;
  if (dt_comm_create(&argc, &argv, &comm) != DT_OK) return fprintf(stderr, "%s\n", dt_error_text()), 1;
  char *text = NULL;
  size_t bytes = 0;
  FILE *out = comm->rank == 0 ? open_memstream(&text, &bytes) : NULL;
  dt_bench_options options = {.min_bytes = 1024, .max_bytes = 16384, .seconds = 0.3};
  int rc = dt_bench_allreduce(comm, &options, out) == DT_OK ? 0 : (fprintf(stderr, "%s\n", dt_error_text()), 1);
  if (out != NULL) {
    fclose(out);
    if (rc == 0) rc = check(text);
    free(text);
  }
  comm->ops->destroy(&comm);
  return rc;
}

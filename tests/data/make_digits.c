/* make_digits DIR [TRAIN [EVAL [SIZE]]]: writes the made-up digits for a test that runs the program itself. */
#include <stdio.h>
#include <stdlib.h>

#include "support/digits.h"

int main(int argc, char **argv) {
  if (argc < 2 || argc > 5) {
    fprintf(stderr, "usage: make_digits DIR [TRAIN [EVAL [SIZE]]]\n");
    return 2;
  }
  const int train = argc > 2 ? atoi(argv[2]) : 2000;
  const int eval = argc > 3 ? atoi(argv[3]) : 500;
  const int size = argc > 4 ? atoi(argv[4]) : 12;
  const dt_status status = dt_test_write_digits(argv[1], train, eval, size);
  if (status != DT_OK) fprintf(stderr, "make_digits: %s\n", dt_error_text());
  return dt_status_exit_code(status);
}

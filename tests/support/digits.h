/* A small made-up data set that a network can learn: noisy pictures of the ten digits. */
#ifndef DT_TESTS_SUPPORT_DIGITS_H
#define DT_TESTS_SUPPORT_DIGITS_H

#include "core/status.h"

/* Writes train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte into dir: `train`
 * and `eval` pictures of size x size pixels (size >= 10). Always the same bytes. DT_IO, DT_MEMORY. */
dt_status dt_test_write_digits(const char *dir, int train, int eval, int size);

#endif

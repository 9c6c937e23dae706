/* The batch of make_layers.py as files that a job can load. */
#ifndef DT_TESTS_SUPPORT_BATCH_H
#define DT_TESTS_SUPPORT_BATCH_H

#include <stdint.h>

/* Writes x.npy [samples][input], target.npy [samples][outputs] and label.npy [samples], classes below outputs, into dir: the
 * fills of
 * "<tag>.x", "<tag>.target" and "<tag>.label", the latter two moved to [0, 1). input is "C, H, W" or "D". Fails the test. */
void dt_test_write_batch(const char *dir, const char *tag, const char *input, int samples, int outputs);

#endif

/* Tar archives from arbitrary bytes; headers' checksums are put right first, so that what lies behind them is reached. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "data/tar_walk.h"

enum { BLOCK = 512, BYTES_MAX = 1 << 20 };

static void mend_checksums(uint8_t *tar, size_t bytes) {
  for (size_t at = 0; at + BLOCK <= bytes; at += BLOCK) {
    uint8_t *h = tar + at;
    unsigned sum = 0;
    if (memcmp(h + 257, "ustar", 5) != 0) continue;
    memset(h + 148, ' ', 8);
    for (int i = 0; i < BLOCK; i++) sum += h[i];
    snprintf((char *)h + 148, 8, "%06o", sum);
  }
}

/* What is told of a member lies within the file, and nowhere else. */
static dt_status visit(void *context, const dt_tar_member *member) {
  const int64_t bytes = *(const int64_t *)context;
  if (member->bytes < 0 || member->at < BLOCK || member->at > bytes - member->bytes) abort();
  if (member->name[0] == '/' || member->name[0] == '\0' || strncmp(member->name, "../", 3) == 0) abort();
  if (strstr(member->name, "/../") != NULL) abort();
  return DT_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
  if (bytes > BYTES_MAX) return 0;
  uint8_t *copy = malloc(bytes + 1);
  int64_t count = (int64_t)bytes;
  if (copy == NULL) abort();
  memcpy(copy, data, bytes);
  mend_checksums(copy, bytes);
  const int file = memfd_create("fuzz", MFD_CLOEXEC);
  if (file < 0 || write(file, copy, bytes) != (ssize_t)bytes) abort();
  dt_error_clear();
  if (dt_tar_walk(file, "fuzz", visit, &count) != DT_OK && dt_error_text()[0] == '\0') abort();
  close(file);
  free(copy);
  return 0;
}

/* Checkpoints from arbitrary bytes: the first says which parser gets the rest. A manifest's checksum is put right first, so
 * that the members behind it are reached. */
#include <stdlib.h>
#include <string.h>

#include "checkpoint/parts.h"

enum { DIGITS_AT = sizeof "{\n  \"checksum\": \"" - 1, DIGITS = DT_HASH_TEXT - 1 };

static void feed_safetensors(const uint8_t *data, size_t bytes) {
  dt_tensor_ref *tensors;
  int count;
  size_t covered = 0;
  if (dt_safetensors_parse("fuzz", data, bytes, &tensors, &count) != DT_OK) return;
  /* What was accepted lies within the file. */
  for (int i = 0; i < count; i++) {
    size_t size = (size_t)dt_shape_count(&tensors[i].shape) * dt_dtype_bytes(tensors[i].dtype);
    const uint8_t *at = tensors[i].data;
    if (at < data || size > bytes || at + size > data + bytes || strlen(tensors[i].name) == 0) abort();
    covered += size;
  }
  if (covered > bytes) abort();
  free(tensors);
}

static void mend_checksum(uint8_t *text, size_t bytes) {
  char digits[DT_HASH_TEXT];
  if (bytes < DIGITS_AT + DIGITS) return;
  memcpy(text, "{\n  \"checksum\": \"", DIGITS_AT);
  memset(text + DIGITS_AT, '0', DIGITS);
  dt_hash_text(text, bytes, digits);
  memcpy(text + DIGITS_AT, digits, DIGITS);
}

static void feed_manifest(const uint8_t *data, size_t bytes) {
  dt_manifest manifest;
  uint8_t *text = malloc(bytes + 1);
  if (text == NULL) abort();
  memcpy(text, data, bytes);
  mend_checksum(text, bytes);
  if (dt_manifest_parse(text, bytes, &manifest) == DT_OK) {
    if (manifest.samples_seen < 0 || manifest.step < 0 || manifest.fingerprint == NULL) abort();
    dt_manifest_clear(&manifest);
  }
  free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
  dt_error_clear();
  if (bytes < 1) return 0;
  if (data[0] & 1)
    feed_safetensors(data + 1, bytes - 1);
  else
    feed_manifest(data + 1, bytes - 1);
  return 0;
}

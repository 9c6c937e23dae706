#include "checkpoint/foreign.h"

#include <string.h>

static const struct {
  const char *magic;
  size_t bytes;
  const char *text;
} table[] = {
    {"PK\x03\x04", 4, "a zip archive, as torch.save writes it (a pickle inside, which can run code)"},
    {"\x80\x02", 2, "a Python pickle, which can run code"},
    {"\x80\x03", 2, "a Python pickle, which can run code"},
    {"\x80\x04", 2, "a Python pickle, which can run code"},
    {"\x80\x05", 2, "a Python pickle, which can run code"},
    {"GGUF", 4, "a GGUF file"},
    {"\x89HDF\r\n\x1a\n", 8, "an HDF5 file (Keras)"},
    {"\x93NUMPY", 6, "a NumPy array"},
    {"\x1f\x8b", 2, "a gzip file"},
};

/* A ModelProto begins with field 1 (ir_version, one small varint) and goes on with a length-delimited or varint field. */
static int is_onnx(const uint8_t *data, size_t bytes) {
  return bytes >= 4 && data[0] == 0x08 && data[1] >= 1 && data[1] < 32 &&
         (data[2] == 0x12 || data[2] == 0x42 || data[2] == 0x3a);
}

/* Header length, then a JSON object. */
static int is_safetensors(const uint8_t *data, size_t bytes) {
  return bytes >= 10 && data[8] == '{' && data[6] == 0 && data[7] == 0;
}

const char *dt_foreign_format(const uint8_t *data, size_t bytes) {
  for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
    if (bytes >= table[i].bytes && memcmp(data, table[i].magic, table[i].bytes) == 0) return table[i].text;
  if (is_onnx(data, bytes)) return "an ONNX model";
  if (is_safetensors(data, bytes)) return "a single safetensors file";
  return NULL;
}

/* What the tests of the emulated libraries share. */
#ifndef DT_EMULATOR_CHECK_H
#define DT_EMULATOR_CHECK_H

#include <cuda_runtime.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "elements.h"

#define REQUIRE(condition)                                           \
  do {                                                               \
    if (!(condition)) {                                              \
      printf("%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
      exit(1);                                                       \
    }                                                                \
  } while (0)

/* A number in [low, high], drawn from a sequence that is the same in every run. */
static inline int64_t draw(int64_t low, int64_t high) {
  static uint64_t state = 88172645463325252u;
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return low + (int64_t)(state % (uint64_t)(high - low + 1));
}

/* Values as a type can hold them, on the host as floats and in device memory. */
typedef struct values {
  element_type type;
  int64_t count;
  float *host;
  void *device;
} values;

static inline void upload(values *v) {
  void *narrow = malloc((size_t)(v->count * element_bytes(v->type)));
  element_write(v->type, v->host, v->count, narrow);
  element_read(v->type, narrow, v->count, v->host);
  REQUIRE(cudaMemcpy(v->device, narrow, (size_t)(v->count * element_bytes(v->type)), cudaMemcpyHostToDevice) == cudaSuccess);
  free(narrow);
}

static inline values draw_values(element_type type, int64_t count) {
  values v = {type, count, malloc((size_t)count * sizeof(float)), NULL};
  REQUIRE(cudaMalloc(&v.device, (size_t)(count * element_bytes(type))) == cudaSuccess);
  for (int64_t i = 0; i < count; i++) v.host[i] = (float)draw(-100000, 100000) / 77777;
  upload(&v);
  return v;
}

/* What is in device memory now, once the stream is done. */
static inline float *download(const values *v, cudaStream_t stream) {
  size_t bytes = (size_t)(v->count * element_bytes(v->type));
  void *narrow = malloc(bytes);
  float *out = malloc((size_t)v->count * sizeof *out);
  REQUIRE(cudaStreamSynchronize(stream) == cudaSuccess);
  REQUIRE(cudaMemcpy(narrow, v->device, bytes, cudaMemcpyDeviceToHost) == cudaSuccess);
  element_read(v->type, narrow, v->count, out);
  free(narrow);
  return out;
}

static inline void drop_values(values *v) {
  cudaFree(v->device);
  free(v->host);
}

/* Half a unit in the last place of a value of this type, relative to it. */
static inline double rounding_of(element_type type) {
  return type == ELEMENT_F32 ? 0x1p-24 : type == ELEMENT_F16 ? 0x1p-11 : 0x1p-8;
}

/* A workspace, and whether all of it was written over. */
static inline void *alloc_workspace(int64_t bytes) {
  void *workspace = NULL;
  if (bytes > 0) {
    REQUIRE(cudaMalloc(&workspace, (size_t)bytes) == cudaSuccess);
    REQUIRE(cudaMemset(workspace, 1, (size_t)bytes) == cudaSuccess);
  }
  return workspace;
}
static inline void require_written(const void *workspace, int64_t bytes) {
  char *host = malloc((size_t)bytes + 1);
  REQUIRE(bytes == 0 || cudaMemcpy(host, workspace, (size_t)bytes, cudaMemcpyDeviceToHost) == cudaSuccess);
  for (int64_t i = 0; i < bytes; i++) REQUIRE(host[i] != 1);
  free(host);
}

#endif

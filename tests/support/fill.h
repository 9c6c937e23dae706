/* Test data as a pure function of a name and an index, the same in C and in tests/oracles/make_layers.py: nothing is stored. */
#ifndef DT_TESTS_SUPPORT_FILL_H
#define DT_TESTS_SUPPORT_FILL_H

#include <stdint.h>
#include <string.h>

#include "core/tensor.h"

/* FNV-1a of the name: the key of its stream. */
static inline uint64_t fill_key(const char *name) {
  uint64_t key = 0xCBF29CE484222325u;
  for (const char *c = name; *c != '\0'; c++) key = (key ^ (uint8_t)*c) * 0x100000001B3u;
  return key;
}

/* Number `index` of a stream, in [-1, 1), a multiple of 2^-23: exact as a float. SplitMix64. */
static inline double fill_value(uint64_t key, int64_t index) {
  uint64_t z = key + ((uint64_t)index + 1) * 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  z = z ^ (z >> 31);
  return (double)(z >> 40) / 0x1p23 - 1;
}

/* First values of a parameter or state, by the last part of its name: weights shrink with the fan-in, scales and variances lie
 * around one. All are exact as floats. */
static inline void fill_initial(const char *name, const dt_shape *shape, double *out) {
  uint64_t key = fill_key(name);
  const char *role = strrchr(name, '.') + 1;
  double center = 0, scale = 0.5;
  if (strcmp(role, "weight") == 0 && shape->ndim > 1) {
    int64_t fan_in = dt_shape_count(shape) / shape->dim[0];
    for (scale = 2; scale * scale * (double)fan_in > 4;) scale /= 2;
  } else if (strcmp(role, "weight") == 0 || strcmp(role, "running_var") == 0) {
    center = 1;
  }
  for (int64_t i = 0; i < dt_shape_count(shape); i++) out[i] = center + fill_value(key, i) * scale;
}

#endif

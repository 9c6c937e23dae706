#include "elements.h"

#include <string.h>

static uint32_t bits_of(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

static float float_of(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

/* Drops the lowest `drop` bits of a mantissa, to nearest even; an overflow of the mantissa runs into the exponent as it should.
 */
static uint32_t round_bits(uint32_t bits, int drop) {
  return bits + (1u << (drop - 1)) - 1 + (bits >> drop & 1);
}

static float half_to_float(uint16_t half) {
  const float scale = 0x1p112f; /* between the biases of the exponents, 127 - 15; exact for subnormal halves too */
  uint32_t sign = (uint32_t)(half & 0x8000) << 16, rest = half & 0x7fff;
  float value = float_of(rest << 13) * scale;
  if (rest >= 0x7c00) value = float_of(rest << 13 | 0x7f800000);
  return float_of(bits_of(value) | sign);
}

static uint16_t half_of_float(float value) {
  uint32_t bits = bits_of(value), sign = bits >> 16 & 0x8000, rest = bits & 0x7fffffff;
  if (rest > 0x7f800000) return (uint16_t)(sign | 0x7e00);
  if (rest >= 0x477ff000) return (uint16_t)(sign | 0x7c00); /* from 65520 on everything rounds to infinity */
  if (rest < 0x38800000) {                                  /* below 2^-14: adding 1/2 leaves the subnormal in the low bits */
    return (uint16_t)(sign | (bits_of(float_of(rest) + 0.5f) - bits_of(0.5f)));
  }
  return (uint16_t)(sign | ((round_bits(rest, 13) - 0x38000000) >> 13));
}

static uint16_t bfloat_of_float(float value) {
  uint32_t bits = bits_of(value);
  if ((bits & 0x7fffffff) > 0x7f800000) return (uint16_t)(bits >> 16 | 0x40);
  return (uint16_t)(round_bits(bits, 16) >> 16);
}

int64_t element_bytes(element_type type) {
  return type == ELEMENT_F32 ? 4 : 2;
}

void element_read(element_type type, const void *from, int64_t count, float *to) {
  const uint16_t *narrow = from;
  switch (type) {
    case ELEMENT_F32:
      memcpy(to, from, (size_t)count * 4);
      break;
    case ELEMENT_F16:
      for (int64_t i = 0; i < count; i++) to[i] = half_to_float(narrow[i]);
      break;
    case ELEMENT_BF16:
      for (int64_t i = 0; i < count; i++) to[i] = float_of((uint32_t)narrow[i] << 16);
      break;
  }
}

void element_write(element_type type, const float *from, int64_t count, void *to) {
  uint16_t *narrow = to;
  switch (type) {
    case ELEMENT_F32:
      memcpy(to, from, (size_t)count * 4);
      break;
    case ELEMENT_F16:
      for (int64_t i = 0; i < count; i++) narrow[i] = half_of_float(from[i]);
      break;
    case ELEMENT_BF16:
      for (int64_t i = 0; i < count; i++) narrow[i] = bfloat_of_float(from[i]);
      break;
  }
}

void element_round_tf32(float *value, int64_t count) {
  for (int64_t i = 0; i < count; i++) {
    uint32_t bits = bits_of(value[i]);
    if ((bits & 0x7f800000) != 0x7f800000) value[i] = float_of(round_bits(bits, 13) & ~0x1fffu);
  }
}

/* Half precision and bfloat16 of the emulated CUDA: all 65536 patterns, and floats around every boundary of rounding. The
 * oracle takes a pattern's value from its definition, in double, and looks for the nearest one. */
#include <cmath>
#include <cstdio>
#include <vector>

#include <cuda_bf16.h>
#include <cuda_fp16.h>

namespace {

int failed = 0;

/* A type of 16 bits: sign, exponent, fraction. */
struct format {
  const char *name;
  int fraction_bits, bias;
  unsigned short infinity;
  unsigned short (*narrow)(float);
  float (*widen)(unsigned short);
};

void expect(const format &type, bool holds, const char *what, double x, unsigned bits) {
  if (holds) return;
  if (failed++ < 10) printf("%s: %s: %a, 0x%04x\n", type.name, what, x, bits);
}

double value_of(const format &type, unsigned magnitude) {
  unsigned fraction = magnitude & ((1u << type.fraction_bits) - 1), exponent = magnitude >> type.fraction_bits;
  double unit = 1u << type.fraction_bits;
  if (!exponent) return std::ldexp(fraction / unit, 1 - type.bias);
  return std::ldexp(1 + fraction / unit, (int)exponent - type.bias); /* for infinity: what would follow the largest number */
}

/* Nearest pattern to x >= 0, ties to the even one; past the middle between the largest number and its successor is infinity. */
unsigned nearest(const format &type, double x) {
  unsigned low = 0, high = type.infinity;
  while (high - low > 1) {
    unsigned middle = (low + high) / 2;
    (value_of(type, middle) <= x ? low : high) = middle;
  }
  if (value_of(type, high) <= x) return high;
  double below = x - value_of(type, low), above = value_of(type, high) - x;
  return below < above || (below == above && low % 2 == 0) ? low : high;
}

void check_float(const format &type, float x) {
  unsigned short got = type.narrow(x);
  if (std::isnan(x)) {
    expect(type, got == 0x7fff, "a NaN", (double)x, got);
    return;
  }
  unsigned expected = std::isinf(x) ? type.infinity : nearest(type, std::fabs((double)x));
  expect(type, got == (expected | (std::signbit(x) ? 0x8000u : 0)), "rounding", (double)x, got);
}

void check_patterns(const format &type) {
  for (unsigned bits = 0; bits < 65536; bits++) {
    float x = type.widen((unsigned short)bits);
    unsigned magnitude = bits & 0x7fff;
    expect(type, std::isnan(x) == (magnitude > type.infinity), "which patterns are NaN", (double)x, bits);
    if (magnitude > type.infinity) continue;
    expect(type, std::signbit(x) == (bits >> 15 != 0), "sign", (double)x, bits);
    double expected = magnitude == type.infinity ? (double)INFINITY : value_of(type, magnitude);
    expect(type, std::fabs((double)x) == expected, "value", (double)x, bits);
    expect(type, type.narrow(x) == bits, "there and back", (double)x, bits);
  }
}

void check_floats(const format &type) {
  const unsigned low[] = {0, 1, 0x0fff, 0x1000, 0x1001, 0x1fff, 0x2000, 0x3000, 0x7fff, 0x8000, 0x8001, 0xffff};
  for (unsigned high = 0; high < 65536; high++) {
    for (unsigned bits : low) check_float(type, __uint_as_float(high << 16 | bits));
  }
}

const format types[] = {
    {"half", 10, 15, 0x7c00, [](float x) { return __half_as_ushort(__float2half(x)); },
     [](unsigned short bits) { return __half2float(__ushort_as_half(bits)); }},
    {"bfloat16", 7, 127, 0x7f80, [](float x) { return __bfloat16_as_ushort(__float2bfloat16(x)); },
     [](unsigned short bits) { return __bfloat162float(__ushort_as_bfloat16(bits)); }},
};

}  // namespace

int main() {
  for (const format &type : types) {
    check_patterns(type);
    check_floats(type);
  }
  printf("%d failed\n", failed);
  return failed ? 1 : 0;
}

/* bf16 and fp16 on the host: every number comes back, and what lies between two goes to the nearer one, in the middle to the
 * one whose last bit is 0. */
#include <stdio.h>

#include "gpu/value.c"

static int failures;

static double value_of(dt_gpu_type type, uint16_t bits) {
  return type == DT_GPU_F16 ? double_of_half(bits) : double_of_bfloat(bits);
}

static uint16_t bits_of(dt_gpu_type type, double x) {
  return type == DT_GPU_F16 ? half_of_double(x) : bfloat_of_double(x);
}

static void expect(dt_gpu_type type, double x, uint16_t bits) {
  uint16_t found = bits_of(type, x);
  if (found != bits && failures++ < 10) printf("FAIL: type %d, %a: found %04x, expected %04x\n", (int)type, x, found, bits);
}

/* Magnitudes are ordered as their bits are. */
static void sweep(dt_gpu_type type, uint16_t infinity) {
  for (uint16_t sign = 0;; sign = 0x8000) {
    for (uint16_t bits = 0; bits < infinity - 1; bits++) {
      double x = value_of(type, bits | sign), next = value_of(type, (bits + 1) | sign), middle = x + (next - x) / 2;
      uint16_t even = bits % 2 == 0 ? bits : bits + 1;
      expect(type, x, bits | sign);
      expect(type, middle, even | sign);
      expect(type, x + (next - x) / 4, bits | sign);
      expect(type, x + (next - x) * 3 / 4, (bits + 1) | sign);
    }
    expect(type, sign ? -(double)INFINITY : (double)INFINITY, infinity | sign);
    if (sign != 0) break;
  }
  if (!isnan(value_of(type, bits_of(type, (double)NAN)))) failures++, printf("FAIL: type %d: NaN is lost\n", (int)type);
}

int main(void) {
  static const struct {
    dt_gpu_type type;
    uint16_t bits;
    double value;
  } known[] = {{DT_GPU_F16, 0x3c00, 1},  {DT_GPU_F16, 0x7bff, 65504}, {DT_GPU_F16, 0x0001, 0x1p-24},  {DT_GPU_F16, 0xc500, -5},
               {DT_GPU_BF16, 0x3f80, 1}, {DT_GPU_BF16, 0xc0a0, -5},   {DT_GPU_BF16, 0x0080, 0x1p-126}};
  for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
    if (value_of(known[i].type, known[i].bits) != known[i].value) failures++, printf("FAIL: known value %zu\n", i);
  }
  sweep(DT_GPU_F16, 0x7c00);
  sweep(DT_GPU_BF16, 0x7f80);
  expect(DT_GPU_F16, 65519.9, 0x7bff);
  expect(DT_GPU_F16, 65520, 0x7c00);
  if (failures == 0) printf("ok\n");
  return failures > 0;
}

/* The host's order is [samples][C][H][W], the device's [samples][H][W][C]; a view lies in the order of what it is a view of. */
#include "gpu/value.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/program/lowering.h"

/* --- elements --- */

/* 5 bits of exponent, 10 of fraction. */
static double double_of_half(uint16_t bits) {
  int exponent = bits >> 10 & 31, fraction = bits & 1023;
  double sign = bits >> 15 ? -1 : 1;
  if (exponent == 31) return fraction != 0 ? (double)NAN : sign * (double)INFINITY;
  if (exponent == 0) return sign * ldexp(fraction, -24);
  return sign * ldexp(fraction + 1024, exponent - 25);
}

static uint16_t half_of_double(double x) {
  uint16_t sign = signbit(x) ? 0x8000 : 0;
  double size = fabs(x);
  int exponent;
  if (isnan(x)) return sign | 0x7e00;
  if (size == 0) return sign;
  if (size >= 65520) return sign | 0x7c00; /* rounds to 2^16 */
  frexp(size, &exponent);
  if (exponent < -13) exponent = -13; /* below, numbers are multiples of 2^-24 */
  /* The hidden bit, or the carry of rounding, adds one to the exponent's field. */
  return (uint16_t)(sign + ((exponent + 13) << 10) + (int)nearbyint(ldexp(size, 11 - exponent)));
}

/* The upper half of a float, rounded to even. */
static uint16_t bfloat_of_double(double x) {
  float narrow = (float)x;
  uint32_t bits;
  if (isnan(narrow)) return 0x7fff;
  memcpy(&bits, &narrow, sizeof bits);
  return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static double double_of_bfloat(uint16_t upper) {
  uint32_t bits = (uint32_t)upper << 16;
  float x;
  memcpy(&x, &bits, sizeof x);
  return (double)x;
}

static double load_element(dt_gpu_type type, const void *from, int64_t i) {
  switch (type) {
    case DT_GPU_BF16:
      return double_of_bfloat(((const uint16_t *)from)[i]);
    case DT_GPU_F16:
      return double_of_half(((const uint16_t *)from)[i]);
    default:
      return (double)((const float *)from)[i];
  }
}

static void store_element(dt_gpu_type type, void *to, int64_t i, double x) {
  switch (type) {
    case DT_GPU_BF16:
      ((uint16_t *)to)[i] = bfloat_of_double(x);
      break;
    case DT_GPU_F16:
      ((uint16_t *)to)[i] = half_of_double(x);
      break;
    default:
      ((float *)to)[i] = (float)x;
  }
}

/* --- buffers --- */

typedef struct place {
  void *memory;
  int64_t samples, channels, positions;
  size_t bytes;
} place;

static place place_of(const dt_run *run, int buffer, const dt_micro_batch *micro) {
  const dt_buffer *root = &run->program->buffer[dt_buffer_root(run->program, buffer)];
  DT_ASSERT(root->kind == DT_BUF_VALUE);
  place p = {.memory = (char *)run->blocks.arena + root->offset,
             .samples = dt_gpu_places(run, micro),
             .channels = dt_shape_channels(&root->shape),
             .positions = dt_shape_inner(&root->shape)};
  p.bytes = (size_t)(p.samples * p.channels * p.positions) * dt_gpu_type_bytes(dt_gpu_of(run)->type);
  return p;
}

/* Where an element stands in either order. */
typedef struct order {
  int64_t host, device;
} order;

static order order_of(const place *p, int64_t n, int64_t c, int64_t i) {
  return (order){.host = (n * p->channels + c) * p->positions + i, .device = (n * p->positions + i) * p->channels + c};
}

static void transpose_to_host(dt_gpu_type type, const place *p, const void *from, double *out) {
  for (int64_t n = 0; n < p->samples; n++) {
    for (int64_t c = 0; c < p->channels; c++) {
      for (int64_t i = 0; i < p->positions; i++) {
        order at = order_of(p, n, c, i);
        out[at.host] = load_element(type, from, at.device);
      }
    }
  }
}

static void transpose_to_device(dt_gpu_type type, const place *p, const double *in, void *to) {
  for (int64_t n = 0; n < p->samples; n++) {
    for (int64_t c = 0; c < p->channels; c++) {
      for (int64_t i = 0; i < p->positions; i++) {
        order at = order_of(p, n, c, i);
        store_element(type, to, at.device, in[at.host]);
      }
    }
  }
}

dt_status dt_gpu_read_value(dt_run *run, int buffer, const dt_micro_batch *micro, double *out) {
  place p = place_of(run, buffer, micro);
  void *copy = NULL;
  DT_TRY(dt_alloc(1, p.bytes, &copy));
  dt_status status = run->device->ops->download(run->device, copy, p.memory, p.bytes);
  if (status == DT_OK) transpose_to_host(dt_gpu_of(run)->type, &p, copy, out);
  free(copy);
  return status;
}

dt_status dt_gpu_write_value(dt_run *run, int buffer, const dt_micro_batch *micro, const double *in) {
  place p = place_of(run, buffer, micro);
  void *copy = NULL;
  DT_TRY(dt_alloc(1, p.bytes, &copy));
  transpose_to_device(dt_gpu_of(run)->type, &p, in, copy);
  dt_status status = run->device->ops->upload(run->device, p.memory, copy, p.bytes);
  free(copy);
  return status;
}

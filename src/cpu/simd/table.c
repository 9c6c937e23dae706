#include "cpu/simd/kernels.h"
#include "cpu/simd/math.h"
#include "cpu/simd/product.h"

#define TEXT2(a) #a
#define TEXT(a) TEXT2(a)

static void add_elements(float *restrict into, const float *restrict from, int64_t count) {
  int64_t i = 0;
  for (; i + 16 <= count; i += 16) v16_store(into + i, v16_add(v16_load(into + i), v16_load(from + i)));
  for (; i < count; i++) into[i] += from[i];
}

/* The square of a float is exact in double. */
static double sum_squares(const float *x, int64_t count) {
  double lane[16] = {0}, sum = 0;
  int64_t i = 0;
  for (; i + 16 <= count; i += 16) {
    for (int l = 0; l < 16; l++) lane[l] += (double)x[i + l] * (double)x[i + l];
  }
  for (; i < count; i++) lane[i % 16] += (double)x[i] * (double)x[i];
  for (int l = 0; l < 16; l++) sum += lane[l];
  return sum;
}

static void multiply(const float *a, int64_t rows, int64_t depth, const float *x, int64_t blocks, float *y) {
  const product p = {
      .a = a, .a_row = depth, .a_step = 1, .x = x, .x_block = depth * 16, .depth = depth, .y = y, .y_block = rows * 16};
  DT_SIMD(dt_cpu_product)(&p, rows, blocks);
}

#define MAP(name)                                                                          \
  static void map_##name(const float *x, float *y, int64_t count) {                        \
    for (int64_t i = 0; i < count; i += 16) v16_store(y + i, v16_##name(v16_load(x + i))); \
  }
MAP(exp)
MAP(log)
MAP(log1p)
MAP(tanh)
MAP(sigmoid)
MAP(erf)

const dt_cpu_kernels DT_SIMD(dt_cpu_kernels) = {
    .isa = TEXT(DT_ISA),
    .kernel =
        {
#define DT_OP(OP, name, section, attr, reference, cpu, gpu, reads, writes) \
  DT_WHERE_##cpu(DT_VECTOR_##section([DT_OP_##OP] = DT_SIMD(dt_cpu_##name), ))
#include "core/program/ops.def"
#undef DT_OP
        },
#define X(OP, name) [DT_OP_##OP] = DT_SIMD(dt_cpu_##name##_work),
    .work = {DT_CPU_WORKS(X)},
#undef X
    .multiply = multiply,
    .exp = map_exp,
    .log = map_log,
    .log1p = map_log1p,
    .tanh = map_tanh,
    .sigmoid = map_sigmoid,
    .erf = map_erf,
    .squares = sum_squares,
    .add = add_elements,
};

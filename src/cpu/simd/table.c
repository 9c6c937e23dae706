#include "cpu/simd/kernels.h"

#define TEXT2(a) #a
#define TEXT(a) TEXT2(a)

static void add_elements(float *restrict into, const float *restrict from, int64_t count) {
  int64_t i = 0;
  for (; i + 16 <= count; i += 16) v16_store(into + i, v16_add(v16_load(into + i), v16_load(from + i)));
  for (; i < count; i++) into[i] += from[i];
}

const dt_cpu_kernels DT_SIMD(dt_cpu_kernels) = {
    .isa = TEXT(DT_ISA),
#define X(op, name) [DT_OP_##op] = DT_SIMD(dt_cpu_##name),
    .kernel = {DT_CPU_KERNELS(X)},
    .work = {DT_CPU_WORKS(X)},
#undef X
    .add = add_elements,
};

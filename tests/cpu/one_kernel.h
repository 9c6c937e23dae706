/* One instruction on the cpu device, without a graph: buffers are declared by hand, filled with numbers drawn from a seed, and
 * read back in logical order. */
#ifndef DT_TESTS_CPU_ONE_KERNEL_H
#define DT_TESTS_CPU_ONE_KERNEL_H

#include <stdlib.h>
#include <string.h>

#include "core/config/spec.h"
#include "core/device.h"
#include "cpu/cpu.h"
#include "support/unit.h"

enum { ONE_BUFFERS = 16, ONE_SHARDS = 64, ONE_FLAT = 1 << 20 };

typedef struct one_kernel {
  dt_device *device;
  dt_program program;
  dt_buffer buffer[ONE_BUFFERS];
  dt_instr instr;
  dt_run run;
  dt_micro_batch micro;
  dt_batch batch;
  dt_step step;
  int32_t filled[ONE_SHARDS];
  int64_t place[ONE_SHARDS];
  dt_field field; /* of class labels, for one_target */
  int32_t *labels;
  int64_t param_elements, grad_elements, state_elements;
} one_kernel;

/* false: this machine lacks the instruction set, or OpenBLAS for isa "blas" (the best instruction set, with `math: blas`). */
static inline bool one_create(one_kernel *k, dt_op op, const char *isa, int threads, int shards, int slots) {
  memset(k, 0, sizeof *k);
  bool blas = strcmp(isa, "blas") == 0;
  if (!blas) setenv("DTRAIN_ISA", isa, 1);
  dt_device_options options = {.threads = threads, .spin = true, .math = blas ? DT_MATH_BLAS : DT_MATH_OWN};
  dt_status status = dt_cpu_create(&options, &k->device);
  unsetenv("DTRAIN_ISA");
  if (status == DT_ENVIRONMENT) {
    dt_error_clear();
    return false;
  }
  assert_int_equal(status, DT_OK);
  k->field = (dt_field){.name = "label", .dtype = DT_I32};
  k->program = (dt_program){.field = &k->field,
                            .field_count = 1,
                            .buffer = k->buffer,
                            .shards = shards,
                            .micro_batch_shards = shards,
                            .shard_capacity = slots};
  k->instr.op = op;
  for (int i = 0; i < DT_ARG_COUNT; i++) k->instr.arg[i] = -1;
  k->micro = (dt_micro_batch){.shard_count = shards, .batch = &k->batch};
  k->labels = calloc((size_t)(shards * slots), sizeof *k->labels);
  k->batch = (dt_batch){.field = {{{k->labels}}}, .valid = k->filled, .position = k->place};
  for (int s = 0; s < shards; s++) {
    k->filled[s] = slots;
    k->place[s] = s * slots;
  }
  k->run = (dt_run){.device = k->device, .program = &k->program, .step = &k->step};
  return true;
}

static inline void one_buffer(one_kernel *k, dt_arg arg, dt_buffer_kind kind, dt_shape shape) {
  dt_buffer *b = &k->buffer[k->program.buffer_count];
  int64_t *flat = kind == DT_BUF_PARAM ? &k->param_elements : kind == DT_BUF_GRAD ? &k->grad_elements : &k->state_elements;
  *b = (dt_buffer){.kind = kind, .shape = shape, .alias_of = -1};
  if (kind == DT_BUF_PARAM || kind == DT_BUF_GRAD || kind == DT_BUF_STATE) {
    b->offset = *flat;
    *flat += (dt_shape_count(&shape) + 15) / 16 * 16;
  } else {
    b->bytes = kind == DT_BUF_WORK
                   ? (size_t)shape.dim[0]
                   : k->device->ops->buffer_bytes(k->device, kind, &shape, k->program.shard_capacity, k->program.shards);
    b->offset = (int64_t)k->program.arena_bytes;
    k->program.arena_bytes += (b->bytes + 63) / 64 * 64;
  }
  k->instr.arg[arg] = k->program.buffer_count++;
}

/* The argument is the field of the labels. */
static inline void one_target(one_kernel *k, dt_arg arg) {
  k->buffer[k->program.buffer_count] = (dt_buffer){.kind = DT_BUF_FIELD, .alias_of = -1};
  k->instr.arg[arg] = k->program.buffer_count++;
}

/* Obtains memory once all buffers are declared. */
static inline void one_bind(one_kernel *k) {
  size_t work = 0;
  assert_int_equal(k->device->ops->work_bytes(k->device, &k->program, &k->instr, &work), DT_OK);
  if (work > 0) one_buffer(k, DT_ARG_WORK, DT_BUF_WORK, (dt_shape){1, {(int64_t)work}});
  k->program.grad_elements = k->grad_elements;
  const dt_device_ops *ops = k->device->ops;
  assert_int_equal(ops->alloc(k->device, k->program.arena_bytes, &k->run.blocks.arena), DT_OK);
  assert_int_equal(ops->alloc(k->device, (size_t)k->param_elements * 4, &k->run.blocks.param), DT_OK);
  assert_int_equal(ops->alloc(k->device, (size_t)k->grad_elements * 4, &k->run.blocks.grad), DT_OK);
  assert_int_equal(ops->alloc(k->device, (size_t)k->state_elements * 4, &k->run.blocks.state), DT_OK);
}

static inline void one_destroy(one_kernel *k) {
  const dt_device_ops *ops = k->device->ops;
  ops->free(k->device, k->run.blocks.arena);
  ops->free(k->device, k->run.blocks.param);
  ops->free(k->device, k->run.blocks.grad);
  ops->free(k->device, k->run.blocks.state);
  free(k->labels);
  ops->destroy(&k->device);
}

static inline int64_t one_count(const one_kernel *k, dt_arg arg) {
  return dt_shape_count(&k->buffer[k->instr.arg[arg]].shape);
}

static inline float *one_flat(one_kernel *k, dt_arg arg) {
  return dt_cpu_buffer(&k->run, &k->micro, k->instr.arg[arg]);
}

/* Numbers in [-1, 1) with few bits, the same for the same seed. */
static inline double one_draw(uint32_t *seed) {
  *seed = *seed * 1664525u + 1013904223u;
  return (double)(int32_t)(*seed >> 16) / 32768.0 - 1.0;
}

/* Fills a VALUE: empty positions get zeros when zero_empty, as the gradient of the loss does. Returns the doubles (free). */
static inline double *one_fill_value(one_kernel *k, dt_arg arg, uint32_t seed, bool zero_empty) {
  int64_t count = one_count(k, arg), slots = k->program.shard_capacity;
  double *value = calloc((size_t)(k->program.shards * slots * count), sizeof *value), *v = value;
  for (int s = 0; s < k->program.shards; s++) {
    for (int64_t n = 0; n < slots; n++) {
      for (int64_t e = 0; e < count; e++, v++) *v = zero_empty && n >= k->filled[s] ? 0 : (float)one_draw(&seed);
    }
  }
  assert_int_equal(k->device->ops->write_value(&k->run, k->instr.arg[arg], &k->micro, value), DT_OK);
  return value;
}

static inline float *one_fill_flat(one_kernel *k, dt_arg arg, uint32_t seed) {
  float *flat = one_flat(k, arg);
  for (int64_t i = 0; i < one_count(k, arg); i++) flat[i] = (float)one_draw(&seed);
  return flat;
}

static inline double *one_read_value(one_kernel *k, dt_arg arg) {
  double *value = calloc((size_t)(k->program.shards * k->program.shard_capacity * one_count(k, arg)), sizeof *value);
  assert_int_equal(k->device->ops->read_value(&k->run, k->instr.arg[arg], &k->micro, value), DT_OK);
  return value;
}

static inline void one_run(one_kernel *k) {
  assert_int_equal(k->device->kernel[k->instr.op](&k->run, &k->instr, &k->micro), DT_OK);
}

static inline void assert_close(double got, double expected, double tolerance, const char *what, int64_t index) {
  double scale = expected < 0 ? -expected : expected;
  double error = got < expected ? expected - got : got - expected;
  if (!(error <= tolerance * (1 + scale))) fail_msg("%s[%lld]: got %.9g, expected %.9g", what, (long long)index, got, expected);
}

static const char *const one_isas[] = {"plain", "avx2", "avx512"};
enum { ONE_ISAS = 3 };

#endif

#include "gpu/kernel_run.h"

#include <stdlib.h>
#include <string.h>

#include "support/unit.h"

kernel_run *kernel_now;

enum { MEMORY_MOST = 64 };
static void *held[MEMORY_MOST];
static int cached_count;

/* --- what args.c would say --- */

void *dt_gpu_arg(const dt_run *run, const dt_instr *instr, const dt_micro_batch *micro, dt_arg arg) {
  return kernel_now->memory[arg];
}

int64_t dt_gpu_count(const dt_program *program, const dt_instr *instr, dt_arg arg) {
  return kernel_now->count[arg];
}

dt_gpu_image dt_gpu_image_of(const dt_run *run, const dt_instr *instr, const dt_micro_batch *micro, dt_arg arg) {
  return kernel_now->image[arg];
}

dt_gpu_values dt_gpu_values_of(const dt_run *run, const dt_instr *instr, const dt_micro_batch *micro, dt_arg arg) {
  const dt_gpu_image *image = &kernel_now->image[arg];
  return (dt_gpu_values){.samples = image->samples, .inner = image->height * image->width, .channels = image->channels};
}

dt_gpu_input dt_gpu_input_of(const dt_run *run, const dt_micro_batch *micro) {
  return (dt_gpu_input){.step = kernel_now->step,
                        .shards = {kernel_now->filled, run->program->shard_capacity, micro->shard_count},
                        .position = kernel_now->position};
}

float *dt_gpu_loss_scale(const dt_run *run) {
  return kernel_now->loss_scale;
}

dt_gpu_stretch dt_gpu_stretch_of(const dt_run *run, const dt_instr *instr) {
  const dt_bucket *bucket = &run->program->bucket[instr->bucket];
  return (dt_gpu_stretch){bucket->first, bucket->param_count};
}

const dt_segment *dt_gpu_tensors_of(const dt_run *run) {
  return kernel_now->tensors;
}

dt_gpu_pieces dt_gpu_pieces_of(const dt_run *run, const dt_gpu_stretch *stretch) {
  return dt_gpu_pieces_within(&kernel_now->pieces, stretch);
}

void *dt_gpu_low_params(const dt_run *run) {
  return kernel_now->low;
}

const void *dt_gpu_field(const dt_run *run, const dt_micro_batch *micro, int field, dt_field_part part) {
  return kernel_now->field;
}

/* --- memory --- */

static void cuda_ok(cudaError_t code) {
  if (code != cudaSuccess) fail_msg("%s", cudaGetErrorString(code));
}

void kernel_ok(dt_status status) {
  if (status != DT_OK) fail_msg("%s", dt_error_text());
}

void kernel_run_begin(kernel_run *k, dt_gpu_type type) {
  *k = (kernel_run){.gpu = {.type = type}};
  kernel_now = k;
  cuda_ok(cudaSetDevice(0));
  cuda_ok(cudaStreamCreateWithFlags(&k->gpu.stream[DT_STREAM_COMPUTE], cudaStreamNonBlocking));
  k->run = (dt_run){.device = &k->gpu.base, .program = &k->program};
  k->instr.stream = DT_STREAM_COMPUTE;
  k->program.micro_batch_shards = k->micro.shard_count = 1;
  k->step = kernel_memory(NULL, sizeof *k->step);
  k->filled = kernel_memory(NULL, sizeof *k->filled);
}

void kernel_run_end(kernel_run *k) {
  cuda_ok(cudaStreamSynchronize(k->gpu.stream[DT_STREAM_COMPUTE]));
  while (cached_count > 0) cuda_ok(cudaFree(held[--cached_count]));
  cuda_ok(cudaStreamDestroy(k->gpu.stream[DT_STREAM_COMPUTE]));
  kernel_now = NULL;
}

void kernel_write(void *to, const void *from, size_t bytes) {
  cuda_ok(cudaStreamSynchronize(kernel_now->gpu.stream[DT_STREAM_COMPUTE]));
  cuda_ok(cudaMemcpy(to, from, bytes, cudaMemcpyHostToDevice));
}

void kernel_read(void *to, const void *from, size_t bytes) {
  cuda_ok(cudaStreamSynchronize(kernel_now->gpu.stream[DT_STREAM_COMPUTE]));
  cuda_ok(cudaMemcpy(to, from, bytes, cudaMemcpyDeviceToHost));
}

void *kernel_room(size_t count) {
  void *memory = NULL;
  assert_true(cached_count < MEMORY_MOST);
  cuda_ok(cudaMalloc(&memory, count > 0 ? count : 1));
  held[cached_count++] = memory;
  return memory;
}

void *kernel_memory(const void *bytes, size_t count) {
  void *zeros = calloc(1, count > 0 ? count : 1), *memory = kernel_room(count);
  assert_non_null(zeros);
  kernel_write(memory, bytes != NULL ? bytes : zeros, count);
  free(zeros);
  return memory;
}

/* --- values --- */

static uint32_t bits_of(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}

static float float_of(uint32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

/* bfloat16 is the upper half of a float, rounded to nearest, ties to even; a NaN keeps its upper half. */
static uint16_t bf16_of(float x) {
  uint32_t bits = bits_of(x);
  return (uint16_t)(x != x ? bits >> 16 | 1 : (bits + 0x7fffu + (bits >> 16 & 1)) >> 16);
}

float kernel_round(dt_gpu_type type, float x) {
  assert_true(type == DT_GPU_F32 || type == DT_GPU_BF16);
  return type == DT_GPU_F32 ? x : float_of((uint32_t)bf16_of(x) << 16);
}

void *kernel_values(float *value, int64_t count) {
  dt_gpu_type type = kernel_now->gpu.type;
  for (int64_t i = 0; i < count; i++) value[i] = kernel_round(type, value[i]);
  if (type == DT_GPU_F32) return kernel_memory(value, (size_t)count * sizeof *value);
  uint16_t *narrow = malloc((size_t)count * sizeof *narrow);
  assert_non_null(narrow);
  for (int64_t i = 0; i < count; i++) narrow[i] = bf16_of(value[i]);
  void *memory = kernel_memory(narrow, (size_t)count * sizeof *narrow);
  free(narrow);
  return memory;
}

void kernel_read_values(float *to, const void *from, int64_t count) {
  if (kernel_now->gpu.type == DT_GPU_F32) {
    kernel_read(to, from, (size_t)count * sizeof *to);
    return;
  }
  uint16_t *narrow = malloc((size_t)count * sizeof *narrow);
  assert_non_null(narrow);
  kernel_read(narrow, from, (size_t)count * sizeof *narrow);
  for (int64_t i = 0; i < count; i++) to[i] = float_of((uint32_t)narrow[i] << 16);
  free(narrow);
}

static double uniform(uint32_t *state) {
  *state = *state * 1664525u + 1013904223u;
  return (*state >> 8) / 16777216.0;
}

/* Four uniform numbers have a variance of 4 / 12. */
float *kernel_numbers(uint32_t seed, int64_t count, double mean, double deviation) {
  float *value = malloc((size_t)count * sizeof *value);
  uint32_t state = seed * 2654435761u + 1;
  assert_non_null(value);
  for (int64_t i = 0; i < count; i++) {
    double sum = uniform(&state) + uniform(&state) + uniform(&state) + uniform(&state);
    value[i] = (float)(mean + deviation * (sum - 2) * 1.7320508);
  }
  return value;
}

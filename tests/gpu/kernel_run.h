/* One kernel function of src/gpu on the emulated GPU, without a device or a program around it: the test says what each argument
 * is, and this file stands in for what would find it (src/gpu/args.c). */
#ifndef DT_TESTS_GPU_KERNEL_RUN_H
#define DT_TESTS_GPU_KERNEL_RUN_H

#include "gpu/gpu.h"

typedef struct kernel_run {
  dt_gpu gpu;
  dt_program program;
  dt_run run;
  dt_instr instr;
  dt_micro_batch micro;
  void *memory[DT_ARG_COUNT];       /* device memory; NULL = absent */
  dt_gpu_image image[DT_ARG_COUNT]; /* of values */
  int64_t count[DT_ARG_COUNT];      /* elements a sample, or of a block */
  dt_step *step;
  int32_t *filled; /* of each shard */
  float *loss_scale;
  dt_segment *tensors;  /* of TENSOR_NORM, in device memory */
  dt_gpu_pieces pieces; /* of UPDATE, with its piece in device memory */
  void *low;
  void *field;       /* of any number and part: device memory */
  int64_t *position; /* of each shard, in device memory */
} kernel_run;

/* The run that the kernel functions see. */
extern kernel_run *kernel_now;

/* A run of this value type with nothing but a stream, a step, one shard and its filled count. It becomes kernel_now. */
void kernel_run_begin(kernel_run *k, dt_gpu_type type);
void kernel_run_end(kernel_run *k);
/* Device memory as it comes, which takes only what is written of it where the emulated GPU is told so (sparse). */
void *kernel_room(size_t count);
/* Device memory with these bytes in it, or zeros. Freed by kernel_run_end. */
void *kernel_memory(const void *bytes, size_t count);
/* The same with values rounded to the value type; the values are rounded in place. */
void *kernel_values(float *value, int64_t count);
/* Waits, and copies back. */
void kernel_read(void *to, const void *from, size_t bytes);
void kernel_read_values(float *to, const void *from, int64_t count);
void kernel_write(void *to, const void *from, size_t bytes);
/* Fails the test with the error's text. */
void kernel_ok(dt_status status);
/* `count` numbers around mean, the same for the same seed: roughly normal, with this standard deviation. New; free it. */
float *kernel_numbers(uint32_t seed, int64_t count, double mean, double deviation);
/* Rounded to the value type, as the kernels store it. */
float kernel_round(dt_gpu_type type, float x);

#endif

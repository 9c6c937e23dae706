/* Penalties of parameters, against plain loops: gradients have the bits of the cpu's. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "gpu/kernel_run.h"
#include "support/unit.h"

enum { ALL = 40000 };

static const dt_segment alike[] = {{.first = 0, .count = ALL, .lr_scale = 1, .decay = true}};
static const dt_segment apart[] = {{.first = 0, .count = 64, .lr_scale = 1, .decay = true},
                                   {.first = 64, .count = 20000, .lr_scale = 1, .decay = false},
                                   {.first = 20064, .count = ALL - 20064, .lr_scale = 1, .decay = true}};

static void begin(kernel_run *k, dt_bucket *bucket, const dt_segment *segment, int count, const float *p, const float *g) {
  kernel_run_begin(k, DT_GPU_F32);
  *bucket = (dt_bucket){.first = 0, .count = ALL, .param_count = ALL};
  k->program.mode = DT_PROGRAM_TRAIN, k->program.param_elements = k->program.trained_elements = ALL;
  k->program.bucket = bucket, k->program.bucket_count = 1;
  k->program.segment = (dt_segment *)segment, k->program.segment_count = count;
  k->run.blocks.param = kernel_memory(p, ALL * sizeof *p), k->run.blocks.grad = kernel_memory(g, ALL * sizeof *g);
  const size_t bytes = dt_gpu_pieces_bytes(&k->program);
  if (bytes == 0) return;
  k->pieces = (dt_gpu_pieces){.count = (int)(bytes / sizeof(dt_segment)), .host = malloc(bytes)};
  assert_non_null(k->pieces.host);
  dt_gpu_pieces_fill(&k->program, k->pieces.host);
  k->pieces.piece = kernel_memory(k->pieces.host, bytes);
}

static void check_penalty(const dt_segment *segment, int count, float loss_scale) {
  static float got[ALL];
  float *p = kernel_numbers(60, ALL, 0, 1), *g = kernel_numbers(61, ALL, 0, 60), scaling[DT_LOSS_SCALE_COUNT] = {loss_scale};
  dt_step step = {.batch_samples = 24, .l1 = 0.3, .l2 = 0.07};
  const double samples = 24 * (loss_scale > 0 ? (double)loss_scale : 1);
  double expected = 0;
  size_t work = 0;
  dt_bucket bucket;
  kernel_run k;
  for (int i = 0; i < ALL; i += 5) p[i] = 0;
  begin(&k, &bucket, segment, count, p, g);
  if (loss_scale > 0) k.loss_scale = kernel_memory(scaling, sizeof scaling);
  kernel_write(k.step, &step, sizeof step);
  kernel_ok(dt_gpu_penalty_work(&k.gpu, &k.program, &k.instr, &work));
  k.memory[DT_ARG_WORK] = kernel_memory(NULL, work);
  kernel_ok(dt_gpu_penalty(&k.run, &k.instr, &k.micro));
  for (int s = 0; s < count; s++) {
    for (int64_t i = segment[s].first; segment[s].decay && i < segment[s].first + segment[s].count; i++) {
      const float sign = (float)(step.l1 * samples), product = (float)(step.l2 * samples) * p[i];
      const float sum = (p[i] > 0 ? sign : p[i] < 0 ? -sign : 0) + product;
      g[i] = g[i] + sum;
      expected += 0.3 * fabs((double)p[i]) + 0.07 / 2 * (double)p[i] * (double)p[i];
    }
  }
  kernel_read(got, k.run.blocks.grad, sizeof got);
  if (memcmp(got, g, sizeof got) != 0) fail_msg("gradients have other bits than the cpu's");
  kernel_read(&step, k.step, sizeof step);
  if (!(fabs(step.penalty - expected) <= 1e-12 * expected))
    fail_msg("penalty: found %.17g, expected %.17g", step.penalty, expected);
  free(p), free(g), free(k.pieces.host);
  kernel_run_end(&k);
}

static void test_penalty(void **state) {
  check_penalty(alike, 1, 0);
  check_penalty(apart, 3, 0);
  check_penalty(alike, 1, 1024);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_penalty)};
  return cmocka_run_group_tests_name("penalty", tests, NULL, NULL);
}

/* Every optimizer's kernel gives the bits of the cpu's: core/optim compiled for the host is the oracle. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/config/spec.h"
#include "core/optim/average.h"
#include "core/optim/optimizer.h"
#include "gpu/kernel_run.h"
#include "support/unit.h"

/* A slice in the middle of the blocks; what lies around it must stay. */
enum { FIRST = 48, COUNT = 24096, AFTER = 32, ALL = FIRST + COUNT + AFTER };

/* One segment, and several: the first begins before the slice and the last ends behind it. */
static const dt_segment one[] = {{.first = 0, .count = ALL, .lr_scale = 1, .decay = true}};
static const dt_segment several[] = {
    {.first = 0, .count = 64, .lr_scale = 1, .decay = true, .tensor = 0},
    {.first = 64, .count = 16, .lr_scale = 1, .decay = false, .tensor = 1},
    {.first = 80,
     .count = 20000,
     .lr_scale = 0.25,
     .decay = true,
     .tensor = 2,
     .units = 100,
     .unit_count = 200,
     .matrix = true},
    {.first = 20080, .count = 992, .lr_scale = 1, .decay = true, .tensor = 3},
    {.first = 21072, .count = ALL - 21072, .lr_scale = 3, .decay = false, .tensor = 4},
};

typedef struct update_case {
  const char *name, *options; /* of the optimizer, as in a config */
  double hyper[DT_HYPER_MAX];
  const char *optimizer;
  dt_gpu_type type;
  bool skip, averages;
  double clip;    /* by value */
  double average; /* not 0: averages as well */
  const dt_segment *segment;
  int segment_count;
} update_case;

#define ONE .segment = one, .segment_count = 1
#define SEVERAL .segment = several, .segment_count = 5
static const update_case cases[] = {
    {"sgd", "{}", {0.1}, "sgd", DT_GPU_F32, ONE},
    {"sgd with momentum and decay", "{}", {0.1, 0.9, 5e-4}, "sgd", DT_GPU_F32, ONE},
    {"sgd, nesterov", "{nesterov: true}", {0.3, 0.9, 5e-4}, "sgd", DT_GPU_F32, ONE},
    {"sgd with a copy in bf16", "{}", {0.1, 0.9, 5e-4}, "sgd", DT_GPU_BF16, ONE},
    {"a skipped step", "{}", {0.1, 0.9, 5e-4}, "sgd", DT_GPU_BF16, .skip = true, ONE},
    {"sgd in segments", "{}", {0.1, 0.9, 5e-4}, "sgd", DT_GPU_F32, SEVERAL},
    {"segments of a skipped step", "{}", {0.1, 0.9, 5e-4}, "sgd", DT_GPU_BF16, .skip = true, SEVERAL},
    {"adam", "{}", {0.01, 0.9, 0.999, 0}, "adam", DT_GPU_F32, ONE},
    {"adam with decay", "{eps: 1e-3}", {0.01, 0.85, 0.97, 0.01}, "adam", DT_GPU_BF16, ONE},
    {"adam in segments", "{}", {0.01, 0.9, 0.999, 0.1}, "adam", DT_GPU_BF16, SEVERAL},
    {"adamw", "{}", {0.01, 0.9, 0.999, 0.01}, "adamw", DT_GPU_F32, ONE},
    {"lars", "{trust: 0.02}", {2, 0.9, 0.01}, "lars", DT_GPU_F32, ONE},
    {"lars in segments", "{}", {20, 0.9, 0.01}, "lars", DT_GPU_BF16, SEVERAL},
    {"adamw in segments", "{}", {0.01, 0.9, 0.999, 0.01}, "adamw", DT_GPU_F32, SEVERAL},
    {"amsgrad", "{}", {0.01, 0.9, 0.6, 0.01}, "amsgrad", DT_GPU_F32, ONE},
    {"amsgrad, decoupled, in segments", "{decoupled: true}", {0.01, 0.9, 0.6, 0.01}, "amsgrad", DT_GPU_BF16, SEVERAL},
    {"adagrad in segments", "{initial: 0.1}", {0.1, 0.01}, "adagrad", DT_GPU_F32, SEVERAL},
    {"adadelta in segments", "{}", {1, 0.9, 0.01}, "adadelta", DT_GPU_F32, SEVERAL},
    {"rmsprop", "{}", {0.01, 0.99, 0, 0.01}, "rmsprop", DT_GPU_F32, ONE},
    {"rmsprop, centered, in segments", "{centered: true}", {0.01, 0.9, 0.9, 0.01}, "rmsprop", DT_GPU_BF16, SEVERAL},
    {"nesterov in segments", "{}", {0.1, 0.9, 0.01}, "nesterov", DT_GPU_BF16, SEVERAL},
    {"schedule-free sgd", "{}", {0.1, 0.9, 0.01}, "schedule_free_sgd", DT_GPU_F32, ONE},
    {"schedule-free adamw in segments", "{}", {0.01, 0.9, 0.99, 0.1}, "schedule_free_adamw", DT_GPU_F32, SEVERAL},
    {"with an average", "{}", {0.1, 0.9, 0}, "sgd", DT_GPU_F32, .average = 0.125, ONE},
    {"an average that begins, in segments", "{}", {0.01, 0.9, 0.999, 0}, "adam", DT_GPU_BF16, .average = 1, SEVERAL},
    {"an average that waits", "{}", {0.1, 0.9, 0}, "sgd", DT_GPU_F32, .averages = true, ONE},
    {"an average of a skipped step", "{}", {0.1, 0.9, 0}, "sgd", DT_GPU_BF16, .skip = true, .average = 0.125, SEVERAL},
    {"an average of a skipped step, whole", "{}", {0.1, 0.9, 0}, "sgd", DT_GPU_BF16, .skip = true, .average = 0.125, ONE},
    {"lamb", "{}", {0.01, 0.9, 0.99, 0.1}, "lamb", DT_GPU_F32, ONE},
    {"lamb in segments", "{}", {0.01, 0.9, 0.99, 0.1}, "lamb", DT_GPU_BF16, SEVERAL},
    {"lamb, a skipped step", "{}", {0.01, 0.9, 0.99, 0.1}, "lamb", DT_GPU_BF16, .skip = true, SEVERAL},
    {"sgd, clipped by value", "{}", {0.1, 0.9, 5e-4}, "sgd", DT_GPU_F32, .clip = 0.25, ONE},
    {"lamb, clipped by value, in segments", "{}", {0.01, 0.9, 0.99, 0}, "lamb", DT_GPU_F32, .clip = 0.25, SEVERAL},
    {"muon", "{}", {0.01, 0.95, 0.1}, "muon", DT_GPU_F32, ONE},
    {"muon in segments", "{}", {0.01, 0.9, 0.1}, "muon", DT_GPU_BF16, SEVERAL},
    {"muon, original, in segments", "{scale: original, nesterov: false}", {0.01, 0.9, 0}, "muon", DT_GPU_F32, SEVERAL},
    {"lion in segments", "{}", {0.01, 0.9, 0.99, 0.1}, "lion", DT_GPU_BF16, SEVERAL},
};

static dt_config *parse(const update_case *row) {
  char text[512];
  snprintf(text, sizeof text,
           "name: s\ndata: {train: {idx: {images: a, labels: b}}}\nmodel: {input: [4], layers: [{linear: 2}]}\n"
           "train: {global_batch: 8, epochs: 1}\nschedule: {lr: 0.1}\noptimizer: {%s: %s}\n",
           row->optimizer, row->options);
  dt_config *config = NULL;
  kernel_ok(dt_config_parse("s.yaml", text, strlen(text), NULL, 0, &config));
  return config;
}

/* What TENSOR_NORM would have written of five tensors; the norm of one is 0. */
static const double tensor_rows[5][2] = {{60, 2e5}, {15, 4e4}, {2e4, 7e7}, {1e3, 3e6}, {0, 1e7}};

/* The cpu's directions, of the whole blocks. */
static void direct_here(const update_case *row, const dt_run *run, const dt_step *step, const float *p, float *g,
                        float *const *slot) {
  for (int s = 0; s < row->segment_count && !row->skip && run->optimizer->direct_f32 != NULL; s++) {
    const dt_segment *segment = &row->segment[s];
    const dt_update update = {.attr = run->optimizer_attr, .step = step, .segment = segment};
    float *at[DT_SLOTS_MAX];
    for (int k = 0; k < DT_SLOTS_MAX; k++) at[k] = slot[k] + segment->first;
    run->optimizer->direct_f32(&update, segment->count, p + segment->first, g + segment->first, at);
  }
}

/* The cpu's update of the slice; updated says which elements it came to. */
static void update_here(const update_case *row, const dt_run *run, const dt_step *step, float *p, const float *g,
                        float *const *slot, bool *updated) {
  memset(updated, 0, ALL * sizeof *updated);
  for (int s = 0; s < row->segment_count; s++) {
    const dt_segment *segment = &row->segment[s];
    const dt_update update = {
        .attr = run->optimizer_attr, .step = step, .segment = segment, .tensor = tensor_rows[segment->tensor]};
    int64_t first = segment->first > FIRST ? segment->first : FIRST, end = segment->first + segment->count;
    float *at[DT_SLOTS_MAX];
    if (end > FIRST + COUNT) end = FIRST + COUNT;
    for (int k = 0; k < DT_SLOTS_MAX; k++) at[k] = slot[k] + first;
    if (!row->skip) run->optimizer->update_f32(&update, end - first, p + first, g + first, at);
    if (run->averages) dt_average_f32(step->average, end - first, p + first, slot[run->optimizer->slots] + first);
    for (int64_t i = first; i < end; i++) updated[i] = !row->skip;
  }
}

static void check_copy(const kernel_run *k, const update_case *row, const float *p, const bool *updated) {
  static float low[ALL];
  kernel_read_values(low, k->low, ALL);
  for (int i = 0; i < ALL; i++) assert_true(low[i] == (updated[i] ? kernel_round(row->type, p[i]) : 0));
}

static void make_pieces(kernel_run *k) {
  size_t bytes = dt_gpu_pieces_bytes(&k->program);
  if (bytes == 0) return;
  k->pieces.count = (int)(bytes / sizeof(dt_segment));
  k->pieces.host = malloc(bytes);
  assert_non_null(k->pieces.host);
  dt_gpu_pieces_fill(&k->program, k->pieces.host);
  k->pieces.piece = kernel_memory(k->pieces.host, bytes);
}

static void test_update(void **state) {
  static bool updated[ALL];
  static float got[ALL];
  const update_case *row = *state;
  dt_config *config = parse(row);
  dt_step step = {.number = 5, .scale = 1.0 / 96, .clip_value = row->clip, .average = row->average, .skip = row->skip};
  dt_bucket bucket[] = {{.first = 0, .count = FIRST, .param_count = FIRST},
                        {.first = FIRST, .count = COUNT, .param_count = COUNT},
                        {.first = FIRST + COUNT, .count = AFTER, .param_count = AFTER}};
  float *p = kernel_numbers(50, ALL, 0, 1), *g = kernel_numbers(51, ALL, 0, 60), *slot[DT_SLOT_BLOCKS];
  dt_buffer buffer = {.shape = {.ndim = 1, .dim = {2}}};
  kernel_run k;
  memcpy(step.hyper, row->hyper, sizeof step.hyper);
  kernel_run_begin(&k, row->type);
  k.program.mode = DT_PROGRAM_TRAIN, k.program.param_elements = k.program.trained_elements = ALL;
  k.program.bucket = bucket, k.program.bucket_count = 3, k.instr.bucket = 1;
  k.program.segment = (dt_segment *)row->segment, k.program.segment_count = row->segment_count;
  k.run.optimizer = dt_config_spec(config)->optimizer.kind->impl, k.run.optimizer_attr = dt_config_spec(config)->optimizer.attr;
  k.run.averages = row->averages || row->average != 0;
  k.run.blocks.param = kernel_memory(p, sizeof got), k.run.blocks.grad = kernel_memory(g, sizeof got);
  for (int s = 0; s < DT_SLOT_BLOCKS; s++) {
    slot[s] = kernel_numbers(52 + (uint32_t)s, ALL, 0, 1);
    for (int i = 0; i < ALL; i++) slot[s][i] = fabsf(slot[s][i]); /* any may be a mean of squares */
    k.run.blocks.slot[s] = kernel_memory(slot[s], sizeof got);
  }
  k.program.buffer = &buffer, k.memory[DT_ARG_X] = kernel_memory(tensor_rows, sizeof tensor_rows);
  make_pieces(&k);
  if (row->type != DT_GPU_F32) k.low = kernel_memory(NULL, ALL * dt_gpu_type_bytes(row->type));
  kernel_write(k.step, &step, sizeof step);
  assert_true(dt_gpu_updates(&k.gpu.base, k.run.optimizer));
  if (k.run.optimizer->direct_f32 != NULL) kernel_ok(dt_gpu_direction(&k.run, &k.instr, &k.micro));
  kernel_ok(dt_gpu_update(&k.run, &k.instr, &k.micro));
  direct_here(row, &k.run, &step, p, g, slot);
  update_here(row, &k.run, &step, p, g, slot, updated);
  kernel_read(got, k.run.blocks.param, sizeof got);
  for (int i = 0; i < ALL; i++) assert_true(isfinite(got[i]));
  if (memcmp(got, p, sizeof got) != 0) fail_msg("%s: parameters have other bits than the cpu's", row->name);
  kernel_read(got, k.run.blocks.grad, sizeof got);
  if (memcmp(got, g, sizeof got) != 0) fail_msg("%s: gradients have other bits than the cpu's", row->name);
  for (int s = 0; s < DT_SLOT_BLOCKS; s++) {
    kernel_read(got, k.run.blocks.slot[s], sizeof got);
    if (memcmp(got, slot[s], sizeof got) != 0) fail_msg("%s: slot %d has other bits than the cpu's", row->name, s);
    free(slot[s]);
  }
  if (k.low != NULL) check_copy(&k, row, p, updated);
  free(p), free(g), free(k.pieces.host);
  kernel_run_end(&k);
  dt_config_destroy(&config);
}

static void test_lacked(void **state) {
  static const dt_optimizer other = {.name = "unheard_of"};
  kernel_run k;
  kernel_run_begin(&k, DT_GPU_F32);
  assert_false(dt_gpu_updates(&k.gpu.base, &other));
  kernel_run_end(&k);
}

/* The device has each optimizer that there is, and each has a case. */
static void test_all_are_here(void **state) {
  kernel_run k;
  kernel_run_begin(&k, DT_GPU_F32);
  for (const dt_kind *const *kind = dt_optimizer_kinds; *kind != NULL; kind++) {
    bool found = false;
    if (!dt_gpu_updates(&k.gpu.base, (*kind)->impl)) fail_msg("the gpu has no %s", (*kind)->name);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) found = found || strcmp(cases[i].optimizer, (*kind)->name) == 0;
    if (!found) fail_msg("%s has no case here", (*kind)->name);
  }
  kernel_run_end(&k);
}

int main(void) {
  enum { CASES = sizeof cases / sizeof *cases };
  struct CMUnitTest tests[CASES + 2];
  for (int i = 0; i < CASES; i++) {
    tests[i] = (struct CMUnitTest){.name = cases[i].name, .test_func = test_update, .initial_state = (void *)&cases[i]};
  }
  tests[CASES] = (struct CMUnitTest)cmocka_unit_test(test_lacked);
  tests[CASES + 1] = (struct CMUnitTest)cmocka_unit_test(test_all_are_here);
  return cmocka_run_group_tests_name("update", tests, NULL, NULL);
}

/* Segments: how lowering makes them, and that UPDATE keeps to them on each device that computes at once. */
#include <stdlib.h>
#include <string.h>

#include "core/optim/schedule.h"
#include "support/net.h"
#include "support/unit.h"

static net_options options_of(dt_status (*device)(const dt_device_options *options, dt_device **out)) {
  return (net_options){.input = "2, 6, 6",
                       .layers = "[{conv: {filters: 4, kernel: 3}}, batchnorm, relu, flatten, {linear: 3}]",
                       .optimizer = "{adam: {weight_decay: 0.1}}",
                       .global_batch = 6,
                       .shards = 2,
                       .lr = 0.05,
                       .device = device,
                       .threads = 2};
}

/* Copies of the parameters after one step with these segments, or with the program's own. */
static double *after_a_step(dt_status (*device)(const dt_device_options *options, dt_device **out), const dt_segment *segment,
                            int count, double lr) {
  net n;
  net_sums sums;
  net_options options = options_of(device);
  options.lr = lr;
  net_open(&n, &options);
  net_fill(&n);
  dt_segment *own = n.train->segment;
  int own_count = n.train->segment_count;
  if (segment != NULL) {
    n.train->segment = (dt_segment *)segment;
    n.train->segment_count = count;
  }
  if (lr >= 0) net_step(&n, "s", 6, 0, &sums);
  double *p = net_memory((size_t)n.train->param_elements * sizeof *p);
  net_read(&n, NET_PARAM, 0, n.train->param_elements, p);
  n.train->segment = own;
  n.train->segment_count = own_count;
  net_close(&n);
  return p;
}

static void check_device(dt_status (*device)(const dt_device_options *options, dt_device **out)) {
  enum { ALL = 336 }; /* linear 3 x 64 and 3, batchnorm 4 and 4, conv 4 x 18 and 4, each rounded up to 16 */
  static const dt_segment plain[] = {{.first = 0, .count = 4096, .lr_scale = 1, .decay = true}};
  static const dt_segment undecayed[] = {{.first = 0, .count = 4096, .lr_scale = 1}};
  dt_segment several[] = {{.first = 0, .count = 48, .lr_scale = 1, .decay = true},
                          {.first = 48, .count = 64, .lr_scale = 0.5, .decay = true},
                          {.first = 112, .count = 80, .lr_scale = 0, .decay = true},
                          {.first = 192, .count = 4096, .lr_scale = 1}};
  double *before = after_a_step(device, plain, 1, -1), *usual = after_a_step(device, plain, 1, 0.05);
  double *half = after_a_step(device, plain, 1, 0.025), *bare = after_a_step(device, undecayed, 1, 0.05);
  double *got = after_a_step(device, several, 4, 0.05);
  int differing[4] = {0};
  for (int i = 0; i < ALL; i++) {
    int s = i < 48 ? 0 : i < 112 ? 1 : i < 192 ? 2 : 3;
    const double *expected = (const double *[]){usual, half, before, bare}[s];
    if (got[i] != expected[i]) fail_msg("segment %d, element %d: found %.17g, expected %.17g", s, i, got[i], expected[i]);
    differing[s] += (s == 0 ? got[i] != before[i] : got[i] != usual[i]);
  }
  for (int s = 0; s < 4; s++) assert_true(differing[s] > 0);
  free(before), free(usual), free(half), free(bare), free(got);
}

static void reference_keeps_to_them(void **state) {
  check_device(dt_reference_create);
}

static void cpu_keeps_to_them(void **state) {
  check_device(dt_cpu_create);
}

/* --- lowering --- */

static void check_segment(const dt_program *program, int s, const char *first, bool decay) {
  const dt_segment *segment = &program->segment[s];
  const dt_param *param = NULL;
  for (int p = 0; p < program->param_count; p++) {
    if (program->param[p].offset == segment->first) param = &program->param[p];
  }
  assert_non_null(param);
  assert_string_equal(param->name, first);
  assert_true(segment->decay == decay && segment->lr_scale == 1);
  int64_t end = s + 1 < program->segment_count ? segment[1].first : program->param_elements;
  assert_int_equal(segment->first + segment->count, end);
  assert_int_equal(dt_segment_find(program, segment->first), s);
  assert_int_equal(dt_segment_find(program, end - 1), s);
}

static char *printed(const dt_program *program) {
  char *text = NULL;
  size_t bytes;
  FILE *out = open_memstream(&text, &bytes);
  assert_non_null(out);
  dt_program_print(program, false, out);
  fclose(out);
  return text;
}

/* Without anything of its own a network is one segment, of which its text says nothing. */
static void a_plain_network_is_one(void **state) {
  net n;
  net_options options = options_of(dt_cpu_create);
  net_open(&n, &options);
  assert_int_equal(n.train->segment_count, 1);
  assert_true(dt_program_is_uniform(n.train));
  char *text = printed(n.train);
  assert_null(strstr(text, "segment"));
  free(text);
  net_close(&n);
}

static void weights_alone_are_decayed(void **state) {
  net n;
  net_options options = options_of(dt_cpu_create);
  options.train = ", decayed: weights";
  net_open(&n, &options);
  assert_int_equal(n.train->segment_count, 4);
  check_segment(n.train, 0, "linear1.weight", true);
  check_segment(n.train, 1, "linear1.bias", false); /* and the normalisation's two */
  check_segment(n.train, 2, "conv1.weight", true);
  check_segment(n.train, 3, "conv1.bias", false);
  char *text = printed(n.train);
  assert_non_null(strstr(text, "lr x 1, no weight decay\n"));
  free(text);
  net_close(&n);
}

/* What a layernorm multiplies by and adds has as many dimensions as an image, and is no weight: weight decay, the penalties and
 * max-norm leave it alone, and muon takes it for no matrix. */
static void gains_of_images_are_no_weights(void **state) {
  net n;
  net_options options = options_of(dt_cpu_create);
  options.layers = "[layernorm, {conv: {filters: 4, kernel: 3}}, flatten, {linear: 3}]";
  options.train = ", decayed: weights, max_norm: 3";
  net_open(&n, &options);
  for (int s = 0; s < n.train->segment_count; s++) {
    const dt_segment *segment = &n.train->segment[s];
    const dt_param *param = &n.train->param[segment->tensor];
    const bool weight = strcmp(param->name, "conv1.weight") == 0 || strcmp(param->name, "linear1.weight") == 0;
    assert_true(segment->decay == weight && segment->bounded == weight && segment->matrix == weight);
    assert_int_equal(segment->units, weight ? param->shape.dim[0] : 1);
  }
  assert_int_equal(n.train->segment_count, 6);
  net_close(&n);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(gains_of_images_are_no_weights),
      cmocka_unit_test(reference_keeps_to_them),
      cmocka_unit_test(cpu_keeps_to_them),
      cmocka_unit_test(a_plain_network_is_one),
      cmocka_unit_test(weights_alone_are_decayed),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

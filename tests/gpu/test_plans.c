/* Every net of support/cases.c is lowered with the real cuDNN for an H200 that is not there, in every precision: what cuDNN has
 * no plan for goes to the direct kernels, and nothing fails. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/config/spec.h"
#include "core/device.h"
#include "support/outcome.h"
#include "support/unit.h"

static const char plugin[] = DT_TEST_BINARY_DIR "/libdtrain_gpu.so";
static int planned, direct;

static void require(dt_status status) {
  if (status != DT_OK) fail_msg("%s", dt_error_text());
}

static void count_plans(const char *text, const char *name) {
  for (const char *line = text; *line != '\0'; line = strchr(line, '\n') + 1) {
    const char *plan = line + strcspn(line, " ");
    plan += strspn(plan, " ");
    plan += strcspn(plan, " ");
    plan += strspn(plan, " ");
    bool own = strncmp(plan, "dtrain direct", 13) == 0;
    if (!own && strncmp(plan, "cudnn engine", 12) != 0 && strncmp(plan, "cublaslt", 8) != 0) {
      fail_msg("%s: found \"%.*s\", expected an engine", name, (int)strcspn(line, "\n"), line);
    }
    planned++;
    if (own) {
      direct++;
      print_message("             %s: %.*s\n", name, (int)strcspn(line, "\n"), line);
    }
  }
}

static void lower(const net_case *row, const dt_config *config, const dt_device *device) {
  dt_graph *graph = NULL;
  dt_program *program = NULL;
  char *text = NULL;
  size_t bytes = 0;
  require(dt_graph_create(config, &graph));
  require(dt_program_create(graph, dt_config_spec(config), device, DT_PROGRAM_TRAIN, 1, &program));
  FILE *out = open_memstream(&text, &bytes);
  require(device->ops->libraries->print_plans(device, program, 0, out));
  fclose(out);
  count_plans(text, row->name);
  free(text);
  dt_program_destroy(&program);
  dt_graph_destroy(&graph);
}

static void test_plans(void **state) {
  const dt_device_options options = {.threads = 1, .precision = *(const int *)*state, .model = "h200"};
  dt_device *device = NULL;
  require(dt_gpu_create(&options, &device));
  for (int i = 0; i < net_case_count; i++) {
    const net_case *row = &net_cases[i];
    const net_options net_of_row = outcome_options(row);
    dt_config *config = net_config(&net_of_row);
    lower(row, config, device);
    dt_config_destroy(&config);
  }
  device->ops->destroy(&device);
}

/* Says why when the plug-in or the libraries it needs are not there. */
static bool has_libraries(void) {
  const dt_device_options options = {.threads = 1, .model = "h200"};
  dt_device *device = NULL;
  if (access(plugin, R_OK) != 0) {
    printf("SKIP: gpu.plans, the plug-in was not built (it needs the CUDA Toolkit)\n");
    return false;
  }
  setenv("DTRAIN_GPU_PLUGIN", plugin, 1);
  if (dt_gpu_create(&options, &device) == DT_OK) {
    device->ops->destroy(&device);
  } else if (strstr(dt_error_text(), "cannot open shared object") != NULL) {
    printf("SKIP: gpu.plans, %s\n", dt_error_text());
    return false;
  }
  dt_error_clear();
  return true;
}

int main(void) {
  static int precisions[] = {DT_FP32, DT_TF32, DT_BF16, DT_FP16};
  const struct CMUnitTest tests[] = {
      {.name = "fp32", .test_func = test_plans, .initial_state = &precisions[0]},
      {.name = "tf32", .test_func = test_plans, .initial_state = &precisions[1]},
      {.name = "bf16", .test_func = test_plans, .initial_state = &precisions[2]},
      {.name = "fp16", .test_func = test_plans, .initial_state = &precisions[3]},
  };
  if (!has_libraries()) return 77;
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  printf("%d instructions, %d of them by the direct kernels\n", planned, direct);
  return failed;
}

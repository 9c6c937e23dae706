/* Whether all of cuDNN is there. It is a small library that loads its parts when it first needs them, and makes little of their
 * absence: without the heuristics or the engines no convolution has a plan, which is no error, and without the graphs its first
 * call ends the process. So the parts are loaded before that call, and a convolution that every GPU can compute must have a
 * plan. */
#include <dlfcn.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "gpu/conv_plan.h"

/* What cuDNN loads to make plans for convolutions. It insists on the engines that are compiled at run time, too. */
static const char *const parts[] = {"graph", "heuristic", "engines_precompiled", "engines_runtime_compiled"};
enum { MAJOR = CUDNN_VERSION / 10000 };

/* The path of libcudnn; NULL where cuDNN is part of another library, and in one piece. */
static const char *find_library(void) {
  Dl_info where;
  if (dladdr((void *)(uintptr_t)cudnnGetVersion, &where) == 0 || where.dli_fname == NULL) return NULL;
  const char *slash = strrchr(where.dli_fname, '/');
  const char *name = slash == NULL ? where.dli_fname : slash + 1;
  return strncmp(name, "libcudnn.so", strlen("libcudnn.so")) == 0 ? where.dli_fname : NULL;
}

/* A part of whatever minor version that lies beside libcudnn. */
static void *load_beside(const char *library, const char *part) {
  const char *slash = strrchr(library, '/');
  char pattern[PATH_MAX + 64];
  void *handle = NULL;
  glob_t found;
  if (slash == NULL) return NULL;
  snprintf(pattern, sizeof pattern, "%.*s/libcudnn_%s.so.%d*", (int)(slash - library), library, part, MAJOR);
  if (glob(pattern, 0, NULL, &found) != 0) return NULL;
  for (size_t i = 0; i < found.gl_pathc && handle == NULL; i++) handle = dlopen(found.gl_pathv[i], RTLD_LAZY | RTLD_LOCAL);
  globfree(&found);
  return handle;
}

/* Parts stay loaded: cuDNN takes what is there. */
static dt_status load_part(const char *library, const char *part) {
  char name[64];
  snprintf(name, sizeof name, "libcudnn_%s.so.%d", part, MAJOR);
  if (load_beside(library, part) != NULL || dlopen(name, RTLD_LAZY | RTLD_LOCAL) != NULL) return DT_OK;
  DT_RAISE(DT_ENVIRONMENT,
           "cuDNN is incomplete: %s has no %s (%s); install all of cuDNN %d, or name its folder in LD_LIBRARY_PATH", library,
           name, dlerror(), MAJOR);
}

dt_status dt_gpu_cudnn_check_parts(void) {
  const char *library = find_library();
  if (library == NULL) return DT_OK;
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) DT_TRY(load_part(library, parts[i]));
  return DT_OK;
}

dt_status dt_gpu_cudnn_check_plans(const dt_gpu *gpu) {
  const dt_gpu_image image = {.samples = 16, .height = 32, .width = 32, .channels = 64};
  const dt_gpu_conv conv = {.op = DT_OP_CONV_FWD,
                            .x = image,
                            .y = image,
                            .window = {.ndim = 2, .kernel = {3, 3}, .stride = {1, 1}, .pad = {1, 1}, .dilation = {1, 1}},
                            .groups = 1};
  dt_gpu_plan *plan;
  DT_TRY(dt_gpu_conv_plan_make(gpu, &conv, NULL, &plan));
  const bool found = plan != NULL && plan->found;
  if (plan != NULL) dt_gpu_conv_plan_destroy(plan);
  DT_REQUIRE(
      found, DT_ENVIRONMENT,
      "cuDNN is incomplete, or too old for this GPU: found no plan for a 3x3 convolution of 64 channels (%s, %s); install "
      "all of the newest cuDNN %d",
      gpu->kernels, gpu->library, MAJOR);
  return DT_OK;
}

#include "cpu/blas.h"
#include "core/clock.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/cpu.h"

/* Values of cblas.h, which is not needed to run. */
enum { ROW_MAJOR = 101, AS_STORED = 111, TRANSPOSED = 112 };

typedef void sgemm_function(int order, int a_op, int b_op, int m, int n, int k, float alpha, const float *a, int lda,
                            const float *b, int ldb, float beta, float *c, int ldc);

struct dt_blas {
  void *library;
  sgemm_function *sgemm;
  char text[160];
};

/* Core types by name whose kernels use what this processor has. */
#if defined(__x86_64__)
static const char *const cores_avx512[] = {"SkylakeX", "Cooperlake", "SapphireRapids", NULL};
static const char *const cores_avx2[] = {"Haswell", "Zen", NULL};

static const char *const *fitting_cores(void) {
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl")) {
    return cores_avx512;
  }
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? cores_avx2 : NULL;
}
#else
static const char *const *fitting_cores(void) {
  return NULL;
}
#endif

static bool is_one_of(const char *name, const char *const *list) {
  for (; *list != NULL; list++) {
    if (strcasecmp(name, *list) == 0) return true;
  }
  return false;
}

/* Loads the library with OPENBLAS_CORETYPE set to what fits, and leaves the environment as it was. */
static void *load_library(const char *const *cores) {
  bool told = cores != NULL && getenv("OPENBLAS_CORETYPE") == NULL;
  if (told) setenv("OPENBLAS_CORETYPE", cores[0], 1);
  void *library = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
  if (told) unsetenv("OPENBLAS_CORETYPE");
  return library;
}

/* A symbol of the library as a function pointer. */
static dt_status find(const dt_blas *blas, const char *name, void *out_pointer) {
  void *symbol = dlsym(blas->library, name);
  DT_REQUIRE(symbol != NULL, DT_ENVIRONMENT, "libopenblas.so.0 has no %s; set `math: own`", name);
  memcpy(out_pointer, &symbol, sizeof symbol);
  return DT_OK;
}

/* "OpenBLAS 0.3.21 NO_LAPACKE ..." -> "OpenBLAS 0.3.21" */
static int version_length(const char *config) {
  const char *space = strchr(config, ' ');
  if (space != NULL) space = strchr(space + 1, ' ');
  return space != NULL ? (int)(space - config) : (int)strlen(config);
}

static dt_status set_up(dt_blas *blas, const char *const *cores) {
  char *(*core_name)(void) = NULL, *(*config)(void) = NULL;
  void (*set_threads)(int) = NULL;
  DT_TRY(find(blas, "cblas_sgemm", &blas->sgemm));
  DT_TRY(find(blas, "openblas_get_corename", &core_name));
  DT_TRY(find(blas, "openblas_get_config", &config));
  DT_TRY(find(blas, "openblas_set_num_threads", &set_threads));
  const char *core = core_name();
  bool chosen = getenv("OPENBLAS_CORETYPE") != NULL;
  DT_REQUIRE(cores == NULL || chosen || is_one_of(core, cores), DT_ENVIRONMENT,
             "OpenBLAS takes this processor for %s, expected %s: start with OPENBLAS_CORETYPE=%s, or set `math: own`", core,
             cores[0], cores[0]);
  set_threads(1);
  snprintf(blas->text, sizeof blas->text, "%.*s, core %s, 1 thread per call", version_length(config()), config(), core);
  return DT_OK;
}

dt_status dt_blas_open(dt_blas **out) {
  *out = NULL;
  dt_blas *blas = NULL;
  DT_TRY(dt_alloc(1, sizeof *blas, &blas));
  const char *const *cores = fitting_cores();
  blas->library = load_library(cores);
  if (blas->library == NULL) {
    dt_blas_close(&blas);
    DT_RAISE(DT_ENVIRONMENT,
             "`math: blas` needs libopenblas.so.0 (Debian: apt install libopenblas0-pthread); or set `math: own`");
  }
  dt_status status = set_up(blas, cores);
  if (status != DT_OK) {
    dt_blas_close(&blas);
    return status;
  }
  *out = blas;
  return DT_OK;
}

void dt_blas_close(dt_blas **blas) {
  if (*blas == NULL) return;
  if ((*blas)->library != NULL) dlclose((*blas)->library);
  free(*blas);
  *blas = NULL;
}

const char *dt_blas_describe(const dt_blas *blas) {
  return blas->text;
}

void dt_blas_multiply(const dt_blas *blas, const dt_blas_product *p) {
  blas->sgemm(ROW_MAJOR, p->a_transposed ? TRANSPOSED : AS_STORED, p->b_transposed ? TRANSPOSED : AS_STORED, p->rows,
              p->columns, p->depth, 1.0f, p->a, p->a_stride, p->b, p->b_stride, 0.0f, p->c, p->c_stride);
}

enum { YARD = 1024, ROUNDS = 5 };

typedef struct yardstick {
  const dt_blas *blas;
  float *memory; /* [threads][3][YARD][YARD] */
} yardstick;

static void multiply_once(void *context, int index, int thread) {
  const yardstick *y = context;
  float *a = y->memory + (int64_t)index * 3 * YARD * YARD;
  dt_blas_product p = {.rows = YARD, .columns = YARD, .depth = YARD, .a = a, .b = a + YARD * YARD, .c = a + 2 * YARD * YARD};
  p.a_stride = p.b_stride = p.c_stride = YARD;
  dt_blas_multiply(y->blas, &p);
}

dt_status dt_blas_sgemm_gflops(int threads, double *out) {
  yardstick y = {NULL};
  dt_blas *blas = NULL;
  dt_threads *pool = NULL;
  dt_status status;
  *out = 0;
  DT_TRY_GOTO(end, dt_blas_open(&blas));
  DT_TRY_GOTO(end, dt_threads_create(threads, true, &pool));
  DT_TRY_GOTO(end, dt_alloc((size_t)threads * 3, (size_t)YARD * YARD * sizeof(float), &y.memory));
  for (int64_t i = 0; i < (int64_t)threads * 3 * YARD * YARD; i++) y.memory[i] = (float)(i % 7) * 0.25f;
  y.blas = blas;
  for (int round = 0; round < ROUNDS; round++) {
    double start = dt_clock_seconds();
    dt_threads_run(pool, threads, multiply_once, &y);
    double speed = 2e-9 * YARD * YARD * YARD * threads / (dt_clock_seconds() - start);
    if (speed > *out) *out = speed;
  }
end:
  free(y.memory);
  dt_threads_destroy(&pool);
  dt_blas_close(&blas);
  return status;
}

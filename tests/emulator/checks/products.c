/* The emulated cuBLASLt against sums in double: random shapes, both orders and transpositions, all types and epilogues, alpha
 * and beta; and that what does not fit together is refused. */
#include <cublasLt.h>
#include <stdbool.h>

#include "check.h"

typedef struct matrix {
  int64_t rows, cols, ld;
  bool by_rows;
  values values;
} matrix;

static int64_t place(const matrix *m, int64_t row, int64_t col) {
  return m->by_rows ? row * m->ld + col : col * m->ld + row;
}

static matrix draw_matrix(element_type type, int64_t rows, int64_t cols) {
  matrix m = {.rows = rows, .cols = cols, .by_rows = draw(0, 1)};
  m.ld = (m.by_rows ? cols : rows) + draw(0, 3);
  m.values = draw_values(type, m.ld * (m.by_rows ? rows : cols));
  return m;
}

static cublasLtMatrixLayout_t layout_of(const matrix *m) {
  static const cudaDataType types[] = {[ELEMENT_F32] = CUDA_R_32F, [ELEMENT_F16] = CUDA_R_16F, [ELEMENT_BF16] = CUDA_R_16BF};
  cublasLtMatrixLayout_t layout;
  int32_t order = m->by_rows ? CUBLASLT_ORDER_ROW : CUBLASLT_ORDER_COL;
  REQUIRE(cublasLtMatrixLayoutCreate(&layout, types[m->values.type], (uint64_t)m->rows, (uint64_t)m->cols, m->ld) == 0);
  REQUIRE(cublasLtMatrixLayoutSetAttribute(layout, CUBLASLT_MATRIX_LAYOUT_ORDER, &order, sizeof order) == 0);
  return layout;
}

typedef struct product {
  int64_t m, n, k;
  int32_t transa, transb, epilogue;
  cublasComputeType_t compute;
  matrix a, b, d;
  values bias;
  float alpha, beta;
} product;

static product draw_product(void) {
  static const int32_t epilogues[] = {CUBLASLT_EPILOGUE_DEFAULT, CUBLASLT_EPILOGUE_BIAS, CUBLASLT_EPILOGUE_RELU,
                                      CUBLASLT_EPILOGUE_RELU_BIAS};
  product p = {
      .m = draw(1, 40), .n = draw(1, 40), .k = draw(1, 90), .transa = (int32_t)draw(0, 1), .transb = (int32_t)draw(0, 1)};
  element_type type = (element_type)draw(0, 2), out = draw(0, 1) ? type : ELEMENT_F32;
  p.epilogue = epilogues[draw(0, 3)];
  p.compute = draw(0, 3) ? CUBLAS_COMPUTE_32F : CUBLAS_COMPUTE_32F_FAST_TF32;
  p.a = draw_matrix(type, p.transa ? p.k : p.m, p.transa ? p.m : p.k);
  p.b = draw_matrix(type, p.transb ? p.n : p.k, p.transb ? p.k : p.n);
  p.d = draw_matrix(out, p.m, p.n);
  p.bias = draw_values(out, p.m);
  p.alpha = draw(0, 1) ? 1 : 0.75f;
  p.beta = draw(0, 2) ? 0 : -0.5f;
  return p;
}

static void drop_product(product *p) {
  drop_values(&p->a.values);
  drop_values(&p->b.values);
  drop_values(&p->d.values);
  drop_values(&p->bias);
}

/* Element (i, j) in double; *magnitude is the sum of what is added up. */
static double expected_at(const product *p, int64_t i, int64_t j, double *magnitude) {
  double sum = 0, value;
  *magnitude = 0;
  for (int64_t k = 0; k < p->k; k++) {
    value = p->alpha * (double)p->a.values.host[p->transa ? place(&p->a, k, i) : place(&p->a, i, k)] *
            p->b.values.host[p->transb ? place(&p->b, j, k) : place(&p->b, k, j)];
    sum += value;
    *magnitude += fabs(value);
  }
  value = p->beta * (double)p->d.values.host[place(&p->d, i, j)];
  if (p->epilogue & CUBLASLT_EPILOGUE_BIAS) value += p->bias.host[i];
  *magnitude += fabs(value);
  sum += value;
  return (p->epilogue & CUBLASLT_EPILOGUE_RELU) && sum < 0 ? 0 : sum;
}

static cublasLtMatmulDesc_t describe(const product *p) {
  cublasLtMatmulDesc_t desc;
  REQUIRE(cublasLtMatmulDescCreate(&desc, p->compute, CUDA_R_32F) == 0);
  REQUIRE(cublasLtMatmulDescSetAttribute(desc, CUBLASLT_MATMUL_DESC_TRANSA, &p->transa, sizeof p->transa) == 0);
  REQUIRE(cublasLtMatmulDescSetAttribute(desc, CUBLASLT_MATMUL_DESC_TRANSB, &p->transb, sizeof p->transb) == 0);
  REQUIRE(cublasLtMatmulDescSetAttribute(desc, CUBLASLT_MATMUL_DESC_EPILOGUE, &p->epilogue, sizeof p->epilogue) == 0);
  REQUIRE(cublasLtMatmulDescSetAttribute(desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &p->bias.device, sizeof p->bias.device) == 0);
  return desc;
}

static void compare(const product *p, const float *got) {
  bool tf32 = p->compute == CUBLAS_COMPUTE_32F_FAST_TF32 && p->a.values.type == ELEMENT_F32;
  for (int64_t i = 0; i < p->m; i++) {
    for (int64_t j = 0; j < p->n; j++) {
      double magnitude, expected = expected_at(p, i, j, &magnitude);
      double error = fabs(got[place(&p->d, i, j)] - expected);
      REQUIRE(error <= (tf32 ? 0x1p-9 : 1e-5) * magnitude + rounding_of(p->d.values.type) * fabs(expected));
    }
  }
}

static void check_product(cublasLtHandle_t handle, cudaStream_t stream) {
  product p = draw_product();
  cublasLtMatmulDesc_t desc = describe(&p);
  cublasLtMatrixLayout_t a = layout_of(&p.a), b = layout_of(&p.b), d = layout_of(&p.d);
  cublasLtMatmulPreference_t preference;
  cublasLtMatmulHeuristicResult_t results[4];
  uint64_t most = draw(0, 1) ? 1 << 20 : 0;
  int count = 0;
  REQUIRE(cublasLtMatmulPreferenceCreate(&preference) == 0);
  REQUIRE(cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &most, sizeof most) == 0);
  REQUIRE(cublasLtMatmulAlgoGetHeuristic(handle, desc, a, b, d, d, preference, 4, results, &count) == 0);
  REQUIRE(count == (most ? 4 : 1) && (results[0].workspaceSize > 0) == (most > 0));
  for (int i = 0; i < count; i++) {
    size_t bytes = results[i].workspaceSize;
    void *workspace = alloc_workspace((int64_t)bytes);
    upload(&p.d.values);
    REQUIRE(cublasLtMatmul(handle, desc, &p.alpha, p.a.values.device, a, p.b.values.device, b, &p.beta, p.d.values.device, d,
                           p.d.values.device, d, &results[i].algo, workspace, bytes, stream) == 0);
    float *got = download(&p.d.values, stream);
    compare(&p, got);
    require_written(workspace, (int64_t)bytes);
    cudaFree(workspace);
    free(got);
  }
  cublasLtMatmulPreferenceDestroy(preference);
  cublasLtMatrixLayoutDestroy(a);
  cublasLtMatrixLayoutDestroy(b);
  cublasLtMatrixLayoutDestroy(d);
  cublasLtMatmulDescDestroy(desc);
  drop_product(&p);
}

/* Shapes, a leading dimension and types that do not fit together. */
static void check_refusals(cublasLtHandle_t handle) {
  static const struct {
    int64_t k_of_b, ld_of_a;
    cudaDataType b, d;
    cublasStatus_t expected;
  } rows[] = {{5, 4, CUDA_R_32F, CUDA_R_32F, CUBLAS_STATUS_SUCCESS},
              {6, 4, CUDA_R_32F, CUDA_R_32F, CUBLAS_STATUS_INVALID_VALUE},
              {5, 3, CUDA_R_32F, CUDA_R_32F, CUBLAS_STATUS_INVALID_VALUE},
              {5, 4, CUDA_R_16F, CUDA_R_32F, CUBLAS_STATUS_NOT_SUPPORTED},
              {5, 4, CUDA_R_32F, CUDA_R_16F, CUBLAS_STATUS_NOT_SUPPORTED}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    cublasLtMatmulDesc_t desc;
    cublasLtMatrixLayout_t a, b, d;
    cublasLtMatmulPreference_t preference;
    cublasLtMatmulHeuristicResult_t result;
    int count;
    REQUIRE(cublasLtMatmulDescCreate(&desc, CUBLAS_COMPUTE_32F, CUDA_R_32F) == 0);
    REQUIRE(cublasLtMatrixLayoutCreate(&a, CUDA_R_32F, 4, 5, rows[i].ld_of_a) == 0);
    REQUIRE(cublasLtMatrixLayoutCreate(&b, rows[i].b, (uint64_t)rows[i].k_of_b, 6, rows[i].k_of_b) == 0);
    REQUIRE(cublasLtMatrixLayoutCreate(&d, rows[i].d, 4, 6, 4) == 0);
    REQUIRE(cublasLtMatmulPreferenceCreate(&preference) == 0);
    REQUIRE(cublasLtMatmulAlgoGetHeuristic(handle, desc, a, b, d, d, preference, 1, &result, &count) == rows[i].expected);
    cublasLtMatmulPreferenceDestroy(preference);
    cublasLtMatrixLayoutDestroy(a);
    cublasLtMatrixLayoutDestroy(b);
    cublasLtMatrixLayoutDestroy(d);
    cublasLtMatmulDescDestroy(desc);
  }
}

/* 1 x 1 matrices, A 16 bytes behind what cudaMalloc gives: refused unless the preference promised no more than that. */
static void check_promise(cublasLtHandle_t handle, cudaStream_t stream, uint32_t promised, cublasStatus_t expected) {
  cublasLtMatmulDesc_t desc;
  cublasLtMatrixLayout_t one;
  cublasLtMatmulPreference_t preference;
  cublasLtMatmulHeuristicResult_t result;
  const float alpha = 1, beta = 0;
  char *memory = NULL;
  int count = 0;
  REQUIRE(cudaMalloc((void **)&memory, 1024) == cudaSuccess && cudaMemset(memory, 0, 1024) == cudaSuccess);
  REQUIRE(cublasLtMatmulDescCreate(&desc, CUBLAS_COMPUTE_32F, CUDA_R_32F) == 0);
  REQUIRE(cublasLtMatrixLayoutCreate(&one, CUDA_R_32F, 1, 1, 1) == 0);
  REQUIRE(cublasLtMatmulPreferenceCreate(&preference) == 0);
  if (promised > 0) {
    REQUIRE(cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, &promised,
                                                 sizeof promised) == 0);
  }
  REQUIRE(cublasLtMatmulAlgoGetHeuristic(handle, desc, one, one, one, one, preference, 1, &result, &count) == 0 && count == 1);
  REQUIRE(cublasLtMatmul(handle, desc, &alpha, memory + 16, one, memory + 256, one, &beta, memory + 512, one, memory + 512, one,
                         &result.algo, NULL, 0, stream) == expected);
  REQUIRE(cudaStreamSynchronize(stream) == cudaSuccess);
  cudaFree(memory);
  cublasLtMatmulPreferenceDestroy(preference);
  cublasLtMatrixLayoutDestroy(one);
  cublasLtMatmulDescDestroy(desc);
}

int main(void) {
  cublasLtHandle_t handle;
  cudaStream_t stream;
  REQUIRE(cublasLtCreate(&handle) == CUBLAS_STATUS_SUCCESS && cudaStreamCreate(&stream) == cudaSuccess);
  for (int i = 0; i < 200; i++) check_product(handle, stream);
  check_refusals(handle);
  check_promise(handle, stream, 0, CUBLAS_STATUS_INVALID_VALUE);
  check_promise(handle, stream, 16, CUBLAS_STATUS_SUCCESS);
  cublasLtDestroy(handle);
  cudaStreamDestroy(stream);
  return 0;
}

/* The emulated cuBLASLt: D = epilogue(alpha op(A) op(B) + beta C), plainly.
 *
 * A result of the heuristic with workspace comes before one without, as far as the preference allows; what is asked for is
 * written all over. Results hold the alignment that the preference promised, 256 bytes unless it says otherwise, and a product
 * refuses pointers which break that promise. Every element is summed over k from 0 on. Options:
 *   cublas=130200      the version that the library says it has
 *   cublas_fail=K      the K-th question to the heuristic ends in an internal error
 *   algorithm_ID_ms=N  what a product by this algorithm takes, on the clock that events see */
#include <cublasLt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "elements.h"
#include "emulator.h"

struct cublasLtContext {
  int unused;
};

/* What stands in the opaque structs. */
typedef struct layout {
  cudaDataType type;
  int32_t order, batch;
  int64_t rows, cols, ld;
  int64_t stride; /* elements from one matrix of the batch to the next */
} layout;
typedef struct product {
  int32_t compute, scale, pointer_mode, transa, transb, transc, epilogue, bias_type; /* bias_type -1: as D */
  const void *bias;
} product;
typedef struct wishes {
  uint64_t workspace; /* bytes */
  uint32_t reduction, search;
  uint32_t alignment[4];
} wishes;
typedef struct algorithm {
  int32_t id, split, reduction; /* reduction: cublasLtReductionScheme_t, of split products */
  uint64_t workspace;           /* bytes */
  uint32_t alignment[4];        /* bytes, of A, B, C, D: what was promised; 0 = any */
} algorithm;
_Static_assert(sizeof(layout) <= sizeof(cublasLtMatrixLayoutOpaque_t) &&
                   sizeof(product) <= sizeof(cublasLtMatmulDescOpaque_t) &&
                   sizeof(wishes) <= sizeof(cublasLtMatmulPreferenceOpaque_t) &&
                   sizeof(algorithm) <= sizeof(cublasLtMatmulAlgo_t),
               "what we keep fits into the opaque structs");

enum { ALIGNMENT = 256 };
/* In the order in which the heuristic gives them. All compute the same. */
static const algorithm algorithms[] = {
    {.id = 13, .split = 2, .reduction = CUBLASLT_REDUCTION_SCHEME_INPLACE, .workspace = 64},
    {.id = 21, .split = 1, .workspace = 4096},
    {.id = 0, .split = 1},
    {.id = 6, .split = 4, .reduction = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE, .workspace = 1024},
};

size_t cublasLtGetVersion(void) {
  return (size_t)emulator_number("cublas", CUBLAS_VERSION);
}

const char *cublasGetStatusName(cublasStatus_t status) {
#define NAME(status) \
  case status:       \
    return #status;
  switch (status) {
    NAME(CUBLAS_STATUS_SUCCESS)
    NAME(CUBLAS_STATUS_NOT_INITIALIZED)
    NAME(CUBLAS_STATUS_ALLOC_FAILED)
    NAME(CUBLAS_STATUS_INVALID_VALUE)
    NAME(CUBLAS_STATUS_ARCH_MISMATCH)
    NAME(CUBLAS_STATUS_MAPPING_ERROR)
    NAME(CUBLAS_STATUS_EXECUTION_FAILED)
    NAME(CUBLAS_STATUS_INTERNAL_ERROR)
    NAME(CUBLAS_STATUS_NOT_SUPPORTED)
    NAME(CUBLAS_STATUS_LICENSE_ERROR)
  }
#undef NAME
  return "unknown status";
}

const char *cublasGetStatusString(cublasStatus_t status) {
  switch (status) {
    case CUBLAS_STATUS_SUCCESS:
      return "success";
    case CUBLAS_STATUS_NOT_INITIALIZED:
      return "the library was not initialized";
    case CUBLAS_STATUS_ALLOC_FAILED:
      return "the resource allocation failed";
    case CUBLAS_STATUS_INVALID_VALUE:
      return "an unsupported value or parameter was passed to the function";
    case CUBLAS_STATUS_NOT_SUPPORTED:
      return "the requested functionality is not supported";
    case CUBLAS_STATUS_EXECUTION_FAILED:
      return "the function failed to launch on the GPU";
    default:
      return "an error of cuBLAS";
  }
}

const char *cublasLtGetStatusName(cublasStatus_t status) {
  return cublasGetStatusName(status);
}

const char *cublasLtGetStatusString(cublasStatus_t status) {
  return cublasGetStatusString(status);
}

cublasStatus_t cublasLtCreate(cublasLtHandle_t *lightHandle) {
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess || count < 1) return CUBLAS_STATUS_NOT_INITIALIZED;
  *lightHandle = calloc(1, sizeof **lightHandle);
  return *lightHandle ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_ALLOC_FAILED;
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t lightHandle) {
  free(lightHandle);
  return CUBLAS_STATUS_SUCCESS;
}

/* An attribute: where it stands in our struct, and its size. Attributes that are not here are not supported. */
typedef struct field {
  int attribute;
  size_t offset, bytes;
} field;
#define FIELD(attribute, of, member) \
  { attribute, offsetof(of, member), sizeof(((of *)0)->member) }

static cublasStatus_t set_field(const field *fields, size_t count, int attribute, void *to, const void *from, size_t bytes) {
  for (size_t i = 0; i < count; i++) {
    if (fields[i].attribute != attribute) continue;
    if (from == NULL || bytes != fields[i].bytes) return CUBLAS_STATUS_INVALID_VALUE;
    memcpy((char *)to + fields[i].offset, from, bytes);
    return CUBLAS_STATUS_SUCCESS;
  }
  return CUBLAS_STATUS_INVALID_VALUE;
}
#define SET_FIELD(fields, ...) set_field(fields, sizeof(fields) / sizeof *(fields), __VA_ARGS__)

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *matLayout, cudaDataType type, uint64_t rows, uint64_t cols,
                                          int64_t ld) {
  layout l = {type, CUBLASLT_ORDER_COL, 1, (int64_t)rows, (int64_t)cols, ld, 0};
  *matLayout = calloc(1, sizeof **matLayout);
  if (!*matLayout) return CUBLAS_STATUS_ALLOC_FAILED;
  memcpy(*matLayout, &l, sizeof l);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t matLayout, cublasLtMatrixLayoutAttribute_t attr,
                                                const void *buf, size_t sizeInBytes) {
  static const field fields[] = {FIELD(CUBLASLT_MATRIX_LAYOUT_TYPE, layout, type),
                                 FIELD(CUBLASLT_MATRIX_LAYOUT_ORDER, layout, order),
                                 FIELD(CUBLASLT_MATRIX_LAYOUT_ROWS, layout, rows),
                                 FIELD(CUBLASLT_MATRIX_LAYOUT_COLS, layout, cols),
                                 FIELD(CUBLASLT_MATRIX_LAYOUT_LD, layout, ld),
                                 FIELD(CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, layout, batch),
                                 FIELD(CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, layout, stride)};
  return SET_FIELD(fields, attr, matLayout, buf, sizeInBytes);
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t matLayout) {
  free(matLayout);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *matmulDesc, cublasComputeType_t computeType,
                                        cudaDataType_t scaleType) {
  product p = {.compute = computeType, .scale = scaleType, .epilogue = CUBLASLT_EPILOGUE_DEFAULT, .bias_type = -1};
  *matmulDesc = calloc(1, sizeof **matmulDesc);
  if (!*matmulDesc) return CUBLAS_STATUS_ALLOC_FAILED;
  memcpy(*matmulDesc, &p, sizeof p);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t matmulDesc, cublasLtMatmulDescAttributes_t attr,
                                              const void *buf, size_t sizeInBytes) {
  static const field fields[] = {FIELD(CUBLASLT_MATMUL_DESC_COMPUTE_TYPE, product, compute),
                                 FIELD(CUBLASLT_MATMUL_DESC_SCALE_TYPE, product, scale),
                                 FIELD(CUBLASLT_MATMUL_DESC_POINTER_MODE, product, pointer_mode),
                                 FIELD(CUBLASLT_MATMUL_DESC_TRANSA, product, transa),
                                 FIELD(CUBLASLT_MATMUL_DESC_TRANSB, product, transb),
                                 FIELD(CUBLASLT_MATMUL_DESC_TRANSC, product, transc),
                                 FIELD(CUBLASLT_MATMUL_DESC_EPILOGUE, product, epilogue),
                                 FIELD(CUBLASLT_MATMUL_DESC_BIAS_POINTER, product, bias),
                                 FIELD(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, product, bias_type)};
  return SET_FIELD(fields, attr, matmulDesc, buf, sizeInBytes);
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t matmulDesc) {
  free(matmulDesc);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *pref) {
  wishes p = {.reduction = CUBLASLT_REDUCTION_SCHEME_MASK, .alignment = {ALIGNMENT, ALIGNMENT, ALIGNMENT, ALIGNMENT}};
  *pref = calloc(1, sizeof **pref);
  if (!*pref) return CUBLAS_STATUS_ALLOC_FAILED;
  memcpy(*pref, &p, sizeof p);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t pref, cublasLtMatmulPreferenceAttributes_t attr,
                                                    const void *buf, size_t sizeInBytes) {
  static const field fields[] = {FIELD(CUBLASLT_MATMUL_PREF_SEARCH_MODE, wishes, search),
                                 FIELD(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, wishes, workspace),
                                 FIELD(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, wishes, reduction),
                                 FIELD(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, wishes, alignment[0]),
                                 FIELD(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, wishes, alignment[1]),
                                 FIELD(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, wishes, alignment[2]),
                                 FIELD(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, wishes, alignment[3])};
  return SET_FIELD(fields, attr, pref, buf, sizeInBytes);
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t pref) {
  free(pref);
  return CUBLAS_STATUS_SUCCESS;
}

/* A product as it is computed later: everything by value. */
typedef struct matmul {
  product product;
  layout a, b, c, d;
  const void *A, *B, *C;
  void *D, *workspace;
  uint64_t workspace_bytes;
  long milliseconds, call_ms;
  float alpha, beta;
  int64_t m, n, k;
} matmul;

static bool element_of(int type, element_type *out) {
  *out = type == CUDA_R_16F ? ELEMENT_F16 : type == CUDA_R_16BF ? ELEMENT_BF16 : ELEMENT_F32;
  return type == CUDA_R_32F || type == CUDA_R_16F || type == CUDA_R_16BF;
}

static bool layout_holds(const layout *l) {
  return l->rows > 0 && l->cols > 0 && l->ld >= (l->order == CUBLASLT_ORDER_COL ? l->rows : l->cols);
}

static cublasStatus_t check_types(const matmul *u) {
  element_type a, d;
  bool computes = u->product.compute >= CUBLAS_COMPUTE_32F && u->product.compute <= CUBLAS_COMPUTE_32F_EMULATED_16BFX9;
  bool bias = u->product.epilogue & CUBLASLT_EPILOGUE_BIAS;
  if (!computes || u->product.scale != CUDA_R_32F || u->product.pointer_mode != 0 || u->product.transc != CUBLAS_OP_N) {
    return CUBLAS_STATUS_NOT_SUPPORTED;
  }
  if (u->a.type != u->b.type || u->c.type != u->d.type || !element_of(u->a.type, &a) || !element_of(u->d.type, &d)) {
    return CUBLAS_STATUS_NOT_SUPPORTED;
  }
  if (d != a && d != ELEMENT_F32) return CUBLAS_STATUS_NOT_SUPPORTED;
  if (bias && u->product.bias_type != -1 && u->product.bias_type != (int)u->d.type) return CUBLAS_STATUS_NOT_SUPPORTED;
  if (u->product.epilogue & ~(CUBLASLT_EPILOGUE_DEFAULT | CUBLASLT_EPILOGUE_RELU_BIAS)) return CUBLAS_STATUS_NOT_SUPPORTED;
  return CUBLAS_STATUS_SUCCESS;
}

static cublasStatus_t check_shapes(matmul *u) {
  const layout *all[] = {&u->a, &u->b, &u->c, &u->d};
  for (int i = 0; i < 4; i++) {
    if (all[i]->order != CUBLASLT_ORDER_COL && all[i]->order != CUBLASLT_ORDER_ROW) return CUBLAS_STATUS_NOT_SUPPORTED;
    if (all[i]->batch != u->d.batch) return CUBLAS_STATUS_INVALID_VALUE;
    if (!layout_holds(all[i])) return CUBLAS_STATUS_INVALID_VALUE;
  }
  u->m = u->product.transa ? u->a.cols : u->a.rows;
  u->k = u->product.transa ? u->a.rows : u->a.cols;
  u->n = u->product.transb ? u->b.rows : u->b.cols;
  bool agree = u->k == (u->product.transb ? u->b.cols : u->b.rows) && u->d.rows == u->m && u->d.cols == u->n &&
               u->c.rows == u->m && u->c.cols == u->n;
  return agree ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}

/* Takes the descriptors over, and checks what the real library checks. */
static cublasStatus_t describe(cublasLtMatmulDesc_t desc, cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                               cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d, matmul *out) {
  if (!desc || !a || !b || !c || !d) return CUBLAS_STATUS_INVALID_VALUE;
  memcpy(&out->product, desc, sizeof out->product);
  memcpy(&out->a, a, sizeof out->a);
  memcpy(&out->b, b, sizeof out->b);
  memcpy(&out->c, c, sizeof out->c);
  memcpy(&out->d, d, sizeof out->d);
  cublasStatus_t status = check_shapes(out);
  return status ? status : check_types(out);
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t lightHandle, cublasLtMatmulDesc_t operationDesc,
                                              cublasLtMatrixLayout_t Adesc, cublasLtMatrixLayout_t Bdesc,
                                              cublasLtMatrixLayout_t Cdesc, cublasLtMatrixLayout_t Ddesc,
                                              cublasLtMatmulPreference_t preference, int requestedAlgoCount,
                                              cublasLtMatmulHeuristicResult_t heuristicResultsArray[], int *returnAlgoCount) {
  static long questions;
  matmul u = {0};
  wishes wanted;
  if (++questions == emulator_number("cublas_fail", 0)) return CUBLAS_STATUS_INTERNAL_ERROR;
  if (!lightHandle || !preference || requestedAlgoCount < 1 || !returnAlgoCount) return CUBLAS_STATUS_INVALID_VALUE;
  memcpy(&wanted, preference, sizeof wanted);
  *returnAlgoCount = 0;
  cublasStatus_t status = describe(operationDesc, Adesc, Bdesc, Cdesc, Ddesc, &u);
  if (status) return status;
  for (size_t i = 0; i < sizeof algorithms / sizeof *algorithms && *returnAlgoCount < requestedAlgoCount; i++) {
    bool reduces = (algorithms[i].reduction & ~wanted.reduction) == 0;
    if (algorithms[i].workspace > wanted.workspace || !reduces) continue;
    cublasLtMatmulHeuristicResult_t *result = &heuristicResultsArray[(*returnAlgoCount)++];
    *result = (cublasLtMatmulHeuristicResult_t){.workspaceSize = algorithms[i].workspace, .wavesCount = 1};
    algorithm chosen = algorithms[i];
    memcpy(chosen.alignment, wanted.alignment, sizeof chosen.alignment);
    memcpy(&result->algo, &chosen, sizeof chosen);
  }
  return CUBLAS_STATUS_SUCCESS;
}

/* The one of that number; NULL when there is none. */
static const algorithm *algorithm_of(int32_t id) {
  for (size_t i = 0; i < sizeof algorithms / sizeof *algorithms; i++) {
    if (algorithms[i].id == id) return &algorithms[i];
  }
  return NULL;
}

cublasStatus_t cublasLtMatmulAlgoCheck(cublasLtHandle_t lightHandle, cublasLtMatmulDesc_t operationDesc,
                                       cublasLtMatrixLayout_t Adesc, cublasLtMatrixLayout_t Bdesc, cublasLtMatrixLayout_t Cdesc,
                                       cublasLtMatrixLayout_t Ddesc, const cublasLtMatmulAlgo_t *algo,
                                       cublasLtMatmulHeuristicResult_t *result) {
  matmul u = {0};
  algorithm chosen;
  if (!lightHandle || !algo || !result) return CUBLAS_STATUS_INVALID_VALUE;
  memcpy(&chosen, algo, sizeof chosen);
  cublasStatus_t status = describe(operationDesc, Adesc, Bdesc, Cdesc, Ddesc, &u);
  if (status) return status;
  const algorithm *known = algorithm_of(chosen.id);
  if (!known || known->workspace != chosen.workspace) return CUBLAS_STATUS_NOT_SUPPORTED;
  result->workspaceSize = chosen.workspace;
  result->wavesCount = 1;
  result->state = CUBLAS_STATUS_SUCCESS;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoConfigGetAttribute(const cublasLtMatmulAlgo_t *algo, cublasLtMatmulAlgoConfigAttributes_t attr,
                                                    void *buf, size_t sizeInBytes, size_t *sizeWritten) {
  algorithm chosen;
  bool narrow = attr == CUBLASLT_ALGO_CONFIG_INNER_SHAPE_ID || attr == CUBLASLT_ALGO_CONFIG_CLUSTER_SHAPE_ID;
  size_t bytes = narrow ? sizeof(uint16_t) : sizeof(int32_t);
  if (!algo || !buf || sizeInBytes != bytes) return CUBLAS_STATUS_INVALID_VALUE;
  memcpy(&chosen, algo, sizeof chosen);
  int32_t value = attr == CUBLASLT_ALGO_CONFIG_ID                 ? chosen.id
                  : attr == CUBLASLT_ALGO_CONFIG_SPLITK_NUM       ? chosen.split
                  : attr == CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME ? chosen.reduction
                                                                  : 0;
  memcpy(buf, &value, bytes);
  if (sizeWritten) *sizeWritten = bytes;
  return CUBLAS_STATUS_SUCCESS;
}

static int64_t place(const layout *l, int64_t row, int64_t col) {
  return l->order == CUBLASLT_ORDER_COL ? col * l->ld + row : row * l->ld + col;
}

static size_t layout_bytes(const layout *l) {
  element_type type;
  element_of(l->type, &type);
  return (size_t)(((l->batch - 1) * l->stride + place(l, l->rows - 1, l->cols - 1) + 1) * element_bytes(type));
}

/* to[second][first], from a matrix whose rows are `first`; columns when turned. */
static void widen(const layout *l, const void *from, bool turned, bool tf32, float *to) {
  element_type type;
  element_of(l->type, &type);
  int64_t first = turned ? l->cols : l->rows, second = turned ? l->rows : l->cols, bytes = element_bytes(type);
  for (int64_t s = 0; s < second; s++) {
    for (int64_t f = 0; f < first; f++, to++) {
      element_read(type, (const char *)from + (turned ? place(l, s, f) : place(l, f, s)) * bytes, 1, to);
      if (tf32 && type == ELEMENT_F32) element_round_tf32(to, 1);
    }
  }
}

static inline void add_scaled(float *restrict into, const float *restrict from, float factor, int64_t count) {
  for (int64_t i = 0; i < count; i++) into[i] += factor * from[i];
}

/* Column j of D from its sums. */
static void finish_column(const matmul *u, int64_t j, const float *sum) {
  element_type type;
  element_of(u->d.type, &type);
  for (int64_t i = 0; i < u->m; i++) {
    float value = u->alpha * sum[i], other;
    if (u->beta != 0) {
      element_read(type, (const char *)u->C + place(&u->c, i, j) * element_bytes(type), 1, &other);
      value += u->beta * other;
    }
    if (u->product.epilogue & CUBLASLT_EPILOGUE_BIAS) {
      element_read(type, (const char *)u->product.bias + i * element_bytes(type), 1, &other);
      value += other;
    }
    if (u->product.epilogue & CUBLASLT_EPILOGUE_RELU) value = value < 0 ? 0 : value;
    element_write(type, &value, 1, (char *)u->D + place(&u->d, i, j) * element_bytes(type));
  }
}

/* From so many columns on, which are samples where B is not transposed, and in batches sums are taken the other way round. */
static bool is_turned(const matmul *u) {
  const long most = emulator_number("batch_dependent", 0);
  return most > 0 && (u->d.batch > 1 || (u->product.transb == CUBLAS_OP_N && u->n >= most));
}

static void compute(const matmul *u) {
  const bool turned = is_turned(u);
  bool tf32 = u->product.compute == CUBLAS_COMPUTE_32F_FAST_TF32;
  float *a = malloc((size_t)(u->k * u->m + u->n * u->k + u->m) * sizeof *a), *b = a + u->k * u->m, *sum = b + u->n * u->k;
  if (!a) emulator_fail("cublasLt: out of host memory");
  widen(&u->a, u->A, u->product.transa, tf32, a); /* [k][m] */
  widen(&u->b, u->B, u->product.transb, tf32, b); /* [n][k] */
  for (int64_t j = 0; j < u->n; j++) {
    memset(sum, 0, (size_t)u->m * sizeof *sum);
    for (int64_t i = 0; i < u->k; i++) {
      const int64_t k = turned ? u->k - 1 - i : i;
      add_scaled(sum, a + k * u->m, b[j * u->k + k], u->m);
    }
    finish_column(u, j, sum);
  }
  free(a);
}

/* The operands of matrix i of the batch. */
static const void *at_matrix(const layout *l, const void *from, int32_t i) {
  element_type type;
  element_of(l->type, &type);
  return from ? (const char *)from + i * l->stride * element_bytes(type) : NULL;
}

static void compute_batch(const matmul *all) {
  for (int32_t i = 0; i < all->d.batch; i++) {
    matmul one = *all;
    one.A = at_matrix(&all->a, all->A, i);
    one.B = at_matrix(&all->b, all->B, i);
    one.C = at_matrix(&all->c, all->C, i);
    one.D = (void *)at_matrix(&all->d, all->D, i);
    compute(&one);
  }
}

static void require_memory(const char *name, const void *at, size_t bytes) {
  if (!emulator_owns(at, bytes)) emulator_fail("cublasLt: %s, %zu bytes at %p, is not device memory", name, bytes, at);
}

static void run(void *context) {
  const matmul *u = context;
  element_type type;
  element_of(u->d.type, &type);
  require_memory("A", u->A, layout_bytes(&u->a));
  require_memory("B", u->B, layout_bytes(&u->b));
  require_memory("D", u->D, layout_bytes(&u->d));
  if (u->beta != 0) require_memory("C", u->C, layout_bytes(&u->c));
  if (u->product.epilogue & CUBLASLT_EPILOGUE_BIAS) {
    require_memory("bias", u->product.bias, (size_t)(u->m * element_bytes(type)));
  }
  if (u->workspace_bytes > 0) {
    require_memory("workspace", u->workspace, u->workspace_bytes);
    memset(u->workspace, 0xff, u->workspace_bytes);
  }
  compute_batch(u);
  emulator_touch(u->A, layout_bytes(&u->a));
  emulator_touch(u->B, layout_bytes(&u->b));
  emulator_touch(u->D, layout_bytes(&u->d));
  emulator_spend(u->milliseconds > u->call_ms ? u->milliseconds : u->call_ms);
  if (u->workspace_bytes > 0) memset(u->workspace, 0xff, u->workspace_bytes);
}

static bool is_aligned(const void *at, uint32_t alignment) {
  return alignment == 0 || (uintptr_t)at % alignment == 0;
}

static cublasStatus_t check_alignment(const matmul *u, const algorithm *chosen) {
  const void *at[] = {u->A, u->B, u->beta != 0 ? u->C : NULL, u->D};
  const layout *layouts[] = {&u->a, &u->b, &u->c, &u->d};
  for (int i = 0; i < 4; i++) {
    if (!is_aligned(at[i], chosen->alignment[i])) return CUBLAS_STATUS_INVALID_VALUE;
    if (layouts[i]->batch > 1 && !is_aligned(at_matrix(layouts[i], at[i], 1), chosen->alignment[i]))
      return CUBLAS_STATUS_INVALID_VALUE;
  }
  return CUBLAS_STATUS_SUCCESS;
}

static cublasStatus_t check_pointers(const matmul *u, uint64_t workspace_given) {
  if (!u->A || !u->B || !u->D || (u->beta != 0 && !u->C)) return CUBLAS_STATUS_INVALID_VALUE;
  if ((u->product.epilogue & CUBLASLT_EPILOGUE_BIAS) && !u->product.bias) return CUBLAS_STATUS_INVALID_VALUE;
  if (u->workspace_bytes == 0) return CUBLAS_STATUS_SUCCESS;
  bool enough = u->workspace && workspace_given >= u->workspace_bytes && is_aligned(u->workspace, ALIGNMENT);
  return enough ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t lightHandle, cublasLtMatmulDesc_t computeDesc, const void *alpha, const void *A,
                              cublasLtMatrixLayout_t Adesc, const void *B, cublasLtMatrixLayout_t Bdesc, const void *beta,
                              const void *C, cublasLtMatrixLayout_t Cdesc, void *D, cublasLtMatrixLayout_t Ddesc,
                              const cublasLtMatmulAlgo_t *algo, void *workspace, size_t workspaceSizeInBytes,
                              cudaStream_t stream) {
  if (!lightHandle || !alpha || !beta) return CUBLAS_STATUS_INVALID_VALUE;
  matmul *u = calloc(1, sizeof *u);
  if (!u) return CUBLAS_STATUS_ALLOC_FAILED;
  char option[32];
  algorithm chosen = {0};
  if (algo) memcpy(&chosen, algo, sizeof chosen);
  cublasStatus_t status = describe(computeDesc, Adesc, Bdesc, Cdesc, Ddesc, u);
  u->A = A;
  u->B = B;
  u->C = C;
  u->D = D;
  u->alpha = *(const float *)alpha;
  u->beta = *(const float *)beta;
  u->workspace = workspace;
  u->workspace_bytes = chosen.workspace;
  snprintf(option, sizeof option, "algorithm_%d_ms", chosen.id);
  u->milliseconds = emulator_number(option, 0);
  u->call_ms = emulator_call_ms(stream);
  if (!status) status = check_pointers(u, workspaceSizeInBytes);
  if (!status) status = check_alignment(u, &chosen);
  if (status) {
    free(u);
    return status;
  }
  emulator_work work = {"cublasLtMatmul", run, free, u};
  return emulator_enqueue(stream, &work) == cudaSuccess ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}

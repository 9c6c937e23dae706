/* The algorithm is the first that the library's heuristics give for a fixed workspace and without a reduction of split
 * products, or the one that a plan table has. It is taken when the plan is made, and kept.
 *
 * In a plan table an algorithm is cuBLASLt's own description of it, eight words which the library takes back in the same
 * version (cublasLt.h, cublasLtMatmulAlgo_t): attributes alone would leave out what has no attribute. */
#include "gpu/linear_plan.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/config/spec.h"

static const size_t workspace_max = 32 << 20;
/* The vector of biases needs 16, for which there is no preference. */
enum { ALIGNMENT = DT_GPU_OPERAND_ALIGN };
enum { OFFERS_MAX = 64, WORDS = sizeof(cublasLtMatmulAlgo_t) / sizeof(uint64_t) };

/* --- descriptors --- */

/* An operand: rows and columns as cuBLASLt counts them, none of them padded. */
typedef struct operand {
  int64_t rows, columns;
  bool transposed;
} operand;

typedef struct operands {
  operand a, b, d;
} operands;

static operands operands_of(const dt_gpu_product *l) {
  const operand w = {l->inputs, l->outputs, false}, x = {l->inputs, l->samples, false}, y = {l->outputs, l->samples, false};
  if (l->op == DT_OP_LINEAR_FWD) return (operands){{w.rows, w.columns, true}, x, y};
  if (l->op == DT_OP_LINEAR_DGRAD) return (operands){w, y, x};
  return (operands){x, {y.rows, y.columns, true}, w};
}

static cudaDataType_t type_of(dt_gpu_type type) {
  static const cudaDataType_t types[] = {[DT_GPU_F32] = CUDA_R_32F, [DT_GPU_BF16] = CUDA_R_16BF, [DT_GPU_F16] = CUDA_R_16F};
  return types[type];
}

static dt_status set_product(cublasLtMatmulDesc_t product, cublasLtMatmulDescAttributes_t name, const void *value,
                             size_t bytes) {
  DT_CUBLAS(cublasLtMatmulDescSetAttribute(product, name, value, bytes));
  return DT_OK;
}

/* The epilogue of a forward product; bias and relu are kept out where no algorithm takes them in. */
static cublasLtEpilogue_t epilogue_of(const dt_gpu_linear_plan *plan) {
  const bool bias = plan->base.fused && plan->product.bias, relu = plan->base.fused && plan->product.act.kind == DT_ACT_RELU;
  if (bias) return relu ? CUBLASLT_EPILOGUE_RELU_BIAS : CUBLASLT_EPILOGUE_BIAS;
  return relu ? CUBLASLT_EPILOGUE_RELU : CUBLASLT_EPILOGUE_DEFAULT;
}

/* CUBLAS_COMPUTE_32F keeps to float, or to sums in float of products of 16-bit numbers; TF32 has to be allowed. */
static dt_status make_product(const dt_gpu *gpu, const operands *o, dt_gpu_linear_plan *plan) {
  const cublasComputeType_t compute = gpu->precision == DT_TF32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
  const int32_t a = o->a.transposed ? CUBLAS_OP_T : CUBLAS_OP_N, b = o->b.transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
  const cublasLtEpilogue_t epilogue = epilogue_of(plan);
  /* The heuristics look at whether there is a bias and how it is aligned; its address comes with every call. */
  static const _Alignas(2 * ALIGNMENT) char no_bias[2 * ALIGNMENT];
  const void *bias = no_bias + ALIGNMENT;
  DT_CUBLAS(cublasLtMatmulDescCreate(&plan->description, compute, CUDA_R_32F));
  DT_TRY(set_product(plan->description, CUBLASLT_MATMUL_DESC_TRANSA, &a, sizeof a));
  DT_TRY(set_product(plan->description, CUBLASLT_MATMUL_DESC_TRANSB, &b, sizeof b));
  DT_TRY(set_product(plan->description, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue));
  if (plan->base.fused && plan->product.bias) {
    DT_TRY(set_product(plan->description, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof bias));
  }
  return DT_OK;
}

static dt_status make_layout(const operand *o, cudaDataType_t type, cublasLtMatrixLayout_t *out) {
  DT_CUBLAS(cublasLtMatrixLayoutCreate(out, type, (uint64_t)o->rows, (uint64_t)o->columns, o->rows));
  return DT_OK;
}

/* As many products as there are shards, with so many elements from an operand to that of the next. */
static dt_status set_batch(const dt_gpu_product *l, int64_t stride, cublasLtMatrixLayout_t layout) {
  const int32_t count = l->shards;
  if (l->op != DT_OP_LINEAR_WGRAD || count == 1) return DT_OK;
  DT_CUBLAS(cublasLtMatrixLayoutSetAttribute(layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count, sizeof count));
  DT_CUBLAS(cublasLtMatrixLayoutSetAttribute(layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &stride, sizeof stride));
  return DT_OK;
}

static dt_status make_descriptors(const dt_gpu *gpu, dt_gpu_linear_plan *plan) {
  const operands o = operands_of(&plan->product);
  const cudaDataType_t type = type_of(gpu->type);
  DT_TRY(make_product(gpu, &o, plan));
  DT_TRY(make_layout(&o.a, type, &plan->a));
  DT_TRY(make_layout(&o.b, type, &plan->b));
  DT_TRY(make_layout(&o.d, plan->product.op == DT_OP_LINEAR_WGRAD ? CUDA_R_32F : type, &plan->d));
  DT_TRY(set_batch(&plan->product, o.a.rows * o.a.columns, plan->a));
  DT_TRY(set_batch(&plan->product, o.b.rows * o.b.columns, plan->b));
  return set_batch(&plan->product, dt_gpu_gradient_stride(o.d.rows * o.d.columns), plan->d);
}

static void drop_descriptors(dt_gpu_linear_plan *plan) {
  if (plan->d != NULL) cublasLtMatrixLayoutDestroy(plan->d);
  if (plan->b != NULL) cublasLtMatrixLayoutDestroy(plan->b);
  if (plan->a != NULL) cublasLtMatrixLayoutDestroy(plan->a);
  if (plan->description != NULL) cublasLtMatmulDescDestroy(plan->description);
  plan->a = plan->b = plan->d = NULL;
  plan->description = NULL;
}

static dt_status set_preference(cublasLtMatmulPreference_t preference, cublasLtMatmulPreferenceAttributes_t name,
                                const void *value, size_t bytes) {
  DT_CUBLAS(cublasLtMatmulPreferenceSetAttribute(preference, name, value, bytes));
  return DT_OK;
}

/* Unless told otherwise the heuristics count on operands at multiples of 256 bytes. */
static dt_status set_preferences(cublasLtMatmulPreference_t preference) {
  static const cublasLtMatmulPreferenceAttributes_t alignments[] = {
      CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
      CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES};
  const uint64_t workspace = workspace_max;
  const uint32_t reduction = CUBLASLT_REDUCTION_SCHEME_NONE, alignment = ALIGNMENT;
  DT_TRY(set_preference(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace, sizeof workspace));
  DT_TRY(set_preference(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &reduction, sizeof reduction));
  for (size_t i = 0; i < sizeof alignments / sizeof *alignments; i++) {
    DT_TRY(set_preference(preference, alignments[i], &alignment, sizeof alignment));
  }
  return DT_OK;
}

/* --- choices as text: "algorithm fused 0000000000000015 ..." --- */

static bool parse_choice(const char *text, bool *out_fused, cublasLtMatmulAlgo_t *out) {
  static const char algorithm[] = "algorithm", fused[] = " fused";
  if (strncmp(text, algorithm, sizeof algorithm - 1) != 0) return false;
  text += sizeof algorithm - 1;
  *out_fused = strncmp(text, fused, sizeof fused - 1) == 0;
  if (*out_fused) text += sizeof fused - 1;
  for (int i = 0, length = 0; i < WORDS; i++, text += length) {
    if (sscanf(text, " %16" SCNx64 "%n", &out->data[i], &length) != 1) return false;
  }
  return *text == '\0';
}

static void print_choice(bool fused, const cublasLtMatmulAlgo_t *algorithm, char *text) {
  int length = snprintf(text, DT_GPU_CHOICE_TEXT, "algorithm%s", fused ? " fused" : "");
  for (int i = 0; i < WORDS; i++) {
    length += snprintf(text + length, DT_GPU_CHOICE_TEXT - (size_t)length, " %016" PRIx64, algorithm->data[i]);
  }
}

/* Everything that can be asked of an algorithm, which is what ranks compare. But for the first, what
 * is 0 is left out of the text. */
static const struct {
  const char *name;
  cublasLtMatmulAlgoConfigAttributes_t attribute;
  size_t bytes;
} attributes[] = {
    {"algorithm", CUBLASLT_ALGO_CONFIG_ID, 4},
    {"tile", CUBLASLT_ALGO_CONFIG_TILE_ID, 4},
    {"stages", CUBLASLT_ALGO_CONFIG_STAGES_ID, 4},
    {"split", CUBLASLT_ALGO_CONFIG_SPLITK_NUM, 4},
    {"reduction", CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME, 4},
    {"swizzle", CUBLASLT_ALGO_CONFIG_CTA_SWIZZLING, 4},
    {"option", CUBLASLT_ALGO_CONFIG_CUSTOM_OPTION, 4},
    {"inner", CUBLASLT_ALGO_CONFIG_INNER_SHAPE_ID, 2},
    {"cluster", CUBLASLT_ALGO_CONFIG_CLUSTER_SHAPE_ID, 2},
};

/* -1 where the library doesn't say. Little-endian, as everything that CUDA runs on. */
static int32_t attribute_of(const cublasLtMatmulAlgo_t *algorithm, cublasLtMatmulAlgoConfigAttributes_t attribute,
                            size_t bytes) {
  int32_t value = 0;
  size_t written;
  cublasStatus_t code = cublasLtMatmulAlgoConfigGetAttribute(algorithm, attribute, &value, bytes, &written);
  return code == CUBLAS_STATUS_SUCCESS ? value : -1;
}

static void print_algorithm(dt_gpu_plan *plan, const cublasLtMatmulAlgo_t *algorithm) {
  int length = snprintf(plan->text, sizeof plan->text, "cublaslt");
  for (size_t i = 0; i < sizeof attributes / sizeof *attributes; i++) {
    const int32_t value = attribute_of(algorithm, attributes[i].attribute, attributes[i].bytes);
    if (i > 0 && value == 0) continue;
    length += snprintf(plan->text + length, sizeof plan->text - (size_t)length, " %s %d", attributes[i].name, value);
  }
  snprintf(plan->text + length, sizeof plan->text - (size_t)length, "%s", plan->fused ? " fused" : "");
}

static void take(dt_gpu_linear_plan *plan, const cublasLtMatmulAlgo_t *algorithm, size_t workspace) {
  plan->algorithm = *algorithm;
  plan->base.workspace = workspace;
  plan->base.found = true;
  print_choice(plan->base.fused, algorithm, plan->base.choice);
  print_algorithm(&plan->base, algorithm);
}

/* --- by the heuristics --- */

static dt_status ask(const dt_gpu *gpu, const dt_gpu_linear_plan *plan, int room, cublasLtMatmulHeuristicResult_t *result,
                     int *out_count) {
  cublasLtMatmulPreference_t preference;
  DT_CUBLAS(cublasLtMatmulPreferenceCreate(&preference));
  dt_status status = set_preferences(preference);
  cublasStatus_t code = CUBLAS_STATUS_SUCCESS;
  if (status == DT_OK) {
    code = cublasLtMatmulAlgoGetHeuristic(gpu->libraries->cublas, plan->description, plan->a, plan->b, plan->d, plan->d,
                                          preference, room, result, out_count);
  }
  cublasLtMatmulPreferenceDestroy(preference);
  if (code == CUBLAS_STATUS_NOT_SUPPORTED) *out_count = 0;
  return status != DT_OK || code == CUBLAS_STATUS_NOT_SUPPORTED
             ? status
             : dt_gpu_check_cublas(code, "cublasLtMatmulAlgoGetHeuristic", __FILE__, __LINE__);
}

/* Each sum must be taken in one sequence (cublasLtReductionScheme_t). The parts of a split one are added by another kernel or
 * by counters; by the manual in an order of their own, too, but nobody has proven that, and "in place" they are rounded to the
 * type of the output. */
static bool sums_in_sequence(const cublasLtMatmulAlgo_t *algorithm) {
  return attribute_of(algorithm, CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME, 4) == CUBLASLT_REDUCTION_SCHEME_NONE;
}

/* Of what the heuristics give all that they were asked for is looked at, too. */
static bool is_usable(const cublasLtMatmulHeuristicResult_t *result, const cublasLtMatmulAlgo_t *algorithm) {
  return result->state == CUBLAS_STATUS_SUCCESS && result->workspaceSize <= workspace_max && sums_in_sequence(algorithm);
}

static dt_status try_product(const dt_gpu *gpu, bool fused, dt_gpu_linear_plan *plan) {
  cublasLtMatmulHeuristicResult_t result[OFFERS_MAX];
  int count = 0, i = 0;
  plan->base.fused = fused;
  DT_TRY(make_descriptors(gpu, plan));
  DT_TRY(ask(gpu, plan, OFFERS_MAX, result, &count));
  while (i < count && !is_usable(&result[i], &result[i].algo)) i++;
  if (i < count) {
    take(plan, &result[i].algo, result[i].workspaceSize);
  } else {
    drop_descriptors(plan);
  }
  return DT_OK;
}

static bool can_fuse(const dt_gpu_linear_plan *plan) {
  return plan->product.bias || plan->product.act.kind == DT_ACT_RELU;
}

static dt_status choose_by_heuristics(const dt_gpu *gpu, dt_gpu_linear_plan *plan) {
  if (gpu->libraries->cublas == NULL) {
    plan->base.found = true;
    plan->base.workspace = workspace_max;
    snprintf(plan->base.text, sizeof plan->base.text, "cublaslt, chosen on the device");
    return DT_OK;
  }
  if (can_fuse(plan)) DT_TRY(try_product(gpu, true, plan));
  if (!plan->base.found) DT_TRY(try_product(gpu, false, plan));
  if (!plan->base.found) snprintf(plan->base.text, sizeof plan->base.text, "dtrain direct, cublaslt has no algorithm");
  return DT_OK;
}

static dt_status offer_all(const dt_gpu *gpu, bool fused, dt_gpu_linear_plan *plan, dt_gpu_offers *offers) {
  cublasLtMatmulHeuristicResult_t result[OFFERS_MAX];
  char text[DT_GPU_CHOICE_TEXT];
  int count = 0;
  plan->base.fused = fused;
  dt_status status = make_descriptors(gpu, plan);
  if (status == DT_OK) status = ask(gpu, plan, OFFERS_MAX, result, &count);
  for (int i = 0; i < count && status == DT_OK; i++) {
    if (!is_usable(&result[i], &result[i].algo)) continue;
    print_choice(fused, &result[i].algo, text);
    dt_gpu_offers_add(offers, text);
  }
  drop_descriptors(plan);
  return status;
}

/* --- an algorithm that is given --- */

/* base.found stays false where the algorithm is refused, by cuBLASLt or by us. Without a device only its words are looked at.
 */
static dt_status choose_given(const dt_gpu *gpu, const char *text, dt_gpu_linear_plan *plan) {
  cublasLtMatmulAlgo_t algorithm;
  cublasLtMatmulHeuristicResult_t result = {.state = CUBLAS_STATUS_SUCCESS, .workspaceSize = workspace_max};
  if (!parse_choice(text, &plan->base.fused, &algorithm)) return DT_OK;
  if (gpu->libraries->cublas != NULL) {
    DT_TRY(make_descriptors(gpu, plan));
    cublasStatus_t code = cublasLtMatmulAlgoCheck(gpu->libraries->cublas, plan->description, plan->a, plan->b, plan->d, plan->d,
                                                  &algorithm, &result);
    if (code != CUBLAS_STATUS_SUCCESS) return DT_OK;
  }
  if (is_usable(&result, &algorithm)) take(plan, &algorithm, result.workspaceSize);
  return DT_OK;
}

/* --- plans --- */

void dt_gpu_linear_plan_destroy(dt_gpu_plan *base) {
  dt_gpu_linear_plan *plan = (dt_gpu_linear_plan *)base;
  if (plan == NULL) return;
  drop_descriptors(plan);
  free(plan);
}

dt_status dt_gpu_linear_plan_make(const dt_gpu *gpu, const dt_gpu_product *product, const char *choice, dt_gpu_plan **out) {
  dt_gpu_linear_plan *plan = NULL;
  *out = NULL;
  DT_TRY(dt_alloc(1, sizeof *plan, &plan));
  memcpy(&plan->product, product, sizeof *product); /* padding and all: plans are found by comparing bytes */
  dt_status status = choice != NULL ? choose_given(gpu, choice, plan) : choose_by_heuristics(gpu, plan);
  if (status == DT_OK && (plan->base.found || choice == NULL)) {
    *out = &plan->base;
  } else {
    dt_gpu_linear_plan_destroy(&plan->base);
  }
  return status;
}

dt_status dt_gpu_linear_plan_offer(const dt_gpu *gpu, const dt_gpu_product *product, dt_gpu_offers *offers) {
  dt_gpu_linear_plan plan;
  memset(&plan, 0, sizeof plan);
  memcpy(&plan.product, product, sizeof *product);
  if (can_fuse(&plan)) DT_TRY(offer_all(gpu, true, &plan, offers));
  return offer_all(gpu, false, &plan, offers);
}

void dt_gpu_linear_plan_what(const dt_gpu *gpu, const dt_gpu_product *p, char *text) {
  snprintf(text, DT_GPU_WHAT_TEXT, "%s %s samples %" PRId64 " inputs %" PRId64 " outputs %" PRId64 "%s%s",
           dt_gpu_op_name(p->op), dt_gpu_precision_name(gpu->precision), p->samples, p->inputs, p->outputs,
           p->bias ? " bias" : "", p->act.kind == DT_ACT_RELU ? " relu" : "");
}

/* --- the list --- */

/* By the plan table where it has the product, else by the heuristics. */
static dt_status choose(const dt_gpu *gpu, const dt_gpu_product *product, dt_gpu_plan **out) {
  char what[DT_GPU_WHAT_TEXT];
  dt_gpu_linear_plan_what(gpu, product, what);
  const dt_gpu_plan_entry *entry = dt_gpu_plan_table_find(gpu->libraries->table, what);
  DT_TRY(dt_gpu_linear_plan_make(gpu, product, entry != NULL ? entry->choice : NULL, out));
  return *out != NULL ? DT_OK : dt_gpu_refuse_entry(entry, "cuBLASLt");
}

/* Whether the operands of all shards are aligned as those of the first. */
static bool batch_is_aligned(const dt_gpu *gpu, const dt_gpu_product *l) {
  const int64_t unit = (int64_t)dt_gpu_type_bytes(gpu->type);
  return l->samples * l->inputs * unit % ALIGNMENT == 0 && l->samples * l->outputs * unit % ALIGNMENT == 0;
}

/* The plan of one shard over several. Without a device a plan has no choice yet. */
static dt_status spread(const dt_gpu *gpu, const dt_gpu_product *product, dt_gpu_plan **out) {
  dt_gpu_product one = *product;
  dt_gpu_linear_plan *alone, *plan;
  const bool sums = product->op == DT_OP_LINEAR_WGRAD;
  if (!sums) one.samples /= product->shards;
  one.shards = 1;
  *out = NULL;
  DT_TRY(dt_gpu_linear_plan_get(gpu, &one, &alone));
  const bool possible = !sums || batch_is_aligned(gpu, product);
  if (possible && gpu->libraries->cublas == NULL) return dt_gpu_linear_plan_make(gpu, product, NULL, out);
  if (possible && alone->base.found) DT_TRY(dt_gpu_linear_plan_make(gpu, product, alone->base.choice, out));
  if (*out != NULL) return DT_OK;
  DT_TRY(dt_alloc(1, sizeof *plan, &plan));
  memcpy(&plan->product, product, sizeof *product);
  memcpy(plan->base.text, alone->base.text, sizeof plan->base.text);
  plan->base.batching = sums || alone->base.found ? DT_GPU_SEPARATE : DT_GPU_INVARIANT;
  *out = &plan->base;
  return DT_OK;
}

dt_status dt_gpu_linear_plan_get(const dt_gpu *gpu, const dt_gpu_product *product, dt_gpu_linear_plan **out) {
  dt_gpu_plan **list = &gpu->libraries->linear, *plan = *list;
  while (plan != NULL && memcmp(&((dt_gpu_linear_plan *)plan)->product, product, sizeof *product) != 0) plan = plan->next;
  if (plan == NULL) {
    DT_TRY(product->shards == 1 ? choose(gpu, product, &plan) : spread(gpu, product, &plan));
    plan->next = *list;
    *list = plan;
  }
  *out = (dt_gpu_linear_plan *)plan;
  return DT_OK;
}

/* --- running --- */

dt_status dt_gpu_linear_execute(const dt_gpu *gpu, const dt_gpu_linear_plan *plan, const void *a, const void *b, void *d,
                                const void *bias, void *workspace, cudaStream_t stream) {
  const float one = 1, zero = 0;
  if (plan->base.fused && plan->product.bias) {
    DT_TRY(set_product(plan->description, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof bias));
  }
  if (plan->base.workspace == 0) workspace = NULL;
  DT_CUBLAS(cublasLtMatmul(gpu->libraries->cublas, plan->description, &one, a, plan->a, b, plan->b, &zero, d, plan->d, d,
                           plan->d, &plan->algorithm, workspace, plan->base.workspace, stream));
  return DT_OK;
}

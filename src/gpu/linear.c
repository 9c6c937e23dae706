/* Matrix products by cuBLASLt, with y = act(w x + b), w [O, I], samples as rows. cuBLASLt counts columns first, so a row-major
 * matrix [rows][columns] is to it a matrix of columns x rows, and the products are
 *
 *   forward  y[n][O]  = x w^T    Y (O x n) = W^T (I x O, transposed) X (I x n)
 *   dgrad    dx[n][I] = dy w     DX (I x n) = W (I x O) DY (O x n)
 *   wgrad    dw[O][I] = dy^T x   DW (I x O) = X (I x n) DY^T (O x n, transposed), in float
 *
 * The algorithm is the first that the library's heuristics give for a fixed workspace and sums of split products in the compute
 * type, taken when the plan is made and kept. What it has no algorithm for is a convolution 1x1 of the direct kernels. WORK is
 * the workspace, then the sums for DB. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/lowering.h"
#include "core/spec.h"
#include "gpu/conv_direct.h"
#include "gpu/libraries.h"

static const size_t workspace_max = 32 << 20;
/* Bytes. Parameters begin at multiples of DT_ALIGN_ELEMENTS of their block, which in 16-bit types is this; gradients and what
 * is in the arena are aligned better. */
enum { ALIGNMENT = DT_ALIGN_ELEMENTS * 2 };

/* What a product computes. */
typedef struct linear {
  dt_op op;
  int64_t samples, inputs, outputs;
  bool bias;  /* LINEAR_FWD: a bias is added */
  dt_act act; /* LINEAR_FWD */
} linear;

struct dt_gpu_linear_plan {
  dt_gpu_linear_plan *next;
  linear linear; /* what it computes */
  bool found;    /* there is an algorithm, or the device will choose one; else the direct kernels compute it */
  bool fused;    /* bias and relu are in the product, as far as the instruction has them */
  size_t workspace;
  char text[DT_GPU_CHOICE_TEXT];
  cublasLtMatmulDesc_t product;
  cublasLtMatrixLayout_t a, b, d;
  cublasLtMatmulAlgo_t algorithm;
};

/* --- the plan --- */

/* An operand: rows and columns as cuBLASLt counts them, none of them padded. */
typedef struct operand {
  int64_t rows, columns;
  bool transposed;
} operand;

typedef struct operands {
  operand a, b, d;
} operands;

static operands operands_of(const linear *l) {
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
  const bool bias = plan->fused && plan->linear.bias, relu = plan->fused && plan->linear.act == DT_ACT_RELU;
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
  DT_CUBLAS(cublasLtMatmulDescCreate(&plan->product, compute, CUDA_R_32F));
  DT_TRY(set_product(plan->product, CUBLASLT_MATMUL_DESC_TRANSA, &a, sizeof a));
  DT_TRY(set_product(plan->product, CUBLASLT_MATMUL_DESC_TRANSB, &b, sizeof b));
  DT_TRY(set_product(plan->product, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue));
  if (plan->fused && plan->linear.bias) {
    DT_TRY(set_product(plan->product, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof bias));
  }
  return DT_OK;
}

static dt_status make_layout(const operand *o, cudaDataType_t type, cublasLtMatrixLayout_t *out) {
  DT_CUBLAS(cublasLtMatrixLayoutCreate(out, type, (uint64_t)o->rows, (uint64_t)o->columns, o->rows));
  return DT_OK;
}

static dt_status make_descriptors(const dt_gpu *gpu, dt_gpu_linear_plan *plan) {
  const operands o = operands_of(&plan->linear);
  const cudaDataType_t type = type_of(gpu->type);
  DT_TRY(make_product(gpu, &o, plan));
  DT_TRY(make_layout(&o.a, type, &plan->a));
  DT_TRY(make_layout(&o.b, type, &plan->b));
  return make_layout(&o.d, plan->linear.op == DT_OP_LINEAR_WGRAD ? CUDA_R_32F : type, &plan->d);
}

static void drop_descriptors(dt_gpu_linear_plan *plan) {
  if (plan->d != NULL) cublasLtMatrixLayoutDestroy(plan->d);
  if (plan->b != NULL) cublasLtMatrixLayoutDestroy(plan->b);
  if (plan->a != NULL) cublasLtMatrixLayoutDestroy(plan->a);
  if (plan->product != NULL) cublasLtMatmulDescDestroy(plan->product);
  plan->a = plan->b = plan->d = NULL;
  plan->product = NULL;
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
  const uint32_t reduction = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE, alignment = ALIGNMENT;
  DT_TRY(set_preference(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace, sizeof workspace));
  DT_TRY(set_preference(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &reduction, sizeof reduction));
  for (size_t i = 0; i < sizeof alignments / sizeof *alignments; i++) {
    DT_TRY(set_preference(preference, alignments[i], &alignment, sizeof alignment));
  }
  return DT_OK;
}

static void print_algorithm(dt_gpu_linear_plan *plan) {
  static const struct {
    const char *name;
    cublasLtMatmulAlgoConfigAttributes_t attribute;
  } parts[] = {{"algorithm", CUBLASLT_ALGO_CONFIG_ID},
               {"tile", CUBLASLT_ALGO_CONFIG_TILE_ID},
               {"stages", CUBLASLT_ALGO_CONFIG_STAGES_ID},
               {"split", CUBLASLT_ALGO_CONFIG_SPLITK_NUM}};
  int length = snprintf(plan->text, sizeof plan->text, "cublaslt");
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
    int32_t value = -1;
    size_t written;
    cublasLtMatmulAlgoConfigGetAttribute(&plan->algorithm, parts[i].attribute, &value, sizeof value, &written);
    length += snprintf(plan->text + length, sizeof plan->text - (size_t)length, " %s %d", parts[i].name, value);
  }
}

static dt_status ask_heuristics(const dt_gpu *gpu, cublasLtMatmulPreference_t preference, dt_gpu_linear_plan *plan) {
  cublasLtMatmulHeuristicResult_t result;
  int count = 0;
  DT_TRY(set_preferences(preference));
  cublasStatus_t code = cublasLtMatmulAlgoGetHeuristic(gpu->libraries->cublas, plan->product, plan->a, plan->b, plan->d,
                                                       plan->d, preference, 1, &result, &count);
  if (code == CUBLAS_STATUS_NOT_SUPPORTED) return DT_OK;
  DT_TRY(dt_gpu_check_cublas(code, "cublasLtMatmulAlgoGetHeuristic", __FILE__, __LINE__));
  if (count < 1 || result.state != CUBLAS_STATUS_SUCCESS || result.workspaceSize > workspace_max) return DT_OK;
  plan->algorithm = result.algo;
  plan->workspace = result.workspaceSize;
  plan->found = true;
  print_algorithm(plan);
  return DT_OK;
}

static dt_status try_product(const dt_gpu *gpu, bool fused, dt_gpu_linear_plan *plan) {
  cublasLtMatmulPreference_t preference;
  plan->fused = fused;
  DT_TRY(make_descriptors(gpu, plan));
  DT_CUBLAS(cublasLtMatmulPreferenceCreate(&preference));
  dt_status status = ask_heuristics(gpu, preference, plan);
  cublasLtMatmulPreferenceDestroy(preference);
  if (!plan->found) drop_descriptors(plan);
  return status;
}

static dt_status choose(const dt_gpu *gpu, dt_gpu_linear_plan *plan) {
  if (gpu->libraries->cublas == NULL) {
    plan->found = true;
    plan->workspace = workspace_max;
    snprintf(plan->text, sizeof plan->text, "cublaslt, chosen on the device");
    return DT_OK;
  }
  if (plan->linear.bias || plan->linear.act == DT_ACT_RELU) DT_TRY(try_product(gpu, true, plan));
  if (!plan->found) DT_TRY(try_product(gpu, false, plan));
  if (!plan->found) snprintf(plan->text, sizeof plan->text, "dtrain direct, cublaslt has no algorithm");
  return DT_OK;
}

/* --- the list --- */

static void destroy_plan(dt_gpu_linear_plan *plan) {
  drop_descriptors(plan);
  free(plan);
}

static dt_status plan_get(const dt_gpu *gpu, const linear *wanted, const dt_gpu_linear_plan **out) {
  dt_gpu_libraries *libraries = gpu->libraries;
  dt_gpu_linear_plan *plan = libraries->linear;
  while (plan != NULL && memcmp(&plan->linear, wanted, sizeof *wanted) != 0) plan = plan->next;
  if (plan == NULL) {
    DT_TRY(dt_alloc(1, sizeof *plan, &plan));
    memcpy(&plan->linear, wanted, sizeof *wanted);
    dt_status status = choose(gpu, plan);
    if (status != DT_OK) {
      destroy_plan(plan);
      return status;
    }
    plan->next = libraries->linear;
    libraries->linear = plan;
  }
  *out = plan;
  return DT_OK;
}

void dt_gpu_linear_plans_free(dt_gpu_libraries *libraries) {
  while (libraries->linear != NULL) {
    dt_gpu_linear_plan *plan = libraries->linear;
    libraries->linear = plan->next;
    destroy_plan(plan);
  }
}

/* --- what lowering asks --- */

static linear linear_of(const dt_program *program, const dt_instr *instr) {
  linear l;
  memset(&l, 0, sizeof l); /* plans are found by comparing bytes */
  l.op = instr->op;
  l.samples = program->shard_slots;
  l.inputs = dt_gpu_count(program, instr, instr->op == DT_OP_LINEAR_DGRAD ? DT_ARG_DX : DT_ARG_X);
  l.outputs = dt_gpu_count(program, instr, instr->op == DT_OP_LINEAR_FWD ? DT_ARG_Y : DT_ARG_DY);
  if (instr->op == DT_OP_LINEAR_FWD) {
    l.bias = instr->arg[DT_ARG_B] >= 0;
    l.act = instr->act;
  }
  return l;
}

dt_status dt_gpu_linear_work(const dt_gpu *gpu, const dt_program *program, const dt_instr *instr, size_t *out) {
  const linear l = linear_of(program, instr);
  const dt_gpu_linear_plan *plan;
  DT_TRY(plan_get(gpu, &l, &plan));
  size_t work = plan->workspace, sums = 0;
  if (instr->arg[DT_ARG_DB] >= 0) sums = dt_gpu_column_work(l.samples, l.outputs);
  *out = work > sums ? work : sums;
  return DT_OK;
}

dt_status dt_gpu_linear_describe(const dt_gpu *gpu, const dt_program *program, const dt_instr *instr, char *text) {
  const linear l = linear_of(program, instr);
  const dt_gpu_linear_plan *plan;
  DT_TRY(plan_get(gpu, &l, &plan));
  snprintf(text, DT_GPU_PLAN_TEXT, "%s, workspace %zu B", plan->text, plan->workspace);
  return DT_OK;
}

/* --- running --- */

typedef struct linear_call {
  const dt_gpu *gpu;
  const dt_gpu_linear_plan *plan;
  void *work;
  cudaStream_t stream;
} linear_call;

static dt_status call_make(const dt_run *run, const dt_instr *instr, const dt_pass *pass, linear_call *out) {
  const linear l = linear_of(run->program, instr);
  *out = (linear_call){
      .gpu = dt_gpu_of(run), .work = dt_gpu_arg(run, instr, pass, DT_ARG_WORK), .stream = dt_gpu_stream(run, instr)};
  return plan_get(out->gpu, &l, &out->plan);
}

static dt_status multiply(const linear_call *call, const void *a, const void *b, void *d) {
  const dt_gpu_linear_plan *plan = call->plan;
  const float one = 1, zero = 0;
  void *workspace = plan->workspace == 0 ? NULL : call->work;
  DT_CUBLAS(cublasLtMatmul(call->gpu->libraries->cublas, plan->product, &one, a, plan->a, b, plan->b, &zero, d, plan->d, d,
                           plan->d, &plan->algorithm, workspace, plan->workspace, call->stream));
  return DT_OK;
}

/* The product as a convolution of images of one pixel. */
static dt_gpu_conv as_convolution(const linear *l) {
  return (dt_gpu_conv){
      .x = {.samples = l->samples, .height = 1, .width = 1, .channels = l->inputs},
      .y = {.samples = l->samples, .height = 1, .width = 1, .channels = l->outputs},
      .window = {.kernel = {1, 1}, .stride = {1, 1}, .dilation = {1, 1}},
      .groups = 1,
      .act = l->act,
  };
}

/* What of bias and activation is not in the product. */
static dt_status finish_forward(const linear_call *call, const float *bias, void *y) {
  const linear *l = &call->plan->linear;
  const bool act_done = l->act == DT_ACT_NONE || (call->plan->fused && l->act == DT_ACT_RELU);
  if (l->bias && !call->plan->fused) {
    return dt_gpu_add_bias(call->gpu->type, l->act, bias, l->samples, l->outputs, y, call->stream);
  }
  return act_done ? DT_OK : dt_gpu_apply_act(call->gpu->type, l->act, y, l->samples * l->outputs, call->stream);
}

dt_status dt_gpu_linear_fwd(dt_run *run, const dt_instr *instr, const dt_pass *pass) {
  linear_call call;
  DT_TRY(call_make(run, instr, pass, &call));
  const void *x = dt_gpu_arg(run, instr, pass, DT_ARG_X), *w = dt_gpu_param(run, instr, DT_ARG_W);
  const float *bias = dt_gpu_arg(run, instr, pass, DT_ARG_B);
  void *y = dt_gpu_arg(run, instr, pass, DT_ARG_Y);
  if (!call.plan->found) {
    const dt_gpu_conv conv = as_convolution(&call.plan->linear);
    return dt_gpu_conv_direct_fwd(call.gpu->type, &conv, x, w, bias, y, call.stream);
  }
  if (call.plan->fused && call.plan->linear.bias) {
    const void *copy = dt_gpu_param(run, instr, DT_ARG_B);
    DT_TRY(set_product(call.plan->product, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &copy, sizeof copy));
  }
  DT_TRY(multiply(&call, w, x, y));
  return finish_forward(&call, bias, y);
}

dt_status dt_gpu_linear_dgrad(dt_run *run, const dt_instr *instr, const dt_pass *pass) {
  linear_call call;
  DT_TRY(call_make(run, instr, pass, &call));
  const void *dy = dt_gpu_arg(run, instr, pass, DT_ARG_DY), *w = dt_gpu_param(run, instr, DT_ARG_W);
  void *dx = dt_gpu_arg(run, instr, pass, DT_ARG_DX);
  if (call.plan->found) return multiply(&call, w, dy, dx);
  const dt_gpu_conv conv = as_convolution(&call.plan->linear);
  return dt_gpu_conv_direct_dgrad(call.gpu->type, &conv, dy, w, dx, call.stream);
}

static dt_status compute_dw(const linear_call *call, const void *x, const void *dy, float *dw) {
  if (call->plan->found) return multiply(call, x, dy, dw);
  const dt_gpu_conv conv = as_convolution(&call->plan->linear);
  return dt_gpu_conv_direct_wgrad(call->gpu->type, &conv, x, dy, dw, call->stream);
}

dt_status dt_gpu_linear_wgrad(dt_run *run, const dt_instr *instr, const dt_pass *pass) {
  linear_call call;
  DT_TRY(call_make(run, instr, pass, &call));
  const void *dy = dt_gpu_arg(run, instr, pass, DT_ARG_DY);
  DT_TRY(compute_dw(&call, dt_gpu_arg(run, instr, pass, DT_ARG_X), dy, dt_gpu_arg(run, instr, pass, DT_ARG_DW)));
  float *db = dt_gpu_arg(run, instr, pass, DT_ARG_DB);
  if (db == NULL) return DT_OK;
  const linear *l = &call.plan->linear;
  return dt_gpu_sum_columns(call.gpu->type, dy, l->samples, l->outputs, call.work, db, call.stream);
}

/* A matrix product by cuBLASLt: its descriptors, and the algorithm chosen for it. */
#ifndef DT_GPU_LINEAR_PLAN_H
#define DT_GPU_LINEAR_PLAN_H

#include "gpu/libraries.h"

/* What a product computes. */
typedef struct dt_gpu_product {
  dt_op op;
  int64_t samples, inputs, outputs; /* samples: of all shards, but of LINEAR_WGRAD of one */
  int shards;                       /* LINEAR_WGRAD: so many products, their operands one behind the other */
  bool bias;                        /* LINEAR_FWD: a bias is added */
  dt_act act;                       /* LINEAR_FWD */
} dt_gpu_product;

typedef struct dt_gpu_linear_plan {
  dt_gpu_plan base;       /* not found: the direct kernels compute it. Without a device it is always found. */
  dt_gpu_product product; /* what it computes */
  cublasLtMatmulDesc_t description;
  cublasLtMatrixLayout_t a, b, d;
  cublasLtMatmulAlgo_t algorithm;
} dt_gpu_linear_plan;

/* Finds the plan for a product or makes it: of one shard as the plan table says or else as the heuristics do, of several with
 * the choice of one shard's. The list in gpu->libraries keeps it. DT_ENVIRONMENT, DT_MEMORY; DT_USAGE for an entry of the table
 * that can't be used. */
dt_status dt_gpu_linear_plan_get(const dt_gpu *gpu, const dt_gpu_product *product, dt_gpu_linear_plan **out);

/* dt_gpu_library's rows for a product that is known. */
void dt_gpu_linear_plan_what(const dt_gpu *gpu, const dt_gpu_product *product, char *text);
dt_status dt_gpu_linear_plan_make(const dt_gpu *gpu, const dt_gpu_product *product, const char *choice, dt_gpu_plan **out);
dt_status dt_gpu_linear_plan_offer(const dt_gpu *gpu, const dt_gpu_product *product, dt_gpu_offers *offers);
void dt_gpu_linear_plan_destroy(dt_gpu_plan *plan);

/* Enqueues d = epilogue(a b); bias as the plan has it in itself, else ignored. workspace: plan->base.workspace bytes. */
dt_status dt_gpu_linear_execute(const dt_gpu *gpu, const dt_gpu_linear_plan *plan, const void *a, const void *b, void *d,
                                const void *bias, void *workspace, cudaStream_t stream);

#endif

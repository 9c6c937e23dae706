/* Matrix products by cuBLASLt, with y = act(w x + b), w [O, I], samples as rows. cuBLASLt counts columns first, so a row-major
 * matrix [rows][columns] is to it a matrix of columns x rows, and the products are
 *
 *   forward  y[n][O]  = x w^T    Y (O x n) = W^T (I x O, transposed) X (I x n)
 *   dgrad    dx[n][I] = dy w     DX (I x n) = W (I x O) DY (O x n)
 *   wgrad    dw[O][I] = dy^T x   DW (I x O) = X (I x n) DY^T (O x n, transposed), in float
 *
 * By a plan (linear_plan.h); what cuBLASLt has no algorithm for is a convolution 1x1 of the direct kernels. */
#include <stdio.h>
#include <string.h>

#include "gpu/conv_direct.h"
#include "gpu/linear_plan.h"

static dt_gpu_product product_of(const dt_program *program, const dt_instr *instr, int shards) {
  dt_gpu_product p;
  memset(&p, 0, sizeof p); /* plans are found by comparing bytes */
  p.op = instr->op;
  p.shards = shards;
  p.samples = program->shard_capacity * (instr->op == DT_OP_LINEAR_WGRAD ? 1 : shards);
  p.inputs = dt_gpu_count(program, instr, instr->op == DT_OP_LINEAR_DGRAD ? DT_ARG_DX : DT_ARG_X);
  p.outputs = dt_gpu_count(program, instr, instr->op == DT_OP_LINEAR_FWD ? DT_ARG_Y : DT_ARG_DY);
  if (instr->op == DT_OP_LINEAR_FWD) {
    p.bias = instr->arg[DT_ARG_B] >= 0;
    p.act = instr->act;
  }
  return p;
}

/* --- computing --- */

typedef struct linear_call {
  const dt_gpu *gpu;
  const dt_gpu_linear_plan *plan;
  void *work;
  cudaStream_t stream;
} linear_call;

static dt_status multiply(const linear_call *call, const void *a, const void *b, void *d, const void *bias) {
  return dt_gpu_linear_execute(call->gpu, call->plan, a, b, d, bias, call->work, call->stream);
}

/* The product as a convolution of images of one pixel. */
static dt_gpu_conv as_convolution(const dt_gpu_product *l) {
  return (dt_gpu_conv){
      .x = {.samples = l->samples, .height = 1, .width = 1, .channels = l->inputs},
      .y = {.samples = l->samples, .height = 1, .width = 1, .channels = l->outputs},
      .window = {.ndim = 2, .kernel = {1, 1}, .stride = {1, 1}, .dilation = {1, 1}},
      .groups = 1,
      .shards = 1,
      .act = l->act,
  };
}

/* What of bias and activation is not in the product. */
static dt_status finish_forward(const linear_call *call, const float *bias, void *y) {
  const dt_gpu_product *p = &call->plan->product;
  const bool fused = call->plan->base.fused;
  const bool act_done = p->act.kind == DT_ACT_NONE || (fused && p->act.kind == DT_ACT_RELU);
  if (p->bias && !fused) return dt_gpu_apply_bias(call->gpu->type, p->act, bias, p->samples, p->outputs, y, call->stream);
  return act_done ? DT_OK : dt_gpu_apply_act(call->gpu->type, p->act, y, p->samples * p->outputs, call->stream);
}

static dt_status forward(const linear_call *call, const dt_gpu_operands *o) {
  if (!call->plan->base.found) {
    const dt_gpu_conv conv = as_convolution(&call->plan->product);
    return dt_gpu_conv_direct_fwd(call->gpu->type, &conv, o->x, o->w, o->bias, o->y, call->stream);
  }
  DT_TRY(multiply(call, o->w, o->x, o->y, o->low));
  return finish_forward(call, o->bias, o->y);
}

static dt_status backward_data(const linear_call *call, const dt_gpu_operands *o) {
  if (call->plan->base.found) return multiply(call, o->w, o->y, o->x, NULL);
  const dt_gpu_conv conv = as_convolution(&call->plan->product);
  return dt_gpu_conv_direct_dgrad(call->gpu->type, &conv, o->y, o->w, o->x, call->stream);
}

static dt_status backward_weights(const linear_call *call, const dt_gpu_operands *o) {
  if (call->plan->base.found) return multiply(call, o->x, o->y, o->w, NULL);
  const dt_gpu_conv conv = as_convolution(&call->plan->product);
  return dt_gpu_conv_direct_wgrad(call->gpu->type, &conv, o->x, o->y, o->w, call->stream);
}

static dt_status compute(const linear_call *call, const dt_gpu_operands *operands) {
  if (call->plan->product.op == DT_OP_LINEAR_FWD) return forward(call, operands);
  return call->plan->product.op == DT_OP_LINEAR_DGRAD ? backward_data(call, operands) : backward_weights(call, operands);
}

/* --- the library's rows --- */

static void library_what(const dt_gpu *gpu, const dt_program *program, const dt_instr *instr, char *text) {
  const dt_gpu_product p = product_of(program, instr, 1);
  dt_gpu_linear_plan_what(gpu, &p, text);
}

static dt_status library_get(const dt_gpu *gpu, const dt_program *program, const dt_instr *instr, int shards,
                             dt_gpu_plan **out) {
  const dt_gpu_product p = product_of(program, instr, shards);
  dt_gpu_linear_plan *plan;
  DT_TRY(dt_gpu_linear_plan_get(gpu, &p, &plan));
  *out = &plan->base;
  return DT_OK;
}

static dt_status library_make(const dt_gpu *gpu, const dt_program *program, const dt_instr *instr, const char *choice,
                              dt_gpu_plan **out) {
  const dt_gpu_product p = product_of(program, instr, 1);
  return dt_gpu_linear_plan_make(gpu, &p, choice, out);
}

static dt_status library_offer(const dt_gpu *gpu, const dt_program *program, const dt_instr *instr, dt_gpu_offers *offers) {
  const dt_gpu_product p = product_of(program, instr, 1);
  return dt_gpu_linear_plan_offer(gpu, &p, offers);
}

static dt_gpu_counts library_counts(const dt_program *program, const dt_instr *instr) {
  const dt_gpu_product p = product_of(program, instr, 1);
  return (dt_gpu_counts){p.samples * p.inputs, p.inputs * p.outputs, p.samples * p.outputs, p.outputs};
}

static dt_gpu_type gradient_type(const dt_gpu *gpu, const dt_gpu_plan *plan) {
  return DT_GPU_F32;
}

static dt_status library_compute(const dt_gpu *gpu, const dt_gpu_plan *plan, const dt_gpu_operands *operands, void *work,
                                 cudaStream_t stream) {
  return compute(&(linear_call){gpu, (const dt_gpu_linear_plan *)plan, work, stream}, operands);
}

const dt_gpu_library dt_gpu_linear_library = {
    .what = library_what,
    .get = library_get,
    .make = library_make,
    .destroy = dt_gpu_linear_plan_destroy,
    .offer = library_offer,
    .counts = library_counts,
    .gradient_type = gradient_type,
    .compute = library_compute,
};

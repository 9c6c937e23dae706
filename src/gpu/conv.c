/* Convolutions: by a plan of cuDNN's where there is one, else by dtrain's direct kernels.
 *
 * From 16-bit inputs cuDNN writes DW in the value type. */
#include <stdio.h>
#include <string.h>

#include "gpu/conv_plan.h"

/* An argument's own shape: where it is another view of a buffer, the elements lie in the same order. */
static dt_gpu_image image_of(const dt_program *program, const dt_instr *instr, int shards, dt_arg arg) {
  const dt_shape *shape = &program->buffer[instr->arg[arg]].shape;
  return (dt_gpu_image){
      .samples = shards * program->shard_capacity, .height = shape->dim[1], .width = shape->dim[2], .channels = shape->dim[0]};
}

static dt_gpu_conv conv_of(const dt_program *program, const dt_instr *instr, int shards) {
  dt_gpu_conv conv;
  memset(&conv, 0, sizeof conv); /* plans are found by comparing bytes */
  conv.op = instr->op;
  conv.shards = shards;
  conv.x = image_of(program, instr, shards, instr->op == DT_OP_CONV_DGRAD ? DT_ARG_DX : DT_ARG_X);
  conv.y = image_of(program, instr, shards, instr->op == DT_OP_CONV_FWD ? DT_ARG_Y : DT_ARG_DY);
  conv.window = instr->conv.window;
  conv.groups = instr->conv.groups;
  if (instr->op == DT_OP_CONV_FWD) {
    conv.bias = instr->arg[DT_ARG_B] >= 0;
    conv.act = instr->act;
  }
  return conv;
}

static int64_t weights_of(const dt_gpu_conv *conv) {
  return conv->y.channels * conv->window.kernel[0] * conv->window.kernel[1] * (conv->x.channels / conv->groups);
}

static int64_t positions_of(const dt_gpu_conv *conv) {
  return conv->y.samples * conv->y.height * conv->y.width;
}

/* --- computing --- */

typedef struct conv_call {
  const dt_gpu *gpu;
  const dt_gpu_conv_plan *plan;
  void *work;
  cudaStream_t stream;
} conv_call;

static dt_status execute(const conv_call *call, const dt_gpu_conv_data *data) {
  return dt_gpu_conv_execute(call->gpu, call->plan, data, call->work, call->stream);
}

/* What of bias and activation is not in the plan. */
static dt_status finish_forward(const conv_call *call, const float *bias, void *y) {
  const dt_gpu_conv *conv = &call->plan->conv;
  const dt_gpu_type type = call->gpu->type;
  const bool bias_done = call->plan->base.fused || !conv->bias;
  const bool act_done = conv->act.kind == DT_ACT_NONE || (call->plan->base.fused && conv->act.kind == DT_ACT_RELU);
  if (!bias_done) return dt_gpu_apply_bias(type, conv->act, bias, positions_of(conv), conv->y.channels, y, call->stream);
  if (!act_done) return dt_gpu_apply_act(type, conv->act, y, dt_gpu_image_count(&conv->y), call->stream);
  return DT_OK;
}

static dt_status forward(const conv_call *call, const dt_gpu_operands *o) {
  if (!call->plan->base.found) {
    return dt_gpu_conv_direct_fwd(call->gpu->type, &call->plan->conv, o->x, o->w, o->bias, o->y, call->stream);
  }
  DT_TRY(execute(call, &(dt_gpu_conv_data){o->x, o->w, o->y, o->low}));
  return finish_forward(call, o->bias, o->y);
}

static dt_status backward_data(const conv_call *call, const dt_gpu_operands *o) {
  if (!call->plan->base.found) {
    return dt_gpu_conv_direct_dgrad(call->gpu->type, &call->plan->conv, o->y, o->w, o->x, call->stream);
  }
  return execute(call, &(dt_gpu_conv_data){o->x, o->w, o->y, NULL});
}

static dt_status backward_filter(const conv_call *call, const dt_gpu_operands *o) {
  if (call->plan->base.found) return execute(call, &(dt_gpu_conv_data){o->x, o->w, o->y, NULL});
  return dt_gpu_conv_direct_wgrad(call->gpu->type, &call->plan->conv, o->x, o->y, o->w, call->stream);
}

static dt_status compute(const conv_call *call, const dt_gpu_operands *operands) {
  if (call->plan->conv.op == DT_OP_CONV_FWD) return forward(call, operands);
  return call->plan->conv.op == DT_OP_CONV_DGRAD ? backward_data(call, operands) : backward_filter(call, operands);
}

/* --- the library's rows --- */

static void library_what(const dt_gpu *gpu, const dt_program *program, const dt_instr *instr, char *text) {
  const dt_gpu_conv conv = conv_of(program, instr, 1);
  dt_gpu_conv_plan_what(gpu, &conv, text);
}

static dt_status library_get(const dt_gpu *gpu, const dt_program *program, const dt_instr *instr, int shards,
                             dt_gpu_plan **out) {
  const dt_gpu_conv conv = conv_of(program, instr, shards);
  dt_gpu_conv_plan *plan;
  DT_TRY(dt_gpu_conv_plan_get(gpu, &conv, &plan));
  *out = &plan->base;
  return DT_OK;
}

static dt_status library_make(const dt_gpu *gpu, const dt_program *program, const dt_instr *instr, const char *choice,
                              dt_gpu_plan **out) {
  const dt_gpu_conv conv = conv_of(program, instr, 1);
  return dt_gpu_conv_plan_make(gpu, &conv, choice, out);
}

static dt_status library_offer(const dt_gpu *gpu, const dt_program *program, const dt_instr *instr, dt_gpu_offers *offers) {
  const dt_gpu_conv conv = conv_of(program, instr, 1);
  return dt_gpu_conv_plan_offer(gpu, &conv, offers);
}

static dt_gpu_counts library_counts(const dt_program *program, const dt_instr *instr) {
  const dt_gpu_conv conv = conv_of(program, instr, 1);
  return (dt_gpu_counts){dt_gpu_image_count(&conv.x), weights_of(&conv), dt_gpu_image_count(&conv.y), conv.y.channels};
}

static dt_gpu_type gradient_type(const dt_gpu *gpu, const dt_gpu_plan *plan) {
  return plan->found ? gpu->type : DT_GPU_F32;
}

static dt_status library_compute(const dt_gpu *gpu, const dt_gpu_plan *plan, const dt_gpu_operands *operands, void *work,
                                 cudaStream_t stream) {
  return compute(&(conv_call){gpu, (const dt_gpu_conv_plan *)plan, work, stream}, operands);
}

const dt_gpu_library dt_gpu_conv_library = {
    .what = library_what,
    .get = library_get,
    .make = library_make,
    .destroy = dt_gpu_conv_plan_destroy,
    .offer = library_offer,
    .counts = library_counts,
    .gradient_type = gradient_type,
    .compute = library_compute,
};

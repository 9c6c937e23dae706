/* Convolutions: by a plan of cuDNN's where there is one, else by dtrain's direct kernels.
 *
 * WORK holds, one after another in time and therefore in one place: the plan's workspace with DW in the value type behind it
 * (from 16-bit inputs cuDNN writes no other), then the sums for DB. */
#include <stdio.h>
#include <string.h>

#include "gpu/conv_plan.h"

/* An argument's own shape: where it is another view of a buffer, the elements lie in the same order. */
static dt_gpu_image image_of(const dt_program *program, const dt_instr *instr, dt_arg arg) {
  const dt_shape *shape = &program->buffer[instr->arg[arg]].shape;
  return (dt_gpu_image){
      .samples = program->shard_slots, .height = shape->dim[1], .width = shape->dim[2], .channels = shape->dim[0]};
}

static dt_gpu_conv conv_of(const dt_program *program, const dt_instr *instr) {
  dt_gpu_conv conv;
  memset(&conv, 0, sizeof conv); /* plans are found by comparing bytes */
  conv.op = instr->op;
  conv.x = image_of(program, instr, instr->op == DT_OP_CONV_DGRAD ? DT_ARG_DX : DT_ARG_X);
  conv.y = image_of(program, instr, instr->op == DT_OP_CONV_FWD ? DT_ARG_Y : DT_ARG_DY);
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

/* Bytes of DW in the value type; 0 where it is float, or cuDNN doesn't compute it. */
static size_t narrow_bytes(const dt_gpu *gpu, const dt_gpu_conv_plan *plan) {
  bool narrow = plan->conv.op == DT_OP_CONV_WGRAD && plan->plan != NULL && gpu->type != DT_GPU_F32;
  return narrow ? (size_t)weights_of(&plan->conv) * dt_gpu_type_bytes(gpu->type) : 0;
}

/* Where DW in the value type lies within WORK. */
static size_t narrow_offset(const dt_gpu_conv_plan *plan) {
  return dt_gpu_round_up(plan->workspace);
}

dt_status dt_gpu_conv_work(const dt_gpu *gpu, const dt_program *program, const dt_instr *instr, size_t *out) {
  const dt_gpu_conv conv = conv_of(program, instr);
  const dt_gpu_conv_plan *plan;
  DT_TRY(dt_gpu_conv_plan_get(gpu, &conv, &plan));
  size_t narrow = narrow_bytes(gpu, plan), sums = 0;
  if (instr->arg[DT_ARG_DB] >= 0) sums = dt_gpu_column_work(positions_of(&conv), conv.y.channels);
  size_t work = narrow > 0 ? narrow_offset(plan) + narrow : plan->workspace;
  *out = work > sums ? work : sums;
  return DT_OK;
}

dt_status dt_gpu_conv_describe(const dt_gpu *gpu, const dt_program *program, const dt_instr *instr, char *text) {
  const dt_gpu_conv conv = conv_of(program, instr);
  const dt_gpu_conv_plan *plan;
  DT_TRY(dt_gpu_conv_plan_get(gpu, &conv, &plan));
  snprintf(text, DT_GPU_PLAN_TEXT, "%s", plan->text);
  size_t length = strlen(text);
  if (plan->plan != NULL) snprintf(text + length, DT_GPU_PLAN_TEXT - length, ", workspace %zu B", plan->workspace);
  return DT_OK;
}

typedef struct conv_call {
  const dt_gpu *gpu;
  const dt_gpu_conv_plan *plan;
  void *work;
  cudaStream_t stream;
} conv_call;

static dt_status call_make(const dt_run *run, const dt_instr *instr, const dt_pass *pass, conv_call *out) {
  const dt_gpu_conv conv = conv_of(run->program, instr);
  *out = (conv_call){
      .gpu = dt_gpu_of(run), .work = dt_gpu_arg(run, instr, pass, DT_ARG_WORK), .stream = dt_gpu_stream(run, instr)};
  return dt_gpu_conv_plan_get(out->gpu, &conv, &out->plan);
}

static dt_status execute(const conv_call *call, const dt_gpu_conv_data *data) {
  return dt_gpu_conv_execute(call->gpu, call->plan, data, call->work, call->stream);
}

/* What of bias and activation is not in the plan. */
static dt_status finish_forward(const conv_call *call, const float *bias, void *y) {
  const dt_gpu_conv *conv = &call->plan->conv;
  const dt_gpu_type type = call->gpu->type;
  const bool bias_done = call->plan->fused || !conv->bias;
  const bool act_done = conv->act == DT_ACT_NONE || (call->plan->fused && conv->act == DT_ACT_RELU);
  if (!bias_done) return dt_gpu_add_bias(type, conv->act, bias, positions_of(conv), conv->y.channels, y, call->stream);
  if (!act_done) return dt_gpu_apply_act(type, conv->act, y, dt_gpu_image_count(&conv->y), call->stream);
  return DT_OK;
}

dt_status dt_gpu_conv_fwd(dt_run *run, const dt_instr *instr, const dt_pass *pass) {
  conv_call call;
  DT_TRY(call_make(run, instr, pass, &call));
  const void *x = dt_gpu_arg(run, instr, pass, DT_ARG_X), *w = dt_gpu_param(run, instr, DT_ARG_W);
  const float *bias = dt_gpu_arg(run, instr, pass, DT_ARG_B);
  void *y = dt_gpu_arg(run, instr, pass, DT_ARG_Y);
  if (call.plan->plan == NULL) return dt_gpu_conv_direct_fwd(call.gpu->type, &call.plan->conv, x, w, bias, y, call.stream);
  const dt_gpu_conv_data data = {x, w, y, bias == NULL ? NULL : dt_gpu_param(run, instr, DT_ARG_B)};
  DT_TRY(execute(&call, &data));
  return finish_forward(&call, bias, y);
}

dt_status dt_gpu_conv_dgrad(dt_run *run, const dt_instr *instr, const dt_pass *pass) {
  conv_call call;
  DT_TRY(call_make(run, instr, pass, &call));
  const void *dy = dt_gpu_arg(run, instr, pass, DT_ARG_DY), *w = dt_gpu_param(run, instr, DT_ARG_W);
  void *dx = dt_gpu_arg(run, instr, pass, DT_ARG_DX);
  if (call.plan->plan == NULL) return dt_gpu_conv_direct_dgrad(call.gpu->type, &call.plan->conv, dy, w, dx, call.stream);
  return execute(&call, &(dt_gpu_conv_data){dx, w, dy, NULL});
}

static dt_status compute_dw(const conv_call *call, const void *x, const void *dy, float *dw) {
  const dt_gpu_type type = call->gpu->type;
  const dt_gpu_conv *conv = &call->plan->conv;
  if (call->plan->plan == NULL) return dt_gpu_conv_direct_wgrad(type, conv, x, dy, dw, call->stream);
  if (narrow_bytes(call->gpu, call->plan) == 0) return execute(call, &(dt_gpu_conv_data){x, dw, dy, NULL});
  void *narrow = (char *)call->work + narrow_offset(call->plan);
  DT_TRY(execute(call, &(dt_gpu_conv_data){x, narrow, dy, NULL}));
  return dt_gpu_widen(type, narrow, weights_of(conv), dw, call->stream);
}

dt_status dt_gpu_conv_wgrad(dt_run *run, const dt_instr *instr, const dt_pass *pass) {
  conv_call call;
  DT_TRY(call_make(run, instr, pass, &call));
  const void *dy = dt_gpu_arg(run, instr, pass, DT_ARG_DY);
  DT_TRY(compute_dw(&call, dt_gpu_arg(run, instr, pass, DT_ARG_X), dy, dt_gpu_arg(run, instr, pass, DT_ARG_DW)));
  float *db = dt_gpu_arg(run, instr, pass, DT_ARG_DB);
  if (db == NULL) return DT_OK;
  const dt_gpu_conv *conv = &call.plan->conv;
  return dt_gpu_sum_columns(call.gpu->type, dy, positions_of(conv), conv->y.channels, call.work, db, call.stream);
}

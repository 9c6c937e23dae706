#include "gpu/trial.h"

#include <stdlib.h>

#include "core/rng.h"
#include "gpu/await.h"
#include "gpu/staging.h"

enum { VALUES = DT_GPU_TRIAL_VALUES, COPIES_MAX = 200 };
enum { X, W, Y, BIAS, LOW, OPERANDS };

/* --- operands --- */

/* Numbers in [-1, 1): the arithmetic of constants would take less power, and so less time. The first VALUES, again and again.
 */
static dt_status fill(const dt_gpu_trial *t, bool narrow, int64_t count, void *to) {
  const dt_gpu_type type = narrow ? t->gpu->type : DT_GPU_F32;
  const int64_t first = count < VALUES ? count : VALUES;
  const size_t unit = dt_gpu_type_bytes(type), bytes = (size_t)count * unit;
  if (type != DT_GPU_F32) {
    DT_TRY(dt_gpu_narrow(type, t->values, first, to, t->stream));
  } else {
    DT_CUDA(cudaMemcpyAsync(to, t->values, (size_t)first * unit, cudaMemcpyDeviceToDevice, t->stream));
  }
  for (size_t done = (size_t)first * unit; done < bytes;) {
    size_t more = done < bytes - done ? done : bytes - done;
    DT_CUDA(cudaMemcpyAsync((char *)to + done, to, more, cudaMemcpyDeviceToDevice, t->stream));
    done += more;
  }
  return DT_OK;
}

static dt_status draw_values(const dt_gpu_trial *t) {
  float *values = NULL;
  DT_TRY(dt_alloc(VALUES, sizeof *values, &values));
  for (uint64_t i = 0; i < VALUES; i += 4) {
    dt_rng_block block = dt_rng(1, DT_RNG_SYNTHETIC, 0, i, 0);
    for (int k = 0; k < 4; k++) values[i + (uint64_t)k] = 2 * dt_rng_float(block.word[k]) - 1;
  }
  dt_status status = dt_gpu_send(t->gpu, t->stream, t->values, values, VALUES * sizeof *values, "the copy of operands");
  free(values);
  return status;
}

static void name_output(const dt_instr *instr, dt_gpu_trial *t) {
  const bool forward = instr->op == DT_OP_CONV_FWD || instr->op == DT_OP_LINEAR_FWD;
  const bool data = instr->op == DT_OP_CONV_DGRAD || instr->op == DT_OP_LINEAR_DGRAD;
  t->output = forward ? Y : data ? X : W;
  t->output_count = forward ? t->counts.y : data ? t->counts.x : t->counts.w;
  t->is_gradient = !forward && !data;
}

static void lay_out(dt_gpu_trial *t) {
  const size_t unit = dt_gpu_type_bytes(t->gpu->type);
  const size_t bytes[OPERANDS] = {
      [X] = (size_t)t->counts.x * unit,      [W] = (size_t)t->counts.w * (t->is_gradient ? sizeof(float) : unit),
      [Y] = (size_t)t->counts.y * unit,      [BIAS] = (size_t)t->counts.bias * sizeof(float),
      [LOW] = (size_t)t->counts.bias * unit,
  };
  for (int i = 0; i < OPERANDS; i++) {
    t->offset[i] = t->copy_bytes;
    t->copy_bytes += dt_gpu_round_up(bytes[i]);
  }
}

/* Bytes that a step has in use: what an instruction finds in the cache is of these. */
static size_t step_bytes(const dt_gpu *gpu, const dt_program *program) {
  const size_t parameter = sizeof(float) + (gpu->type != DT_GPU_F32 ? dt_gpu_type_bytes(gpu->type) : 0);
  return program->arena_bytes + (size_t)program->param_elements * parameter + (size_t)program->grad_elements * sizeof(float);
}

/* Copies and sweep take half of the free memory at most: workspaces have the rest. */
static dt_status count_copies(dt_gpu_trial *t, const dt_program *program) {
  int cache = 0;
  size_t room = 0, all = 0;
  DT_CUDA(cudaDeviceGetAttribute(&cache, cudaDevAttrL2CacheSize, t->gpu->index));
  DT_CUDA(cudaMemGetInfo(&room, &all));
  const size_t most = 2 * (size_t)cache, step = step_bytes(t->gpu, program), used = step < most ? step : most;
  size_t copies = (used + t->copy_bytes - 1) / t->copy_bytes;
  if (copies > room / 4 / t->copy_bytes) copies = room / 4 / t->copy_bytes;
  t->copies = copies < 1 ? 1 : copies < COPIES_MAX ? (int)copies : COPIES_MAX;
  if (step > (size_t)cache) t->sweep_bytes = most < room / 4 ? most : room / 4;
  return DT_OK;
}

static char *operand(const dt_gpu_trial *t, int copy, int which) {
  return t->operands + (size_t)copy * t->copy_bytes + t->offset[which];
}

static dt_gpu_operands operands_of(const dt_gpu_trial *t, int copy) {
  return (dt_gpu_operands){.x = operand(t, copy, X),
                           .w = operand(t, copy, W),
                           .y = operand(t, copy, Y),
                           .low = operand(t, copy, LOW),
                           .bias = (const float *)operand(t, copy, BIAS)};
}

static dt_status fill_operands(const dt_gpu_trial *t) {
  DT_TRY(draw_values(t));
  DT_TRY(fill(t, true, t->counts.x, operand(t, 0, X)));
  DT_TRY(fill(t, !t->is_gradient, t->counts.w, operand(t, 0, W)));
  DT_TRY(fill(t, true, t->counts.y, operand(t, 0, Y)));
  DT_TRY(fill(t, false, t->counts.bias, operand(t, 0, BIAS)));
  DT_TRY(fill(t, true, t->counts.bias, operand(t, 0, LOW)));
  for (int i = 1; i < t->copies; i++) {
    DT_CUDA(cudaMemcpyAsync(operand(t, i, X), operand(t, 0, X), t->copy_bytes, cudaMemcpyDeviceToDevice, t->stream));
  }
  return DT_OK;
}

dt_status dt_gpu_trial_make(dt_gpu *gpu, const dt_gpu_library *library, const dt_program *program, const dt_instr *instr,
                            dt_gpu_trial *out) {
  *out = (dt_gpu_trial){.gpu = gpu, .library = library, .stream = gpu->stream[DT_STREAM_COMPUTE]};
  out->counts = library->counts(program, instr);
  name_output(instr, out);
  lay_out(out);
  DT_TRY(count_copies(out, program));
  DT_CUDA(cudaEventCreate(&out->start));
  DT_CUDA(cudaEventCreate(&out->end));
  DT_CUDA(cudaMalloc((void **)&out->values, VALUES * sizeof(float)));
  DT_CUDA(cudaMalloc((void **)&out->hash, sizeof *out->hash));
  DT_CUDA(cudaMalloc((void **)&out->operands, (size_t)out->copies * out->copy_bytes));
  if (out->sweep_bytes > 0) DT_CUDA(cudaMalloc(&out->sweep, out->sweep_bytes));
  return fill_operands(out);
}

void dt_gpu_trial_drop(dt_gpu_trial *t) {
  dt_device *device = &t->gpu->base;
  if (!dt_device_is_stuck(device)) {
    if (t->end != NULL) cudaEventDestroy(t->end);
    if (t->start != NULL) cudaEventDestroy(t->start);
  }
  device->ops->free(device, t->work);
  device->ops->free(device, t->sweep);
  device->ops->free(device, t->operands);
  device->ops->free(device, t->hash);
  device->ops->free(device, t->values);
  *t = (dt_gpu_trial){.gpu = NULL};
}

/* --- running and timing --- */

/* Where there is no room for more, what there is stays. */
dt_status dt_gpu_trial_reserve(dt_gpu_trial *t, const dt_gpu_plan *plan) {
  const size_t bytes = plan->workspace;
  void *more = NULL;
  if (bytes <= t->work_bytes) return DT_OK;
  DT_CUDA(cudaMalloc(&more, bytes));
  cudaFree(t->work);
  t->work = more;
  t->work_bytes = bytes;
  return DT_OK;
}

static dt_status run_on(const dt_gpu_trial *t, const dt_gpu_plan *plan, int copy) {
  const dt_gpu_operands operands = operands_of(t, copy);
  return t->library->compute(t->gpu, plan, &operands, t->work, t->stream);
}

dt_status dt_gpu_trial_run(const dt_gpu_trial *t, const dt_gpu_plan *plan) {
  return run_on(t, plan, 0);
}

static dt_status run_all(const dt_gpu_trial *t, const dt_gpu_plan *plan, int runs) {
  for (int i = 0; i < runs; i++) DT_TRY(run_on(t, plan, i % t->copies));
  return DT_OK;
}

/* A recording is ended whatever became of it. */
dt_status dt_gpu_trial_record(const dt_gpu_trial *t, const dt_gpu_plan *plan, int runs, cudaGraphExec_t *out) {
  cudaGraph_t graph = NULL;
  *out = NULL;
  DT_CUDA(cudaStreamBeginCapture(t->stream, cudaStreamCaptureModeThreadLocal));
  dt_status status = run_all(t, plan, runs);
  const cudaError_t code = cudaStreamEndCapture(t->stream, &graph);
  if (status == DT_OK) status = dt_gpu_check(code, "cudaStreamEndCapture", __FILE__, __LINE__);
  if (status == DT_OK) status = dt_gpu_check(cudaGraphInstantiate(out, graph, 0), "cudaGraphInstantiate", __FILE__, __LINE__);
  if (graph != NULL) cudaGraphDestroy(graph);
  return status;
}

/* While the first launch runs, the host enqueues what is timed, so that the GPU need not wait for it. */
dt_status dt_gpu_trial_time(const dt_gpu_trial *t, cudaGraphExec_t graph, int runs, double *out_ms) {
  float ms;
  DT_CUDA(cudaGraphLaunch(graph, t->stream));
  if (t->sweep != NULL) DT_CUDA(cudaMemsetAsync(t->sweep, 0, t->sweep_bytes, t->stream));
  DT_CUDA(cudaEventRecord(t->start, t->stream));
  DT_CUDA(cudaGraphLaunch(graph, t->stream));
  DT_CUDA(cudaEventRecord(t->end, t->stream));
  DT_TRY(dt_gpu_await_event(t->gpu, t->end, NULL, "what is timed"));
  DT_CUDA(cudaEventElapsedTime(&ms, t->start, t->end));
  *out_ms = (double)ms / runs;
  return DT_OK;
}

/* --- what a plan computes --- */

static dt_gpu_type output_type(const dt_gpu_trial *t, const dt_gpu_plan *plan) {
  return t->is_gradient ? t->library->gradient_type(t->gpu, plan) : t->gpu->type;
}

dt_status dt_gpu_trial_hash(const dt_gpu_trial *t, const dt_gpu_plan *plan, unsigned long long *out) {
  const size_t unit = dt_gpu_type_bytes(output_type(t, plan));
  DT_TRY(dt_gpu_trial_run(t, plan));
  DT_CUDA(cudaMemsetAsync(t->hash, 0, sizeof *t->hash, t->stream));
  DT_TRY(dt_gpu_hash_words(operand(t, 0, t->output), (int64_t)((size_t)t->output_count * unit / 4), t->hash, t->stream));
  return dt_gpu_fetch(t->gpu, t->stream, out, t->hash, sizeof *out, "a run and its hash");
}

dt_status dt_gpu_trial_values(const dt_gpu_trial *t, const dt_gpu_plan *plan, float *out, int64_t *out_count) {
  const void *from = operand(t, 0, t->output);
  *out_count = t->output_count < VALUES ? t->output_count : VALUES;
  DT_TRY(dt_gpu_trial_run(t, plan));
  if (output_type(t, plan) != DT_GPU_F32) {
    DT_TRY(dt_gpu_widen(t->gpu->type, from, *out_count, t->values, t->stream));
    from = t->values;
  }
  return dt_gpu_fetch(t->gpu, t->stream, out, from, (size_t)*out_count * sizeof(float), "a run and its values");
}

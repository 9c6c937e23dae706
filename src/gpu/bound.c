/* A step on the gpu.
 *
 * 1. The first step is issued kernel by kernel, so that libraries load what they load lazily. The second and the third are
 *    recorded on the compute stream as graphs, into which the program's events draw the other streams; from then on a step is
 *    one launch.
 * 2. Two graphs, since steps take turns between two places for what changes from step to step: their input (inputs.c) and
 *    their result. Each graph has the addresses of one turn in it, so that no kernel has to find out whose turn it is, and
 *    nothing has to be moved to where it is looked for.
 * 3. A reducer that waits on the host cannot be recorded; then every step is issued.
 * 4. A step's last kernel writes its result into mapped host memory (result.cu); the host reads it when the next step is on
 *    its way. Outside of the graphs, on the compute stream, there are only events: two around the wait for the input, and one
 *    behind the step, which lets the host read the result and the copy stream write the next input but one.
 * 5. What a step waited for is measured where it waits, on the compute stream. Input: by events around the wait, outside the
 *    recording. Reductions: one stamp before the first wait for the communication stream, which stands behind all of backward,
 *    and one behind the last. A pair around every wait would tell the updates in between apart, but each bucket has one,
 *    and a stamp takes about as long as an update. */
#include "gpu/bound.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gpu/await.h"
#include "gpu/prove.h"
#include "gpu/reducer.h"

/* --- set-up --- */

#define GRAPH_VARIABLE "DTRAIN_GPU_GRAPH"

dt_status dt_gpu_records_check(void) {
  const char *text = getenv(GRAPH_VARIABLE);
  DT_REQUIRE(text == NULL || strcmp(text, "0") == 0 || strcmp(text, "1") == 0, DT_ENVIRONMENT,
             GRAPH_VARIABLE ": found '%s', expected 0 (steps are issued) or 1 (they are recorded)", text);
  return DT_OK;
}

bool dt_gpu_records(void) {
  const char *text = getenv(GRAPH_VARIABLE);
  return text == NULL || strcmp(text, "0") != 0;
}

static float *find_loss_scale(const dt_run *run) {
  const dt_program *program = run->program;
  for (int i = 0; i < program->state_count; i++) {
    const dt_param *state = &program->state[i];
    if (strcmp(state->decl->role, DT_LOSS_SCALE_ROLE) != 0) continue;
    return (float *)run->blocks.state + state->offset;
  }
  return NULL;
}

static dt_status make_low(dt_run *run, const dt_run *owner) {
  dt_gpu_bound *bound = dt_gpu_bound_of(run);
  dt_gpu_type type = dt_gpu_of(run)->type;
  if (type == DT_GPU_F32) return DT_OK;
  if (owner != NULL) {
    bound->low = dt_gpu_bound_of(owner)->low;
    return DT_OK;
  }
  bound->owns_low = true;
  return run->device->ops->alloc(run->device, (size_t)run->program->param_elements * dt_gpu_type_bytes(type), &bound->low);
}

/* An order has no more events than the program has instructions. */
static dt_status make_events(dt_run *run) {
  dt_gpu_bound *bound = dt_gpu_bound_of(run);
  DT_TRY(dt_alloc((size_t)run->program->count, sizeof *bound->event, &bound->event));
  DT_TRY(dt_alloc((size_t)run->program->count, sizeof *bound->from_comm, &bound->from_comm));
  for (; bound->event_count < run->program->count; bound->event_count++) {
    DT_CUDA(cudaEventCreateWithFlags(&bound->event[bound->event_count], cudaEventDisableTiming));
  }
  return DT_OK;
}

static size_t score_bytes(const dt_program *program) {
  return program->mode == DT_PROGRAM_EVAL ? (size_t)program->score_words * sizeof(int64_t) : 0;
}

static size_t result_bytes(const dt_program *program) {
  return dt_gpu_round_up(sizeof(dt_gpu_step_result) + (size_t)program->statistics_count * sizeof(float));
}

/* One of the two places for results, by the host's or by the device's address; the statistics stand behind the rest. */
static dt_gpu_step_result *result_of(const dt_program *program, char *results, int turn) {
  return (dt_gpu_step_result *)(results + (size_t)turn * result_bytes(program));
}
static float *statistics_of(dt_gpu_step_result *result) {
  return (float *)(result + 1);
}

static dt_status make_host_memory(dt_gpu_bound *bound, const dt_program *program) {
  if (score_bytes(program) > 0) DT_CUDA(cudaMallocHost((void **)&bound->score_host, score_bytes(program)));
  if (program->mode != DT_PROGRAM_TRAIN) return DT_OK;
  DT_CUDA(cudaHostAlloc((void **)&bound->result, 2 * result_bytes(program), cudaHostAllocMapped));
  DT_CUDA(cudaHostGetDevicePointer((void **)&bound->result_on_device, bound->result, 0));
  return DT_OK;
}

/* The place for hashes of parameters, which the device keeps. */
static dt_status make_hash(dt_run *run, const dt_run *owner) {
  dt_gpu *gpu = dt_gpu_of(run);
  if (owner != NULL || gpu->hash != NULL) return DT_OK;
  return run->device->ops->alloc(run->device, DT_GPU_HASH_BYTES, (void **)&gpu->hash);
}

static dt_status make_parts(dt_run *run, const dt_run *owner, int micro_batches) {
  dt_gpu_bound *bound = dt_gpu_bound_of(run);
  dt_device *device = run->device;
  size_t row = (size_t)bound->channels * sizeof(float);
  DT_TRY(dt_gpu_inputs_create(micro_batches, &bound->inputs));
  DT_TRY(make_low(run, owner));
  DT_TRY(make_hash(run, owner));
  DT_TRY(dt_gpu_pieces_make(run, &bound->pieces));
  DT_TRY(dt_gpu_tensors_make(run, &bound->tensors));
  DT_TRY(device->ops->alloc(device, row, (void **)&bound->scale));
  DT_TRY(device->ops->alloc(device, row, (void **)&bound->shift));
  if (score_bytes(run->program) > 0) DT_TRY(device->ops->alloc(device, score_bytes(run->program), (void **)&bound->score));
  if (bound->reducer != NULL) {
    DT_TRY(device->ops->alloc(device, sizeof *bound->reduction, (void **)&bound->reduction));
  }
  DT_TRY(make_events(run));
  return make_host_memory(bound, run->program);
}

/* Whether reductions on the communication stream wait for other ranks: such a reducer must be polled. */
static bool reduces_with_others(const dt_reducer *reducer) {
  return reducer != NULL && reducer->records && reducer->ops->poll != NULL;
}

dt_status dt_gpu_bind(dt_run *run, dt_reducer *reducer, const dt_run *owner, int micro_batches) {
  dt_gpu_bound *bound = NULL;
  DT_TRY(dt_alloc(1, sizeof *bound, &bound));
  bound->reducer = reducer;
  bound->stamps = reduces_with_others(reducer);
  bound->alone = reducer != NULL && reducer->idle;
  bound->records = dt_gpu_records() && (reducer == NULL || reducer->records);
  bound->channels = run->program->input_channels;
  run->bound = bound;
  bound->loss_scale = find_loss_scale(run);
  return make_parts(run, owner, micro_batches);
}

/* A step that failed half-way leaves its recording open. */
static void drop_recording(dt_run *run) {
  cudaGraph_t graph = NULL;
  if (!dt_gpu_bound_of(run)->recording) return;
  dt_gpu_note_recording(false);
  if (cudaStreamEndCapture(dt_gpu_of(run)->stream[DT_STREAM_COMPUTE], &graph) == cudaSuccess) cudaGraphDestroy(graph);
}

void dt_gpu_unbind(dt_run *run) {
  dt_gpu_bound *bound = dt_gpu_bound_of(run);
  if (bound == NULL) return;
  drop_recording(run);
  run->device->ops->sync(run->device); /* whatever it raises: an earlier failure may be its cause */
  if (dt_device_is_stuck(run->device)) return;
  for (int i = 0; i < 2 * DT_GPU_FORMS; i++) {
    if (bound->graph[i / 2][i % 2] != NULL) cudaGraphExecDestroy(bound->graph[i / 2][i % 2]);
  }
  cudaFreeHost(bound->result);
  cudaFreeHost(bound->score_host);
  for (int i = 0; i < bound->event_count; i++) cudaEventDestroy(bound->event[i]);
  free(bound->from_comm);
  free(bound->event);
  cudaFree(bound->reduction);
  cudaFree(bound->score);
  cudaFree(bound->shift);
  cudaFree(bound->scale);
  if (bound->owns_low) cudaFree(bound->low);
  dt_gpu_pieces_release(&bound->pieces);
  cudaFree(bound->tensors);
  dt_gpu_inputs_release(&bound->inputs);
  free(bound);
  run->bound = NULL;
}

dt_status dt_gpu_refresh(dt_run *run) {
  dt_gpu_bound *bound = dt_gpu_bound_of(run);
  const dt_gpu *gpu = dt_gpu_of(run);
  dt_device *device = run->device;
  size_t row = (size_t)bound->channels * sizeof(float);
  if (run->blocks.scale != NULL) {
    DT_TRY(device->ops->upload(device, bound->scale, run->blocks.scale, row));
    DT_TRY(device->ops->upload(device, bound->shift, run->blocks.shift, row));
  }
  if (!bound->owns_low) return DT_OK;
  return dt_gpu_narrow(gpu->type, run->blocks.param, run->program->param_elements, bound->low, gpu->stream[DT_STREAM_COMPUTE]);
}

size_t dt_gpu_bound_bytes(const dt_device *device, const dt_program *program, const dt_bound_plan *plan) {
  const dt_gpu_type type = ((const dt_gpu *)device)->type;
  const size_t channels = (size_t)program->input_channels;
  size_t bytes = dt_gpu_inputs_bytes(program, plan) + 2 * channels * sizeof(float) + score_bytes(program);
  if (plan->owns) bytes += DT_GPU_HASH_BYTES;
  if (program->mode == DT_PROGRAM_TRAIN) bytes += sizeof(dt_gpu_span);
  bytes += dt_gpu_pieces_bytes(program) + dt_gpu_tensors_bytes(program);
  if (plan->owns && type != DT_GPU_F32) bytes += (size_t)program->param_elements * dt_gpu_type_bytes(type);
  return bytes;
}

/* --- a step --- */

dt_status dt_gpu_ask(dt_run *run) {
  return dt_gpu_inputs_ask(&dt_gpu_bound_of(run)->inputs, run);
}

dt_status dt_gpu_stage(dt_run *run, const dt_micro_batch *micro) {
  return dt_gpu_inputs_stage(&dt_gpu_bound_of(run)->inputs, run, micro);
}

static int form_of(const dt_run *run) {
  int form = 0;
  if (run->program->mode == DT_PROGRAM_TRAIN) return run->step->partial ? 1 : 0;
  while (1u << form < dt_gpu_bound_of(run)->inputs.shards) form++;
  return form;
}

/* Before the first step of a form, with parameters that are set and an arena that is free. What that takes is no wait for
 * input. */
static dt_status prove_engines(dt_run *run) {
  dt_gpu_bound *bound = dt_gpu_bound_of(run);
  unsigned *proven = &bound->proven[bound->form];
  if (!dt_gpu_of(run)->proves || (bound->inputs.shards & ~*proven) == 0) return DT_OK;
  DT_TRY(dt_gpu_prove(run, bound->inputs.shards & ~*proven));
  *proven |= bound->inputs.shards;
  return run->program->mode == DT_PROGRAM_TRAIN ? dt_gpu_inputs_ask(&bound->inputs, run) : DT_OK;
}

/* Of the step that is being made. */
static cudaGraphExec_t *graph_of(dt_gpu_bound *bound) {
  return &bound->graph[bound->form][dt_gpu_inputs_last(&bound->inputs)];
}

/* Only this thread's calls are held to what a recording allows: the communicator's threads go on as they like. */
dt_status dt_gpu_begin(dt_run *run, bool *out_replayed) {
  dt_gpu_bound *bound = dt_gpu_bound_of(run);
  bound->form = form_of(run);
  DT_TRY(prove_engines(run));
  DT_TRY(dt_gpu_inputs_send(&bound->inputs, run));
  bound->waits = 0;
  *out_replayed = *graph_of(bound) != NULL;
  if (!*out_replayed && bound->records && bound->begun[bound->form] > 0) {
    DT_CUDA(cudaStreamBeginCapture(dt_gpu_of(run)->stream[DT_STREAM_COMPUTE], cudaStreamCaptureModeThreadLocal));
    bound->recording = true;
    dt_gpu_note_recording(true);
  }
  bound->begun[bound->form]++;
  return DT_OK;
}

static dt_status end_recording(dt_run *run) {
  dt_gpu_bound *bound = dt_gpu_bound_of(run);
  cudaGraph_t graph = NULL;
  bound->recording = false;
  DT_CUDA(cudaStreamEndCapture(dt_gpu_of(run)->stream[DT_STREAM_COMPUTE], &graph));
  dt_status status = dt_gpu_check(cudaGraphInstantiate(graph_of(bound), graph, 0), "cudaGraphInstantiate", __FILE__, __LINE__);
  dt_gpu_note_recording(false);
  cudaGraphDestroy(graph);
  return status;
}

/* The last instruction of a step, behind all that the compute stream has waited for. */
static dt_status give_result(dt_run *run) {
  dt_gpu_bound *bound = dt_gpu_bound_of(run);
  const dt_program *program = run->program;
  dt_gpu_step_result *out = result_of(program, bound->result_on_device, dt_gpu_inputs_last(&bound->inputs));
  return dt_gpu_give_result((const float *)run->blocks.grad + program->statistics, program->statistics_count,
                            statistics_of(out), (const dt_step *)bound->inputs.current, bound->stamps ? bound->reduction : NULL,
                            out, dt_gpu_of(run)->stream[DT_STREAM_COMPUTE]);
}

static dt_status end_issue(dt_run *run) {
  dt_gpu_bound *bound = dt_gpu_bound_of(run);
  bound->comm_waits[bound->form] = bound->waits;
  return run->program->mode == DT_PROGRAM_TRAIN ? give_result(run) : DT_OK;
}

dt_status dt_gpu_end(dt_run *run) {
  dt_gpu_bound *bound = dt_gpu_bound_of(run);
  DT_ASSERT(bound->started - bound->taken < 2);
  if (bound->recording || *graph_of(bound) == NULL) DT_TRY(end_issue(run));
  if (bound->recording) DT_TRY(end_recording(run));
  if (*graph_of(bound) != NULL) DT_CUDA(cudaGraphLaunch(*graph_of(bound), dt_gpu_of(run)->stream[DT_STREAM_COMPUTE]));
  if (run->program->mode == DT_PROGRAM_TRAIN) bound->started++;
  return dt_gpu_inputs_end(&bound->inputs, run);
}

dt_status dt_gpu_wait(dt_run *run, dt_stream stream, int event) {
  dt_gpu_bound *bound = dt_gpu_bound_of(run);
  cudaStream_t waiting = dt_gpu_of(run)->stream[stream];
  DT_ASSERT(event >= 0 && event < bound->event_count);
  bool measured = bound->stamps && stream == DT_STREAM_COMPUTE && bound->from_comm[event];
  if (measured && bound->waits++ == 0) DT_TRY(dt_gpu_stamp(&bound->reduction->begin, waiting));
  DT_CUDA(cudaStreamWaitEvent(waiting, bound->event[event], 0));
  /* Which wait is the last is known from the first step; in that one all are stamped, and the last stamp stays. */
  if (measured && bound->waits >= bound->comm_waits[bound->form]) DT_TRY(dt_gpu_stamp(&bound->reduction->end, waiting));
  return DT_OK;
}

dt_status dt_gpu_record(dt_run *run, dt_stream stream, int event) {
  dt_gpu_bound *bound = dt_gpu_bound_of(run);
  DT_ASSERT(event >= 0 && event < bound->event_count);
  DT_CUDA(cudaEventRecord(bound->event[event], dt_gpu_of(run)->stream[stream]));
  bound->from_comm[event] = stream == DT_STREAM_COMM;
  return DT_OK;
}

/* --- results --- */

/* Results and inputs take the same turns. */
static dt_status await_result(dt_run *run, int turn) {
  dt_gpu_bound *bound = dt_gpu_bound_of(run);
  char what[64];
  snprintf(what, sizeof what, "the step from sample %lld on",
           (long long)((const dt_step *)bound->inputs.host[turn])->samples_seen);
  return dt_gpu_await_event(dt_gpu_of(run), bound->inputs.over[turn], bound->reducer, what);
}

dt_status dt_gpu_result(dt_run *run, double *statistics, dt_step_result *out) {
  dt_gpu_bound *bound = dt_gpu_bound_of(run);
  DT_ASSERT(bound->taken < bound->started);
  int turn = (int)(bound->taken % 2);
  DT_TRY(await_result(run, turn));
  dt_gpu_step_result *result = result_of(run->program, bound->result, turn);
  const float *narrow = statistics_of(result);
  for (int64_t i = 0; i < run->program->statistics_count; i++) statistics[i] = (double)narrow[i];
  out->grad_norm = result->grad_norm;
  out->penalty = result->penalty;
  DT_TRY(dt_gpu_inputs_waited(&bound->inputs, turn, &out->data_wait));
  out->reduce_wait = 1e-9 * (double)(result->reduction.end - result->reduction.begin);
  bound->taken++;
  return DT_OK;
}

/* Word 0 is the host's. */
dt_status dt_gpu_take_score(dt_run *run, int64_t *out) {
  dt_gpu_bound *bound = dt_gpu_bound_of(run);
  cudaStream_t compute = dt_gpu_of(run)->stream[DT_STREAM_COMPUTE];
  const size_t bytes = score_bytes(run->program);
  DT_CUDA(cudaMemcpyAsync(bound->score_host, bound->score, bytes, cudaMemcpyDeviceToHost, compute));
  DT_CUDA(cudaMemsetAsync(bound->score, 0, bytes, compute));
  DT_TRY(dt_gpu_await_stream(dt_gpu_of(run), compute, "an evaluation"));
  memcpy(out + 1, bound->score_host + 1, bytes - sizeof *out);
  return DT_OK;
}

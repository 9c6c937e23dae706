/* Opening and closing cuDNN and cuBLASLt, their errors, what their operations have in common, and the
 * print-out of plans. */
#include "gpu/libraries.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/program/graph.h"
#include "gpu/errata.h"

dt_status dt_gpu_check_cudnn(cudnnStatus_t code, const char *call, const char *file, int line) {
  if (code == CUDNN_STATUS_SUCCESS) return DT_OK;
  char detail[512] = "";
  cudnnGetLastErrorString(detail, sizeof detail);
  dt_status status =
      code == CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED || code == CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED
          ? DT_MEMORY
          : DT_ENVIRONMENT;
  return dt_error_set(status, file, line, "%s: %s %s%s", call, cudnnGetErrorString(code), detail, dt_gpu_recording_remedy());
}

dt_status dt_gpu_check_cublas(cublasStatus_t code, const char *call, const char *file, int line) {
  if (code == CUBLAS_STATUS_SUCCESS) return DT_OK;
  dt_status status = code == CUBLAS_STATUS_ALLOC_FAILED ? DT_MEMORY : DT_ENVIRONMENT;
  return dt_error_set(status, file, line, "%s: %s (%s)%s", call, cublasLtGetStatusName(code), cublasLtGetStatusString(code),
                      dt_gpu_recording_remedy());
}

/* A version as both libraries write it: 91900 is 9.19.0. */
typedef struct version {
  size_t major, minor, patch;
} version;

static version version_of(size_t number) {
  return (version){number / 10000, number / 100 % 100, number % 100};
}

/* Within a major version later libraries run what was built for earlier ones, and no others do. */
static dt_status check_version(const char *name, size_t found_number, size_t built_number) {
  version found = version_of(found_number), built = version_of(built_number);
  DT_REQUIRE(found.major == built.major && found.minor >= built.minor, DT_ENVIRONMENT,
             "%s: found %zu.%zu.%zu, expected %zu.%zu or newer of %zu.x as this plug-in was built with", name, found.major,
             found.minor, found.patch, built.major, built.minor, built.major);
  return DT_OK;
}

static dt_status check_versions(dt_gpu *gpu) {
  const size_t cudnn_number = cudnnGetVersion(), cublas_number = cublasLtGetVersion();
  gpu->libraries->cudnn_version = cudnn_number;
  gpu->libraries->cublas_version = cublas_number;
  DT_TRY(check_version("cuDNN", cudnn_number, CUDNN_VERSION));
  DT_TRY(check_version("cuBLASLt", cublas_number, CUBLAS_VERSION));
  version cudnn = version_of(cudnn_number), cublas = version_of(cublas_number);
  char *versions = gpu->libraries->versions;
  snprintf(versions, sizeof gpu->libraries->versions, "cuDNN %zu.%zu.%zu, cuBLASLt %zu.%zu.%zu", cudnn.major, cudnn.minor,
           cudnn.patch, cublas.major, cublas.minor, cublas.patch);
  snprintf(gpu->library, sizeof gpu->library, "CUDA %d.%d, %s", CUDART_VERSION / 1000, CUDART_VERSION % 1000 / 10, versions);
  return DT_OK;
}

/* A model's properties, as data; with a device cuDNN asks that. */
static dt_status open_properties(dt_gpu_libraries *libraries) {
  if (libraries->model == NULL) return DT_OK;
  const char *json = libraries->model->json;
  DT_CUDNN(cudnnBackendCreateDescriptor(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, &libraries->properties));
  DT_CUDNN(cudnnBackendSetAttribute(libraries->properties, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
                                    (int64_t)strlen(json), json));
  DT_CUDNN(cudnnBackendFinalize(libraries->properties));
  return DT_OK;
}

/* What a choice that was timed depends on. */
static dt_status name_machine(const dt_gpu *gpu, dt_gpu_libraries *libraries) {
  struct cudaDeviceProp device;
  const dt_gpu_model *model = libraries->model;
  if (model == NULL) DT_CUDA(cudaGetDeviceProperties(&device, gpu->index));
  libraries->capability = model != NULL ? model->compute_capability : device.major * 100 + device.minor * 10;
  snprintf(libraries->machine, sizeof libraries->machine, "%.160s, sm_%d, %d multiprocessors, %s",
           model != NULL ? model->title : device.name, libraries->capability / 10,
           model != NULL ? model->multiprocessors : device.multiProcessorCount, libraries->versions);
  return DT_OK;
}

dt_status dt_gpu_libraries_open(dt_gpu *gpu, const dt_device_options *options) {
  dt_gpu_libraries *libraries;
  DT_TRY(dt_alloc(1, sizeof *libraries, &libraries));
  gpu->libraries = libraries;
  if (options->model != NULL) DT_TRY(dt_gpu_model_get(options->model, &libraries->model));
  DT_TRY(dt_gpu_cudnn_check_parts());
  DT_TRY(check_versions(gpu));
  DT_TRY(name_machine(gpu, libraries));
  if (options->model == NULL) {
    DT_CUDNN(cudnnCreate(&libraries->cudnn));
    DT_CUBLAS(cublasLtCreate(&libraries->cublas));
  }
  DT_TRY(open_properties(libraries));
  DT_TRY(dt_gpu_cudnn_check_plans(gpu));
  if (options->plans == NULL) return DT_OK;
  return dt_gpu_plan_table_open(options->plans, libraries->machine, options->plans_needed, &libraries->table);
}

void dt_gpu_plans_free(dt_gpu_plan **list, void (*destroy)(dt_gpu_plan *plan)) {
  while (*list != NULL) {
    dt_gpu_plan *plan = *list;
    *list = plan->next;
    destroy(plan);
  }
}

void dt_gpu_libraries_close(dt_gpu *gpu) {
  dt_gpu_libraries *libraries = gpu->libraries;
  if (libraries == NULL) return;
  dt_gpu_plans_free(&libraries->conv, dt_gpu_conv_library.destroy);
  dt_gpu_plans_free(&libraries->linear, dt_gpu_linear_library.destroy);
  dt_gpu_plan_table_close(&libraries->table);
  if (libraries->properties != NULL) cudnnBackendDestroyDescriptor(libraries->properties);
  if (libraries->cublas != NULL) cublasLtDestroy(libraries->cublas);
  if (libraries->cudnn != NULL) cudnnDestroy(libraries->cudnn);
  free(libraries);
  gpu->libraries = NULL;
}

/* --- plans --- */

/* The ops that a library computes, and which. */
#define BY_LIBRARY(X)                                  \
  X(CONV_FWD, conv_fwd, dt_gpu_conv_library)           \
  X(CONV_DGRAD, conv_dgrad, dt_gpu_conv_library)       \
  X(CONV_WGRAD, conv_wgrad, dt_gpu_conv_library)       \
  X(LINEAR_FWD, linear_fwd, dt_gpu_linear_library)     \
  X(LINEAR_DGRAD, linear_dgrad, dt_gpu_linear_library) \
  X(LINEAR_WGRAD, linear_wgrad, dt_gpu_linear_library)

const dt_gpu_library *dt_gpu_library_of(dt_op op) {
  static const dt_gpu_library *const libraries[DT_OP_COUNT] = {
#define X(OP, name, library) [DT_OP_##OP] = &library,
      BY_LIBRARY(X)
#undef X
  };
  return libraries[op];
}

const char *dt_gpu_op_name(dt_op op) {
  static const char *const names[DT_OP_COUNT] = {
#define X(OP, name, library) [DT_OP_##OP] = #name,
      BY_LIBRARY(X)
#undef X
  };
  return names[op];
}

/* --- computing --- */

static bool is_present(const dt_instr *instr, dt_arg arg) {
  return instr->arg[arg] >= 0;
}

/* --- several shards --- */

static bool is_gradient(const dt_instr *instr) {
  return instr->arg[DT_ARG_DW] >= 0;
}

/* Bytes of a shard's x or y that begins elsewhere than plans count on, which are copied; 0 where it is aligned. */
static size_t copied_bytes(const dt_gpu *gpu, int64_t count) {
  const size_t bytes = (size_t)count * dt_gpu_type_bytes(gpu->type);
  return bytes % DT_GPU_OPERAND_ALIGN == 0 ? 0 : bytes;
}

/* WORK: the workspace of a plan, which then serves the sums for DB; behind it the
 * weight gradients of shards, where they are not DW itself, and copies of a shard's x and y, where they are not aligned.
 * Offsets in bytes. */
typedef struct work_plan {
  size_t gradients, x, y, bytes;
} work_plan;

static dt_status plan_work(const dt_gpu_call *call, const dt_gpu_plan *alone, work_plan *out) {
  const dt_gpu_counts counts = call->library->counts(call->program, call->instr);
  const int shards = call->program->micro_batch_shards;
  size_t workspace = alone->workspace;
  /* For every number of shards that a micro-batch may have: a step makes no plans. */
  for (int together = 2; together <= shards; together *= 2) {
    dt_gpu_plan *plan;
    DT_TRY(call->library->get(call->gpu, call->program, call->instr, together, &plan));
    if (plan->workspace > workspace) workspace = plan->workspace;
  }
  if (is_present(call->instr, DT_ARG_DB)) {
    const size_t sums = dt_gpu_column_work(shards, counts.y / counts.bias, counts.bias);
    if (sums > workspace) workspace = sums;
  }
  *out = (work_plan){.gradients = dt_gpu_round_up(workspace)};
  const dt_gpu_type type = call->library->gradient_type(call->gpu, alone);
  const bool apart = is_gradient(call->instr) && (shards > 1 || type != DT_GPU_F32);
  out->x = out->gradients + (apart ? (size_t)(shards * dt_gpu_gradient_stride(counts.w)) * dt_gpu_type_bytes(type) : 0);
  out->y = out->x + (shards > 1 ? dt_gpu_round_up(copied_bytes(call->gpu, counts.x)) : 0);
  out->bytes = out->y + (shards > 1 ? dt_gpu_round_up(copied_bytes(call->gpu, counts.y)) : 0);
  return DT_OK;
}

/* --- shard by shard --- */

/* An operand of one shard: where it lies, and where the library finds it. */
typedef struct piece {
  void *at, *used;
  size_t bytes; /* that are copied; 0: used is at */
} piece;

static piece piece_of(const dt_gpu *gpu, void *all, int64_t count, int shard, void *copy) {
  piece p = {.at = (char *)all + (size_t)(shard * count) * dt_gpu_type_bytes(gpu->type)};
  p.bytes = shard > 0 ? copied_bytes(gpu, count) : 0;
  p.used = p.bytes > 0 ? copy : p.at;
  return p;
}

static dt_status copy(void *to, const void *from, size_t bytes, cudaStream_t stream) {
  if (bytes > 0) DT_CUDA(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream));
  return DT_OK;
}

static dt_status compute_shard(const dt_gpu_call *call, const dt_gpu_plan *alone, const dt_gpu_operands *all,
                               const work_plan *work, int shard) {
  const dt_gpu_counts counts = call->library->counts(call->program, call->instr);
  const size_t unit = dt_gpu_type_bytes(call->library->gradient_type(call->gpu, alone));
  const piece x = piece_of(call->gpu, all->x, counts.x, shard, (char *)call->work + work->x);
  const piece y = piece_of(call->gpu, all->y, counts.y, shard, (char *)call->work + work->y);
  const bool writes_x = is_present(call->instr, DT_ARG_DX), writes_y = is_present(call->instr, DT_ARG_Y);
  dt_gpu_operands own = *all;
  own.x = x.used;
  own.y = y.used;
  if (is_gradient(call->instr)) own.w = (char *)all->w + (size_t)(shard * dt_gpu_gradient_stride(counts.w)) * unit;
  if (!writes_x) DT_TRY(copy(x.used, x.at, x.bytes, call->stream));
  if (!writes_y) DT_TRY(copy(y.used, y.at, y.bytes, call->stream));
  DT_TRY(call->library->compute(call->gpu, alone, &own, call->work, call->stream));
  if (writes_x) DT_TRY(copy(x.at, x.used, x.bytes, call->stream));
  return writes_y ? copy(y.at, y.used, y.bytes, call->stream) : DT_OK;
}

dt_status dt_gpu_compute_by_shard(const dt_gpu_call *call, const dt_gpu_plan *alone, int shards,
                                  const dt_gpu_operands *operands) {
  work_plan work;
  DT_TRY(plan_work(call, alone, &work));
  for (int s = 0; s < shards; s++) DT_TRY(compute_shard(call, alone, operands, &work, s));
  return DT_OK;
}

/* All at once where that gives the same bits. */
static dt_status compute_shards(const dt_gpu_call *call, const dt_gpu_plan *alone, int shards,
                                const dt_gpu_operands *operands) {
  dt_gpu_plan *together;
  DT_TRY(call->library->get(call->gpu, call->program, call->instr, shards, &together));
  if (shards > 1 && together->batching != DT_GPU_INVARIANT) return dt_gpu_compute_by_shard(call, alone, shards, operands);
  return call->library->compute(call->gpu, together, operands, call->work, call->stream);
}

dt_status dt_gpu_library_work(const dt_gpu *gpu, const dt_program *program, const dt_instr *instr, size_t *out) {
  const dt_gpu_call call = {.gpu = gpu, .program = program, .instr = instr, .library = dt_gpu_library_of(instr->op)};
  dt_gpu_plan *alone;
  work_plan work;
  DT_TRY(call.library->get(gpu, program, instr, 1, &alone));
  DT_TRY(plan_work(&call, alone, &work));
  *out = work.bytes;
  return DT_OK;
}

static dt_status sum_bias(const dt_gpu_call *call, const dt_gpu_operands *operands, int shards, float *db) {
  const dt_gpu_counts counts = call->library->counts(call->program, call->instr);
  return dt_gpu_sum_columns(call->gpu->type, operands->y, shards, counts.y / counts.bias, counts.bias, call->work, db,
                            call->stream);
}

dt_status dt_gpu_call_of(const dt_run *run, const dt_instr *instr, const dt_micro_batch *micro, dt_gpu_call *out) {
  *out = (dt_gpu_call){.gpu = dt_gpu_of(run),
                       .program = run->program,
                       .instr = instr,
                       .library = dt_gpu_library_of(instr->op),
                       .work = dt_gpu_arg(run, instr, micro, DT_ARG_WORK),
                       .stream = dt_gpu_stream(run, instr)};
  return DT_OK;
}

dt_status dt_gpu_operands_of(const dt_gpu_call *call, const dt_run *run, const dt_micro_batch *micro, const dt_gpu_plan *alone,
                             dt_gpu_operands *out, float **out_dw) {
  const dt_instr *instr = call->instr;
  work_plan work;
  *out = (dt_gpu_operands){
      .x = dt_gpu_arg(run, instr, micro, is_present(instr, DT_ARG_X) ? DT_ARG_X : DT_ARG_DX),
      .w = (void *)dt_gpu_param(run, instr, DT_ARG_W),
      .y = dt_gpu_arg(run, instr, micro, is_present(instr, DT_ARG_Y) ? DT_ARG_Y : DT_ARG_DY),
      .low = dt_gpu_param(run, instr, DT_ARG_B),
      .bias = dt_gpu_arg(run, instr, micro, DT_ARG_B),
  };
  *out_dw = dt_gpu_arg(run, instr, micro, DT_ARG_DW);
  if (!is_gradient(instr)) return DT_OK;
  DT_TRY(plan_work(call, alone, &work));
  const bool is_sum = micro->shard_count == 1 && call->library->gradient_type(call->gpu, alone) == DT_GPU_F32;
  out->w = is_sum ? (void *)*out_dw : (char *)call->work + work.gradients;
  return DT_OK;
}

/* The sum of the gradients that shards have left. */
static dt_status fold_gradients(const dt_gpu_call *call, const dt_gpu_plan *alone, int shards, const void *from, float *dw) {
  const int64_t count = call->library->counts(call->program, call->instr).w;
  const dt_gpu_shard_sums sums = {from, shards, dt_gpu_gradient_stride(count), count, {dw, NULL}, count};
  return from == dw ? DT_OK : dt_gpu_fold_shards(call->library->gradient_type(call->gpu, alone), &sums, call->stream);
}

static dt_status compute(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  const int shards = micro->shard_count;
  dt_gpu_call call;
  dt_gpu_operands operands;
  dt_gpu_plan *alone;
  float *dw;
  DT_TRY(dt_gpu_call_of(run, instr, micro, &call));
  DT_TRY(call.library->get(call.gpu, run->program, instr, 1, &alone));
  DT_TRY(dt_gpu_operands_of(&call, run, micro, alone, &operands, &dw));
  DT_TRY(compute_shards(&call, alone, shards, &operands));
  if (dw != NULL) DT_TRY(fold_gradients(&call, alone, shards, operands.w, dw));
  if (!is_present(instr, DT_ARG_DB)) return DT_OK;
  return sum_bias(&call, &operands, shards, dt_gpu_arg(run, instr, micro, DT_ARG_DB));
}

/* The kernel of each. */
#define X(OP, name, library)                                                                 \
  dt_status dt_gpu_##name(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) { \
    return compute(run, instr, micro);                                                       \
  }
BY_LIBRARY(X)
#undef X

/* --- offers --- */

void dt_gpu_offers_add(dt_gpu_offers *offers, const char *choice) {
  if (offers->count == offers->room || choice[0] == '\0') return;
  for (int i = 0; i < offers->count; i++) {
    if (strcmp(offers->choice[i], choice) == 0) return;
  }
  snprintf(offers->choice[offers->count++], DT_GPU_CHOICE_TEXT, "%s", choice);
}

dt_status dt_gpu_refuse_entry(const dt_gpu_plan_entry *entry, const char *library) {
  DT_RAISE(DT_USAGE,
           "%s:%d: found \"%s\" for %s, expected what %s takes with this precision and one order of sums; time it again "
           "(dtrain bench plans), or set plans: off",
           entry->file, entry->line, entry->choice, entry->what, library);
}

dt_status dt_gpu_refuse_erratum(const dt_gpu_plan_entry *entry, const dt_gpu *gpu, const dt_gpu_erratum *erratum) {
  DT_RAISE(DT_USAGE,
           "%s:%d: found \"%s\" for %s, which must not compute it with %s: %s (%s); time it again (dtrain bench plans), or set "
           "plans: off",
           entry->file, entry->line, entry->choice, entry->what, gpu->libraries->versions, erratum->why, erratum->source);
}

/* How several shards are computed. */
static dt_status print_shards(const dt_gpu *gpu, const dt_program *program, const dt_instr *instr, int shards, FILE *out) {
  dt_gpu_plan *together;
  if (shards < 2) return DT_OK;
  DT_TRY(dt_gpu_library_of(instr->op)->get(gpu, program, instr, shards, &together));
  if (together->batching == DT_GPU_DEPENDENT || together->batching == DT_GPU_SEPARATE) {
    fprintf(out, "; shard by shard");
  } else {
    fprintf(out, "; %d shards at once", shards);
    if (together->found) fprintf(out, ", workspace %zu B", together->workspace);
  }
  return DT_OK;
}

dt_status dt_gpu_print_plans(const dt_device *device, const dt_program *program, int shards, FILE *out) {
  const dt_gpu *gpu = (const dt_gpu *)device;
  for (int i = 0; i < program->count; i++) {
    const dt_instr *instr = &program->instr[i];
    const dt_gpu_library *library = dt_gpu_library_of(instr->op);
    dt_gpu_plan *plan;
    if (library == NULL) continue;
    DT_TRY(library->get(gpu, program, instr, 1, &plan));
    fprintf(out, "%-24s %-12s %s", program->graph->node[instr->node].name, dt_gpu_op_name(instr->op), plan->text);
    if (plan->found) fprintf(out, ", workspace %zu B", plan->workspace);
    DT_TRY(print_shards(gpu, program, instr, shards, out));
    fprintf(out, "\n");
  }
  return DT_OK;
}

/* Whether the first `count` instructions of a program ask a library for this. */
static bool asks_for(const dt_gpu *gpu, const dt_program *program, int count, const char *what) {
  char other[DT_GPU_WHAT_TEXT];
  for (int i = 0; i < count; i++) {
    const dt_gpu_library *library = dt_gpu_library_of(program->instr[i].op);
    if (library == NULL) continue;
    library->what(gpu, program, &program->instr[i], other);
    if (strcmp(other, what) == 0) return true;
  }
  return false;
}

/* Prints the entry of instruction i of program[p], unless one before it is the same. */
static dt_status print_entry(const dt_gpu *gpu, const dt_program *const *program, int p, int i, FILE *out) {
  const dt_instr *instr = &program[p]->instr[i];
  const dt_gpu_library *library = dt_gpu_library_of(instr->op);
  dt_gpu_plan *plan;
  char what[DT_GPU_WHAT_TEXT];
  if (library == NULL) return DT_OK;
  library->what(gpu, program[p], instr, what);
  if (asks_for(gpu, program[p], i, what)) return DT_OK;
  for (int before = 0; before < p; before++) {
    if (asks_for(gpu, program[before], program[before]->count, what)) return DT_OK;
  }
  DT_TRY(library->get(gpu, program[p], instr, 1, &plan));
  if (plan->choice[0] != '\0') fprintf(out, "%s = %s\n", what, plan->choice);
  return DT_OK;
}

dt_status dt_gpu_print_plan_table(const dt_device *device, const dt_program *const *program, int program_count, FILE *out) {
  const dt_gpu *gpu = (const dt_gpu *)device;
  fprintf(out, "[%s]\n", gpu->libraries->machine);
  for (int p = 0; p < program_count; p++) {
    for (int i = 0; i < program[p]->count; i++) DT_TRY(print_entry(gpu, program, p, i, out));
  }
  return DT_OK;
}

/* What dt_gpu_warning tells of. */
typedef struct slow {
  int convolutions, plain; /* and those of them that cuDNN has no plan for */
  int products,
      dependent; /* convolutions and products that shards could share, and those whose engines were seen not to allow it */
} slow;

static dt_status count_dependent(const dt_gpu *gpu, const dt_program *program, const dt_instr *instr, slow *count) {
  const dt_gpu_library *library = dt_gpu_library_of(instr->op);
  dt_gpu_plan *together;
  if (instr->op == DT_OP_CONV_WGRAD || !gpu->proves) return DT_OK;
  DT_TRY(library->get(gpu, program, instr, program->micro_batch_shards, &together));
  count->products++;
  count->dependent += together->batching == DT_GPU_DEPENDENT;
  return DT_OK;
}

static dt_status count_slow(const dt_gpu *gpu, const dt_program *program, slow *count) {
  for (int i = 0; i < program->count; i++) {
    const dt_instr *instr = &program->instr[i];
    const dt_gpu_library *library = dt_gpu_library_of(instr->op);
    dt_gpu_plan *plan;
    if (library == NULL) continue;
    DT_TRY(count_dependent(gpu, program, instr, count));
    if (library != &dt_gpu_conv_library) continue;
    DT_TRY(library->get(gpu, program, instr, 1, &plan));
    count->convolutions++;
    count->plain += !plan->found;
  }
  return DT_OK;
}

dt_status dt_gpu_warning(const dt_device *device, dt_program *const program[2], char *text) {
  slow count = {0};
  text[0] = '\0';
  for (int p = 0; p < 2; p++) {
    if (program[p] != NULL) DT_TRY(count_slow((const dt_gpu *)device, program[p], &count));
  }
  if (count.plain > 0) {
    snprintf(text, DT_WARNING_TEXT,
             "%d of %d convolutions have no plan in cuDNN and run on dtrain's plain kernels, which are slow: describe --plans "
             "names them",
             count.plain, count.convolutions);
  } else if (count.dependent > 0) {
    snprintf(
        text, DT_WARNING_TEXT,
        "%d of %d convolutions and products run shard by shard, as an engine's bits depend on the batch: fewer train.shards "
        "are faster, other engines may be (dtrain bench plans)",
        count.dependent, count.products);
  }
  return DT_OK;
}

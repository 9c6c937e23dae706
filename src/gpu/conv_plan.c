/* The choice among cuDNN's engines. Without a plan table it is pinned: the lists of cuDNN's heuristics A, B and fallback in
 * their order, and in them the first configuration that finalizes, sums in a fixed order, keeps to the precision asked for and
 * needs no compiler at run time, as cuDNN's notes say it, and of which nothing else is known (errata.h). A plan table names an
 * engine and its knobs instead. The same code makes plans for a device and for a model of one (libraries.c). */
#include "gpu/conv_plan.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/config/spec.h"
#include "gpu/conv_graph.h"
#include "gpu/errata.h"

#define TRY DT_CUDNN_TRY
typedef cudnnBackendDescriptor_t descriptor;

enum { NOTES_MAX = 16, CONFIGS_MAX = 256, KNOBS_MAX = 64 };
static const int64_t workspace_max = INT64_C(1) << 30; /* engines that want more are passed over */

/* What says that cuDNN has nothing for such a graph, which is no error. */
static bool is_refusal(cudnnStatus_t code) {
  return code / 1000 == CUDNN_STATUS_BAD_PARAM / 1000 || code / 1000 == CUDNN_STATUS_NOT_SUPPORTED / 1000;
}

/* An engine that fails by itself is passed over like one that refuses: another will do. What may pass, such as a lack of
 * memory, is an error, since it must not change which engine is taken. */
static bool is_engine_failure(cudnnStatus_t code) {
  bool memory = code == CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED ||
                code == CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED;
  return is_refusal(code) || (code / 1000 == CUDNN_STATUS_INTERNAL_ERROR / 1000 && !memory);
}

/* --- which engines --- */

/* Engines whose sums depend on chance, or that need a compiler at run time or another order of the weights, are out, and so
 * are those that compute in less than was asked for: 16-bit sums, transforms that lose digits, and for true fp32 tensor cores,
 * which read fewer digits of their inputs. */
static bool is_allowed(const dt_gpu *gpu, cudnnBackendNumericalNote_t note) {
  switch (note) {
    case CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC:
    case CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION:
    case CUDNN_NUMERICAL_NOTE_FFT:
    case CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_13x13:
      return false;
    case CUDNN_NUMERICAL_NOTE_TENSOR_CORE:
      return gpu->precision != DT_FP32;
    case CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS:
      return gpu->precision == DT_TF32;
    default:
      return true;
  }
}

static cudnnStatus_t check_engine(const dt_gpu *gpu, descriptor engine, bool *out_fits, bool *out_tensor_cores) {
  cudnnBackendNumericalNote_t numeric[NOTES_MAX];
  cudnnBackendBehaviorNote_t behavior[NOTES_MAX];
  int64_t numeric_count = 0, behavior_count = 0;
  TRY(cudnnBackendGetAttribute(engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE, NOTES_MAX, &numeric_count,
                               numeric));
  TRY(cudnnBackendGetAttribute(engine, CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE, CUDNN_TYPE_BEHAVIOR_NOTE, NOTES_MAX, &behavior_count,
                               behavior));
  *out_fits = true;
  *out_tensor_cores = false;
  for (int64_t i = 0; i < numeric_count; i++) {
    *out_fits &= is_allowed(gpu, numeric[i]);
    *out_tensor_cores |= numeric[i] == CUDNN_NUMERICAL_NOTE_TENSOR_CORE;
  }
  for (int64_t i = 0; i < behavior_count; i++) {
    *out_fits &= behavior[i] != CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION &&
                 behavior[i] != CUDNN_BEHAVIOR_NOTE_REQUIRES_FILTER_INT8x32_REORDER &&
                 behavior[i] != CUDNN_BEHAVIOR_NOTE_REQUIRES_BIAS_INT8x32_REORDER;
  }
  return CUDNN_STATUS_SUCCESS;
}

/* --- choices as text: "engine 46 fused k2=11 k12=0" --- */

typedef struct engine_choice {
  int64_t engine; /* its global index */
  bool fused;
  int knob_count;
  cudnnBackendKnobType_t knob[KNOBS_MAX];
  int64_t value[KNOBS_MAX]; /* other values may give other bits */
} engine_choice;

static bool parse_choice(const char *text, engine_choice *out) {
  static const char fused[] = " fused";
  int length = 0;
  *out = (engine_choice){.knob_count = 0};
  if (sscanf(text, "engine %" SCNd64 "%n", &out->engine, &length) != 1) return false;
  text += length;
  if (strncmp(text, fused, sizeof fused - 1) == 0) {
    out->fused = true;
    text += sizeof fused - 1;
  }
  for (int knob; *text != '\0'; text += length) {
    if (out->knob_count == KNOBS_MAX) return false;
    if (sscanf(text, " k%d=%" SCNd64 "%n", &knob, &out->value[out->knob_count], &length) != 2) return false;
    out->knob[out->knob_count++] = (cudnnBackendKnobType_t)knob;
  }
  return true;
}

/* "" where it is too long. */
static void print_choice(const engine_choice *choice, char *text) {
  size_t length =
      (size_t)snprintf(text, DT_GPU_CHOICE_TEXT, "engine %" PRId64 "%s", choice->engine, choice->fused ? " fused" : "");
  for (int i = 0; i < choice->knob_count && length < DT_GPU_CHOICE_TEXT; i++) {
    length +=
        (size_t)snprintf(text + length, DT_GPU_CHOICE_TEXT - length, " k%d=%" PRId64, (int)choice->knob[i], choice->value[i]);
  }
  if (length >= DT_GPU_CHOICE_TEXT) text[0] = '\0';
}

static cudnnStatus_t read_knob(descriptor knob, engine_choice *out) {
  const int i = out->knob_count++;
  int64_t count;
  TRY(cudnnBackendGetAttribute(knob, CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, CUDNN_TYPE_KNOB_TYPE, 1, &count, &out->knob[i]));
  TRY(cudnnBackendGetAttribute(knob, CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, CUDNN_TYPE_INT64, 1, &count, &out->value[i]));
  return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t read_knobs(descriptor config, engine_choice *out) {
  descriptor knob[KNOBS_MAX] = {NULL};
  int64_t count = 0;
  cudnnStatus_t code = CUDNN_STATUS_SUCCESS;
  for (int i = 0; i < KNOBS_MAX && code == CUDNN_STATUS_SUCCESS; i++) {
    code = cudnnBackendCreateDescriptor(CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR, &knob[i]);
  }
  if (code == CUDNN_STATUS_SUCCESS) {
    code = cudnnBackendGetAttribute(config, CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, CUDNN_TYPE_BACKEND_DESCRIPTOR, KNOBS_MAX, &count,
                                    knob);
  }
  for (int64_t i = 0; i < count && i < KNOBS_MAX && code == CUDNN_STATUS_SUCCESS; i++) code = read_knob(knob[i], out);
  for (int i = 0; i < KNOBS_MAX && knob[i] != NULL; i++) cudnnBackendDestroyDescriptor(knob[i]);
  return code;
}

/* What a configuration is; fits says whether its engine is one that we take. */
static cudnnStatus_t read_config(const dt_gpu *gpu, descriptor config, engine_choice *out, bool *out_fits,
                                 bool *out_tensor_cores) {
  descriptor engine;
  int64_t count;
  out->knob_count = 0;
  TRY(cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINE_DESCRIPTOR, &engine));
  cudnnStatus_t code =
      cudnnBackendGetAttribute(config, CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &count, &engine);
  if (code == CUDNN_STATUS_SUCCESS) code = check_engine(gpu, engine, out_fits, out_tensor_cores);
  if (code == CUDNN_STATUS_SUCCESS) {
    code = cudnnBackendGetAttribute(engine, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1, &count, &out->engine);
  }
  cudnnBackendDestroyDescriptor(engine);
  TRY(code);
  return read_knobs(config, out);
}

/* --- making a plan of a configuration --- */

/* A plan belongs to the handle that will run it, or, where there is no device to run it, to a model's properties. */
static cudnnStatus_t bind_plan(const dt_gpu_libraries *libraries, descriptor plan) {
  if (libraries->cudnn == NULL) return dt_gpu_set_descriptor(plan, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, libraries->properties);
  return cudnnBackendSetAttribute(plan, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &libraries->cudnn);
}

/* Makes the execution plan of a configuration; base.found stays false when it doesn't fit. */
static cudnnStatus_t try_config(const dt_gpu *gpu, descriptor config, dt_gpu_conv_plan *plan) {
  engine_choice choice = {.fused = plan->base.fused};
  int64_t count, workspace = 0;
  bool fits = false, tensor_cores = false;
  descriptor candidate;
  TRY(read_config(gpu, config, &choice, &fits, &tensor_cores));
  print_choice(&choice, plan->base.choice);
  if (!fits || dt_gpu_erratum_find(gpu, plan->conv.op, plan->base.choice) != NULL) return CUDNN_STATUS_SUCCESS;
  TRY(dt_gpu_conv_part(plan, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, &candidate));
  TRY(dt_gpu_set_descriptor(candidate, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, config));
  TRY(bind_plan(gpu->libraries, candidate));
  TRY(cudnnBackendFinalize(candidate));
  TRY(cudnnBackendGetAttribute(candidate, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &count, &workspace));
  if (workspace > workspace_max) return CUDNN_STATUS_SUCCESS;
  snprintf(plan->base.text, sizeof plan->base.text, "cudnn %s%s", plan->base.choice, tensor_cores ? ", tensor cores" : "");
  plan->base.workspace = (size_t)workspace;
  plan->base.found = true;
  plan->plan = candidate;
  return CUDNN_STATUS_SUCCESS;
}

/* Parts beyond `count` go. */
static void drop_parts(dt_gpu_conv_plan *plan, int count) {
  while (plan->part_count > count) cudnnBackendDestroyDescriptor(plan->part[--plan->part_count]);
}

/* --- what the heuristics offer --- */

/* What is done with each configuration, in the heuristics' order. It takes the configuration by setting it to NULL. */
typedef cudnnStatus_t visitor(const dt_gpu *gpu, descriptor *config, dt_gpu_conv_plan *plan, dt_gpu_offers *offers);

/* Takes the first that fits, and keeps it with the plan. */
static cudnnStatus_t take_first(const dt_gpu *gpu, descriptor *config, dt_gpu_conv_plan *plan, dt_gpu_offers *offers) {
  const int parts = plan->part_count;
  if (plan->base.found) return CUDNN_STATUS_SUCCESS;
  cudnnStatus_t code = try_config(gpu, *config, plan);
  if (!plan->base.found) {
    drop_parts(plan, parts);
    plan->refusal = code;
    return is_engine_failure(code) ? CUDNN_STATUS_SUCCESS : code;
  }
  DT_ASSERT(plan->part_count < DT_GPU_CONV_PARTS);
  plan->part[plan->part_count++] = *config;
  *config = NULL;
  return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t offer(const dt_gpu *gpu, descriptor *config, dt_gpu_conv_plan *plan, dt_gpu_offers *offers) {
  engine_choice choice = {.fused = plan->base.fused};
  char text[DT_GPU_CHOICE_TEXT];
  bool fits = false, tensor_cores;
  TRY(read_config(gpu, *config, &choice, &fits, &tensor_cores));
  print_choice(&choice, text);
  if (fits) dt_gpu_offers_add(offers, text);
  return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t visit_configs(const dt_gpu *gpu, descriptor heuristics, descriptor *config, int64_t room,
                                   dt_gpu_conv_plan *plan, visitor *visit, dt_gpu_offers *offers) {
  int64_t count = 0;
  for (int64_t i = 0; i < room; i++) TRY(cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, &config[i]));
  TRY(cudnnBackendGetAttribute(heuristics, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, room, &count, config));
  for (int64_t i = 0; i < count && i < room && !plan->base.found; i++) TRY(visit(gpu, &config[i], plan, offers));
  return CUDNN_STATUS_SUCCESS;
}

/* With a device the graph has its handle, and the heuristics ask that; a model's properties they must be given. */
static cudnnStatus_t ask_heuristics(const dt_gpu *gpu, descriptor graph, cudnnBackendHeurMode_t mode, descriptor heuristics,
                                    dt_gpu_conv_plan *plan, visitor *visit, dt_gpu_offers *offers) {
  const descriptor properties = gpu->libraries->properties;
  descriptor config[CONFIGS_MAX] = {NULL};
  int64_t bound = 0;
  TRY(dt_gpu_set_descriptor(heuristics, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph));
  TRY(cudnnBackendSetAttribute(heuristics, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode));
  if (properties != NULL) TRY(dt_gpu_set_descriptor(heuristics, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, properties));
  TRY(cudnnBackendFinalize(heuristics));
  TRY(cudnnBackendGetAttribute(heuristics, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, &bound, NULL));
  cudnnStatus_t code = visit_configs(gpu, heuristics, config, bound < CONFIGS_MAX ? bound : CONFIGS_MAX, plan, visit, offers);
  for (int i = 0; i < CONFIGS_MAX; i++) {
    if (config[i] != NULL) cudnnBackendDestroyDescriptor(config[i]);
  }
  return code;
}

static cudnnStatus_t visit_graph(const dt_gpu *gpu, dt_gpu_conv_plan *plan, visitor *visit, dt_gpu_offers *offers) {
  static const cudnnBackendHeurMode_t modes[] = {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_B, CUDNN_HEUR_MODE_FALLBACK};
  descriptor graph, heuristics;
  TRY(dt_gpu_conv_graph(gpu, plan, &graph));
  for (size_t m = 0; m < sizeof modes / sizeof *modes && !plan->base.found; m++) {
    TRY(cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, &heuristics));
    cudnnStatus_t code = ask_heuristics(gpu, graph, modes[m], heuristics, plan, visit, offers);
    cudnnBackendDestroyDescriptor(heuristics);
    if (!is_refusal(code)) TRY(code);
  }
  return CUDNN_STATUS_SUCCESS;
}

static dt_status visit_convolution(const dt_gpu *gpu, bool fused, dt_gpu_conv_plan *plan, visitor *visit,
                                   dt_gpu_offers *offers) {
  plan->base.fused = fused;
  cudnnStatus_t code = visit_graph(gpu, plan, visit, offers);
  if (!plan->base.found) drop_parts(plan, 0);
  if (is_refusal(code)) plan->refusal = code;
  return is_refusal(code) ? DT_OK : dt_gpu_check_cudnn(code, "making a convolution's plan", __FILE__, __LINE__);
}

/* With bias and relu in the graph first. */
static dt_status visit_all(const dt_gpu *gpu, dt_gpu_conv_plan *plan, visitor *visit, dt_gpu_offers *offers) {
  if (plan->conv.bias || plan->conv.act.kind == DT_ACT_RELU) DT_TRY(visit_convolution(gpu, true, plan, visit, offers));
  if (plan->base.found) return DT_OK;
  return visit_convolution(gpu, false, plan, visit, offers);
}

static dt_status choose_by_heuristics(const dt_gpu *gpu, dt_gpu_conv_plan *plan) {
  DT_TRY(visit_all(gpu, plan, take_first, NULL));
  if (plan->base.found) return DT_OK;
  const char *why = plan->refusal != CUDNN_STATUS_SUCCESS ? cudnnGetErrorString(plan->refusal) : "";
  snprintf(plan->base.text, sizeof plan->base.text, "dtrain direct, cuDNN has no plan %s", why);
  return DT_OK;
}

/* --- an engine that is named --- */

static cudnnStatus_t set_knob(descriptor knob, cudnnBackendKnobType_t type, int64_t value) {
  TRY(cudnnBackendSetAttribute(knob, CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, CUDNN_TYPE_KNOB_TYPE, 1, &type));
  TRY(dt_gpu_set_int64(knob, CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, 1, &value));
  return cudnnBackendFinalize(knob);
}

static cudnnStatus_t set_knobs(descriptor config, const engine_choice *choice, descriptor *knob) {
  for (int i = 0; i < choice->knob_count; i++) {
    TRY(cudnnBackendCreateDescriptor(CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR, &knob[i]));
    TRY(set_knob(knob[i], choice->knob[i], choice->value[i]));
  }
  TRY(cudnnBackendSetAttribute(config, CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, CUDNN_TYPE_BACKEND_DESCRIPTOR, choice->knob_count,
                               knob));
  return cudnnBackendFinalize(config);
}

static cudnnStatus_t name_engine(const dt_gpu *gpu, descriptor graph, const engine_choice *choice, descriptor engine) {
  const descriptor properties = gpu->libraries->properties;
  TRY(dt_gpu_set_descriptor(engine, CUDNN_ATTR_ENGINE_OPERATION_GRAPH, graph));
  TRY(dt_gpu_set_int64(engine, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, 1, &choice->engine));
  if (properties != NULL) TRY(dt_gpu_set_descriptor(engine, CUDNN_ATTR_ENGINE_DEVICEPROP, properties));
  return cudnnBackendFinalize(engine);
}

/* Graph, engine and configuration are parts of the plan; a configuration holds its knobs itself. */
static cudnnStatus_t take_named(const dt_gpu *gpu, const engine_choice *choice, dt_gpu_conv_plan *plan) {
  descriptor graph, engine, config, knob[KNOBS_MAX] = {NULL};
  TRY(dt_gpu_conv_graph(gpu, plan, &graph));
  TRY(dt_gpu_conv_part(plan, CUDNN_BACKEND_ENGINE_DESCRIPTOR, &engine));
  TRY(name_engine(gpu, graph, choice, engine));
  TRY(dt_gpu_conv_part(plan, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, &config));
  TRY(dt_gpu_set_descriptor(config, CUDNN_ATTR_ENGINECFG_ENGINE, engine));
  cudnnStatus_t code = set_knobs(config, choice, knob);
  for (int i = 0; i < KNOBS_MAX && knob[i] != NULL; i++) cudnnBackendDestroyDescriptor(knob[i]);
  TRY(code);
  return try_config(gpu, config, plan);
}

/* base.found stays false where the engine is refused, by cuDNN or by us. */
static dt_status choose_named(const dt_gpu *gpu, const char *text, dt_gpu_conv_plan *plan) {
  engine_choice choice;
  if (!parse_choice(text, &choice)) return DT_OK;
  plan->base.fused = choice.fused;
  cudnnStatus_t code = take_named(gpu, &choice, plan);
  return is_engine_failure(code) ? DT_OK : dt_gpu_check_cudnn(code, text, __FILE__, __LINE__);
}

/* --- plans --- */

void dt_gpu_conv_plan_destroy(dt_gpu_plan *base) {
  dt_gpu_conv_plan *plan = (dt_gpu_conv_plan *)base;
  if (plan == NULL) return;
  drop_parts(plan, 0);
  free(plan);
}

dt_status dt_gpu_conv_plan_make(const dt_gpu *gpu, const dt_gpu_conv *conv, const char *choice, dt_gpu_plan **out) {
  dt_gpu_conv_plan *plan = NULL;
  *out = NULL;
  DT_TRY(dt_alloc(1, sizeof *plan, &plan));
  memcpy(&plan->conv, conv, sizeof *conv); /* padding and all: plans are found by comparing bytes */
  dt_status status = choice != NULL ? choose_named(gpu, choice, plan) : choose_by_heuristics(gpu, plan);
  if (status == DT_OK && (plan->base.found || choice == NULL)) {
    *out = &plan->base;
  } else {
    dt_gpu_conv_plan_destroy(&plan->base);
  }
  return status;
}

dt_status dt_gpu_conv_plan_offer(const dt_gpu *gpu, const dt_gpu_conv *conv, dt_gpu_offers *offers) {
  dt_gpu_conv_plan plan;
  memset(&plan, 0, sizeof plan);
  memcpy(&plan.conv, conv, sizeof *conv);
  dt_status status = visit_all(gpu, &plan, offer, offers);
  drop_parts(&plan, 0);
  return status;
}

void dt_gpu_conv_plan_what(const dt_gpu *gpu, const dt_gpu_conv *c, char *text) {
  const dt_window *w = &c->window;
  snprintf(text, DT_GPU_WHAT_TEXT,
           "%s %s x %" PRId64 "x%" PRId64 "x%" PRId64 "x%" PRId64 " y %" PRId64 "x%" PRId64 "x%" PRId64
           " kernel %dx%d stride %dx%d pad %dx%d dilation %dx%d groups %d%s%s",
           dt_gpu_op_name(c->op), dt_gpu_precision_name(gpu->precision), c->x.samples, c->x.height, c->x.width, c->x.channels,
           c->y.height, c->y.width, c->y.channels, w->kernel[0], w->kernel[1], w->stride[0], w->stride[1], w->pad[0], w->pad[1],
           w->dilation[0], w->dilation[1], c->groups, c->bias ? " bias" : "", c->act.kind == DT_ACT_RELU ? " relu" : "");
}

/* --- the list --- */

/* By the plan table where it has the convolution, else by the heuristics. */
static dt_status choose(const dt_gpu *gpu, const dt_gpu_conv *conv, dt_gpu_plan **out) {
  char what[DT_GPU_WHAT_TEXT];
  dt_gpu_conv_plan_what(gpu, conv, what);
  const dt_gpu_plan_entry *entry = dt_gpu_plan_table_find(gpu->libraries->table, what);
  DT_TRY(dt_gpu_conv_plan_make(gpu, conv, entry != NULL ? entry->choice : NULL, out));
  if (*out != NULL) return DT_OK;
  const dt_gpu_erratum *erratum = dt_gpu_erratum_find(gpu, conv->op, entry->choice);
  return erratum != NULL ? dt_gpu_refuse_erratum(entry, gpu, erratum) : dt_gpu_refuse_entry(entry, "cuDNN");
}

/* The plan of one shard over the samples of several. Sums over samples have none; dtrain's own kernels know no sample's
 * neighbours. */
static dt_status spread(const dt_gpu *gpu, const dt_gpu_conv *conv, dt_gpu_plan **out) {
  dt_gpu_conv one = *conv;
  dt_gpu_conv_plan *alone, *plan;
  one.x.samples /= conv->shards;
  one.y.samples /= conv->shards;
  one.shards = 1;
  *out = NULL;
  DT_TRY(dt_gpu_conv_plan_get(gpu, &one, &alone));
  if (conv->op != DT_OP_CONV_WGRAD && alone->base.found) DT_TRY(dt_gpu_conv_plan_make(gpu, conv, alone->base.choice, out));
  if (*out != NULL) return DT_OK;
  DT_TRY(dt_alloc(1, sizeof *plan, &plan));
  memcpy(&plan->conv, conv, sizeof *conv);
  memcpy(plan->base.text, alone->base.text, sizeof plan->base.text);
  plan->base.batching = conv->op == DT_OP_CONV_WGRAD || alone->base.found ? DT_GPU_SEPARATE : DT_GPU_INVARIANT;
  *out = &plan->base;
  return DT_OK;
}

dt_status dt_gpu_conv_plan_get(const dt_gpu *gpu, const dt_gpu_conv *conv, dt_gpu_conv_plan **out) {
  dt_gpu_plan **list = &gpu->libraries->conv, *plan = *list;
  while (plan != NULL && memcmp(&((dt_gpu_conv_plan *)plan)->conv, conv, sizeof *conv) != 0) plan = plan->next;
  if (plan == NULL) {
    DT_TRY(conv->shards == 1 ? choose(gpu, conv, &plan) : spread(gpu, conv, &plan));
    plan->next = *list;
    *list = plan;
  }
  *out = (dt_gpu_conv_plan *)plan;
  return DT_OK;
}

/* --- running --- */

static cudnnStatus_t execute(const dt_gpu *gpu, const dt_gpu_conv_plan *plan, const dt_gpu_conv_data *data, void *workspace,
                             descriptor pack) {
  const bool bias = plan->conv.op == DT_OP_CONV_FWD && plan->base.fused && plan->conv.bias;
  const int64_t uid[] = {DT_GPU_UID_X, DT_GPU_UID_W, DT_GPU_UID_Y, DT_GPU_UID_BIAS}, count = bias ? 4 : 3;
  const void *const pointer[] = {data->x, data->w, data->y, data->bias};
  TRY(dt_gpu_set_int64(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, count, uid));
  TRY(cudnnBackendSetAttribute(pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, count, pointer));
  TRY(cudnnBackendSetAttribute(pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace));
  TRY(cudnnBackendFinalize(pack));
  return cudnnBackendExecute(gpu->libraries->cudnn, plan->plan, pack);
}

/* cudnnSetStream asks the driver a lot, about 2.5 us, and records an event when the stream is another one, which nobody wants
 * in a recording. */
static dt_status set_stream(dt_gpu_libraries *libraries, cudaStream_t stream) {
  if (stream == libraries->cudnn_stream) return DT_OK;
  DT_CUDNN(cudnnSetStream(libraries->cudnn, stream));
  libraries->cudnn_stream = stream;
  return DT_OK;
}

dt_status dt_gpu_conv_execute(const dt_gpu *gpu, const dt_gpu_conv_plan *plan, const dt_gpu_conv_data *data, void *workspace,
                              cudaStream_t stream) {
  descriptor pack;
  DT_TRY(set_stream(gpu->libraries, stream));
  DT_CUDNN(cudnnBackendCreateDescriptor(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, &pack));
  cudnnStatus_t code = execute(gpu, plan, data, workspace, pack);
  cudnnBackendDestroyDescriptor(pack);
  return dt_gpu_check_cudnn(code, plan->base.text, __FILE__, __LINE__);
}

/* Devices, heuristics, engines and plans of the emulated cuDNN.
 *
 * The engines differ in what a program must look at before it picks one. The list begins with what it may not want: an engine
 * whose sums change from run to run, then one that reads floats with a short mantissa; then come one that needs much workspace
 * and one that needs none. All that ask for workspace write all of it. Options:
 *   cudnn_engine_5=1  there is an engine 5, which the heuristics like best
 *   cudnn_refuse=K  with each handle, heuristics find no configuration from the K-th time on that they are asked
 *   cudnn_fail=K    for the K-th plan that is made a call of CUDA fails
 *   cudnn_broken=N  plans of engine N end in an internal error
 *   engine_N_ms=MS  what engine N takes, on the clock that events see; engine_7_T_ms: engine 7 with tile T;
 *                   engine_N_warm_ms: where its operands are in the cache (cache.c) */
#include <stdio.h>
#include <string.h>

#include "cudnn_backend.h"
#include "emulator.h"

const cudnn_engine cudnn_engines[] = {
    {.index = 5, .name = "emulated_extra", .fused = true, .forward = true, .extra = true},
    {.index = 4, .name = "emulated_atomic", .note = {CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC}, .note_count = 1, .shuffled = true},
    {.index = 7,
     .name = "emulated_tensor_core",
     .note = {CUDNN_NUMERICAL_NOTE_TENSOR_CORE},
     .note_count = 1,
     .fused = true,
     .forward = true,
     .tf32 = true,
     .least_workspace = 131},
    {.index = 2, .name = "emulated_precomputed", .fused = true, .forward = true, .copies = true, .least_workspace = 64},
    {.index = 0, .name = "emulated_direct", .fused = true, .forward = true},
};
const int cudnn_engine_count = sizeof cudnn_engines / sizeof *cudnn_engines;

bool cudnn_supports(const cudnn_engine *engine, const cudnn_problem *problem) {
  if (engine->extra && !emulator_number("cudnn_engine_5", 0)) return false;
  if (problem->direction == CUDNN_FORWARD && !engine->forward) return false;
  return engine->fused || !problem->has_bias;
}

int64_t cudnn_workspace(const cudnn_engine *engine, const cudnn_problem *problem) {
  return engine->least_workspace + (engine->copies ? cudnn_operand_count(problem) * (int64_t)sizeof(float) : 0);
}

/* Keys that cuDNN wants in the description of a device. */
static const char *const device_keys[] = {"cudaDeviceId",
                                          "deviceName",
                                          "deviceVer",
                                          "driverVer",
                                          "maxGridSize",
                                          "maxBlockSize",
                                          "regsPerBlock",
                                          "multiProcessorCount",
                                          "smClockRateKHz",
                                          "memClockRateKHz",
                                          "l2CacheSize",
                                          "warpSize",
                                          "maxCtasPerSM",
                                          "maxRegistersPerSM",
                                          "maxThreadsPerSM",
                                          "maxSharedMemoryPerBlockOptin",
                                          "pciDeviceId",
                                          "maxThreadsPerBlock",
                                          "isTccDriver",
                                          "reservedSharedMemoryPerBlock",
                                          "totalGlobalMem",
                                          "supportCoopLaunch",
                                          "maxSharedMemoryPerBlock"};

static cudnnStatus_t check_json(const char *json, int64_t bytes) {
  char key[64];
  for (size_t i = 0; i < sizeof device_keys / sizeof *device_keys; i++) {
    int length = snprintf(key, sizeof key, "\"%s\"", device_keys[i]);
    CUDNN_NEED(memmem(json, (size_t)bytes, key, (size_t)length) != NULL, CUDNN_STATUS_BAD_PARAM);
  }
  return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t describe_device(cudnn_descriptor *device, int index) {
  struct cudaDeviceProp properties;
  char json[1024];
  CUDNN_NEED(cudaGetDeviceProperties(&properties, index) == cudaSuccess, CUDNN_STATUS_NOT_INITIALIZED);
  int length =
      snprintf(json, sizeof json,
               "{\"cudaDeviceId\":%d,\"deviceName\":\"%s\",\"deviceVer\":%d,\"driverVer\":13000,\"maxGridSize\":[2147483647,"
               "65535,65535],"
               "\"maxBlockSize\":[1024,1024,64],\"regsPerBlock\":65536,\"multiProcessorCount\":%d,\"smClockRateKHz\":1000000,"
               "\"memClockRateKHz\":1000000,\"l2CacheSize\":1048576,\"warpSize\":32,\"maxSharedMemoryPerBlock\":49152,"
               "\"maxSharedMemoryPerBlockOptin\":232448,\"reservedSharedMemoryPerBlock\":1024,\"maxRegistersPerSM\":65536,"
               "\"maxCtasPerSM\":32,\"maxThreadsPerBlock\":1024,\"maxThreadsPerSM\":2048,\"pciDeviceId\":0,\"isTccDriver\":0,"
               "\"supportCoopLaunch\":1,\"totalGlobalMem\":%zu}",
               index, properties.name, properties.major * 100 + properties.minor * 10, properties.multiProcessorCount,
               properties.totalGlobalMem);
  return cudnn_put(device, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, length, json);
}

cudnnStatus_t cudnn_finalize_device(cudnn_descriptor *device) {
  const cudnn_attribute *json = cudnn_find(device, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION);
  int index = cudnn_enum(device, CUDNN_ATTR_DEVICEPROP_DEVICE_ID, 0);
  if (json) return check_json(json->value, json->count);
  CUDNN_NEED(cudnn_find(device, CUDNN_ATTR_DEVICEPROP_DEVICE_ID) || cudnn_find(device, CUDNN_ATTR_DEVICEPROP_HANDLE),
             CUDNN_STATUS_BAD_PARAM);
  return describe_device(device, index);
}

static bool knows_device(const cudnn_descriptor *descriptor, cudnnBackendAttributeName_t name, const cudnn_descriptor *graph) {
  return cudnn_refer(descriptor, name) != NULL || cudnn_find(graph, CUDNN_ATTR_OPERATIONGRAPH_HANDLE) != NULL;
}

enum { KNOB_TILE_SIZE = 2 }; /* of cudnnBackendKnobType_t */
static const int64_t tiles[] = {3, 5};
enum { TILES = sizeof tiles / sizeof *tiles };

/* The one knob there is, the tile of the engine with tensor cores; any value computes the same. */
static cudnnStatus_t put_choice(cudnn_descriptor *config, int64_t value) {
  int type = KNOB_TILE_SIZE;
  cudnn_descriptor *choice;
  CUDNN_TRY(cudnn_create(CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR, &choice));
  cudnnStatus_t status = cudnn_put(choice, CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, CUDNN_TYPE_KNOB_TYPE, 1, &type);
  if (!status) status = cudnn_put(choice, CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, CUDNN_TYPE_INT64, 1, &value);
  if (!status) status = cudnnBackendFinalize(choice);
  if (!status) status = cudnn_put(config, CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &choice);
  cudnn_drop(choice);
  return status;
}

/* Creates and finalizes a configuration of one engine for a graph; the tile is of the engine that has one. */
static cudnnStatus_t create_config(const cudnn_descriptor *heuristic, cudnn_descriptor *graph, const cudnn_engine *engine,
                                   int64_t tile, cudnn_descriptor **out) {
  cudnn_descriptor *device = cudnn_refer(heuristic, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP), *of = NULL;
  cudnnStatus_t status;
  CUDNN_TRY(cudnn_create(CUDNN_BACKEND_ENGINE_DESCRIPTOR, &of));
  status = cudnn_put(of, CUDNN_ATTR_ENGINE_OPERATION_GRAPH, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &graph);
  if (!status) status = cudnn_put(of, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1, &engine->index);
  if (!status && device) status = cudnn_put(of, CUDNN_ATTR_ENGINE_DEVICEPROP, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &device);
  if (!status) status = cudnnBackendFinalize(of);
  if (!status) status = cudnn_create(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, out);
  if (!status) {
    status = cudnn_put(*out, CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &of);
    if (!status && engine->tf32) status = put_choice(*out, tile);
    if (!status) status = cudnnBackendFinalize(*out);
    if (status) cudnn_drop(*out);
  }
  cudnn_drop(of);
  return status;
}

static long asked; /* heuristics, since the last handle was made */

void cudnn_count_anew(void) {
  asked = 0;
}

static bool is_refused(void) {
  long first = emulator_number("cudnn_refuse", 0);
  return ++asked >= first && first > 0;
}

cudnnStatus_t cudnn_finalize_heuristic(cudnn_descriptor *heuristic) {
  cudnn_descriptor *graph = cudnn_refer(heuristic, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH), *config[16];
  cudnnStatus_t status = CUDNN_STATUS_SUCCESS;
  cudnn_problem problem;
  int count = 0;
  CUDNN_NEED(graph && graph->type == CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, CUDNN_STATUS_BAD_PARAM);
  CUDNN_NEED(cudnn_find(heuristic, CUDNN_ATTR_ENGINEHEUR_MODE) != NULL, CUDNN_STATUS_BAD_PARAM);
  if (cudnn_understand(graph, &problem) && knows_device(heuristic, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, graph) && !is_refused()) {
    for (int i = 0; i < cudnn_engine_count && !status; i++) {
      if (!cudnn_supports(&cudnn_engines[i], &problem)) continue;
      for (int k = 0; k < (cudnn_engines[i].tf32 ? TILES : 1) && !status; k++) {
        status = create_config(heuristic, graph, &cudnn_engines[i], tiles[k], &config[count]);
        count += status == CUDNN_STATUS_SUCCESS;
      }
    }
  }
  if (!status) {
    status = cudnn_put(heuristic, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, count, config);
  }
  for (int i = 0; i < count; i++) cudnn_drop(config[i]);
  return status;
}

const cudnn_engine *cudnn_engine_of(const cudnn_descriptor *engine) {
  int64_t index = cudnn_int64(engine, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, -1);
  for (int i = 0; i < cudnn_engine_count; i++) {
    if (cudnn_engines[i].index == index) return &cudnn_engines[i];
  }
  return NULL;
}

cudnnStatus_t cudnn_finalize_engine(cudnn_descriptor *engine) {
  const cudnn_descriptor *graph = cudnn_refer(engine, CUDNN_ATTR_ENGINE_OPERATION_GRAPH);
  const cudnn_engine *of = cudnn_engine_of(engine);
  cudnnBackendBehaviorNote_t behavior = CUDNN_BEHAVIOR_NOTE_SUPPORTS_CUDA_GRAPH_NATIVE_API;
  cudnn_problem problem;
  CUDNN_NEED(graph && graph->type == CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, CUDNN_STATUS_BAD_PARAM);
  CUDNN_NEED(of != NULL, CUDNN_STATUS_NOT_SUPPORTED);
  CUDNN_NEED(knows_device(engine, CUDNN_ATTR_ENGINE_DEVICEPROP, graph), CUDNN_STATUS_NOT_SUPPORTED_ARCH_MISMATCH);
  CUDNN_NEED(cudnn_understand(graph, &problem) && cudnn_supports(of, &problem), CUDNN_STATUS_NOT_SUPPORTED);
  CUDNN_TRY(cudnn_put(engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE, of->note_count, of->note));
  return cudnn_put(engine, CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE, CUDNN_TYPE_BEHAVIOR_NOTE, 1, &behavior);
}

cudnnStatus_t cudnn_finalize_choice(cudnn_descriptor *choice) {
  int type = cudnn_enum(choice, CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, -1);
  CUDNN_NEED(type >= 0 && type < CUDNN_KNOB_TYPE_COUNTS, CUDNN_STATUS_BAD_PARAM);
  return CUDNN_STATUS_SUCCESS;
}

int64_t cudnn_tile(const cudnn_descriptor *config) {
  const cudnn_descriptor *choice = cudnn_refer(config, CUDNN_ATTR_ENGINECFG_KNOB_CHOICES);
  return choice ? cudnn_int64(choice, CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, -1) : -1;
}

/* An engine knows its knobs, and what they may be. */
static bool knobs_fit(const cudnn_engine *engine, const cudnn_descriptor *config) {
  const cudnn_attribute *choices = cudnn_find(config, CUDNN_ATTR_ENGINECFG_KNOB_CHOICES);
  if (!choices || choices->count == 0) return true;
  const cudnn_descriptor *choice = *(cudnn_descriptor **)choices->value;
  bool tile = cudnn_enum(choice, CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, -1) == KNOB_TILE_SIZE;
  return engine->tf32 && choices->count == 1 && tile && (cudnn_tile(config) == tiles[0] || cudnn_tile(config) == tiles[1]);
}

cudnnStatus_t cudnn_finalize_config(cudnn_descriptor *config) {
  const cudnn_descriptor *engine = cudnn_refer(config, CUDNN_ATTR_ENGINECFG_ENGINE);
  cudnn_problem problem;
  CUDNN_NEED(engine && engine->type == CUDNN_BACKEND_ENGINE_DESCRIPTOR, CUDNN_STATUS_BAD_PARAM);
  CUDNN_NEED(knobs_fit(cudnn_engine_of(engine), config), CUDNN_STATUS_BAD_PARAM);
  cudnn_understand(cudnn_refer(engine, CUDNN_ATTR_ENGINE_OPERATION_GRAPH), &problem);
  int64_t bytes = cudnn_workspace(cudnn_engine_of(engine), &problem);
  return cudnn_put(config, CUDNN_ATTR_ENGINECFG_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &bytes);
}

cudnnStatus_t cudnn_finalize_plan(cudnn_descriptor *plan) {
  const cudnn_descriptor *config = cudnn_refer(plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG);
  static long plans;
  char json[256];
  CUDNN_NEED(++plans != emulator_number("cudnn_fail", 0), CUDNN_STATUS_EXECUTION_FAILED_CUDART);
  CUDNN_NEED(config && config->type == CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, CUDNN_STATUS_BAD_PARAM);
  const cudnn_engine *engine = cudnn_engine_of(cudnn_refer(config, CUDNN_ATTR_ENGINECFG_ENGINE));
  CUDNN_NEED(engine->index != emulator_number("cudnn_broken", -1), CUDNN_STATUS_INTERNAL_ERROR);
  int64_t bytes = cudnn_int64(config, CUDNN_ATTR_ENGINECFG_WORKSPACE_SIZE, 0);
  int length = snprintf(json, sizeof json, "{\"version\":\"emulated\",\"engine\":%lld,\"name\":\"%s\",\"workspace\":%lld}",
                        (long long)engine->index, engine->name, (long long)bytes);
  CUDNN_TRY(cudnn_put(plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &bytes));
  return cudnn_put(plan, CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, length, json);
}

cudnnStatus_t cudnn_finalize_pack(cudnn_descriptor *pack) {
  const cudnn_attribute *ids = cudnn_find(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS);
  const cudnn_attribute *pointers = cudnn_find(pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS);
  CUDNN_NEED(ids && pointers && ids->count == pointers->count, CUDNN_STATUS_BAD_PARAM);
  return CUDNN_STATUS_SUCCESS;
}

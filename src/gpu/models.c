/* Models of GPU that plans can be made for without one: the device properties that cuDNN 9 reads as JSON (all 23 keys are
 * required) as NVIDIA's data sheets and the drivers of such machines give them. Engines depend on deviceVer, the number of
 * multiprocessors and the sizes of shared memory; clocks only weigh one engine against another. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "gpu/gpu.h"

#define LIMITS                                                                                    \
  "\"driverVer\":13000,\"maxGridSize\":[2147483647,65535,65535],\"maxBlockSize\":[1024,1024,64]," \
  "\"regsPerBlock\":65536,\"warpSize\":32,\"maxSharedMemoryPerBlock\":49152,"                     \
  "\"reservedSharedMemoryPerBlock\":1024,\"maxRegistersPerSM\":65536,\"maxCtasPerSM\":32,"        \
  "\"maxThreadsPerBlock\":1024,\"maxThreadsPerSM\":2048,\"pciDeviceId\":0,\"cudaDeviceId\":0,"    \
  "\"isTccDriver\":0,\"supportCoopLaunch\":1"
#define TEXT(number) #number
/* name, title, compute capability, multiprocessors, clocks of multiprocessors and memory in kHz, bytes of L2, most shared
 * memory of a block, device memory */
#define MODEL(word, device, capability, count, clock, memory_clock, l2, shared, memory)                                  \
  {                                                                                                                      \
    .name = word, .title = device, .compute_capability = capability, .multiprocessors = count, .memory_bytes = memory, \
    .json = "{\"deviceName\":\"" device "\",\"deviceVer\":" TEXT(capability) \
            ",\"multiProcessorCount\":" TEXT(count) ",\"smClockRateKHz\":" TEXT(clock) \
            ",\"memClockRateKHz\":" TEXT(memory_clock) ",\"l2CacheSize\":" TEXT(l2) \
            ",\"maxSharedMemoryPerBlockOptin\":" TEXT(shared) ",\"totalGlobalMem\":" TEXT(memory) "," LIMITS "}", \
  }

static const dt_gpu_model models[] = {
    MODEL("h200", "NVIDIA H200", 900, 132, 1980000, 3201000, 62914560, 232448, 150110011392),
    MODEL("h100", "NVIDIA H100 80GB HBM3", 900, 132, 1980000, 2619000, 52428800, 232448, 84929347584),
    MODEL("a100", "NVIDIA A100-SXM4-80GB", 800, 108, 1410000, 1593000, 41943040, 166912, 84987740160),
    MODEL("b200", "NVIDIA B200", 1000, 148, 1965000, 3996000, 132644864, 232448, 191501893632),
    {.name = NULL},
};

static void list_names(char *text, size_t room) {
  size_t length = 0;
  for (const dt_gpu_model *model = models; model->name != NULL && length < room; model++) {
    length += (size_t)snprintf(text + length, room - length, "%s%s", length > 0 ? ", " : "", model->name);
  }
}

dt_status dt_gpu_model_get(const char *name, const dt_gpu_model **out) {
  char known[160] = "";
  for (*out = models; (*out)->name != NULL; (*out)++) {
    if (strcasecmp((*out)->name, name) == 0) return DT_OK;
  }
  list_names(known, sizeof known);
  DT_RAISE(DT_USAGE, "--gpu: found \"%s\", expected one of %s", name, known);
}

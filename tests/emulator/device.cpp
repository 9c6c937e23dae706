/* The machine: its driver, its GPUs and which of them are visible. */
#include <unistd.h>
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "internal.h"

namespace {

thread_local int current = 0;

/* The same on every rank of a host: from the host's name and the index. */
cudaUUID_t uuid_of(int index) {
  char host[256] = "";
  gethostname(host, sizeof host - 1);
  cudaUUID_t uuid;
  uint64_t hash[2] = {0xcbf29ce484222325ull, 0x9ae16a3b2f90404full};
  for (const char *p = host; *p; p++) {
    for (uint64_t &h : hash) h = (h ^ (unsigned char)*p) * 0x100000001b3ull;
  }
  for (uint64_t &h : hash) h = (h ^ (unsigned)index) * 0x100000001b3ull;
  memcpy(uuid.bytes, hash, sizeof uuid.bytes);
  return uuid;
}

/* As nvidia-smi writes it. */
std::string uuid_text(int index) {
  const cudaUUID_t uuid = uuid_of(index);
  std::string text = "GPU";
  char pair[3];
  for (int i = 0; i < 16; i++) {
    if (i == 0 || i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    snprintf(pair, sizeof pair, "%02x", (unsigned char)uuid.bytes[i]);
    text += pair;
  }
  return text;
}

/* The GPU whose UUID, and no other's, begins with `text`; -1 where there is none. */
int find_uuid(const std::string &text, int devices) {
  int found = -1;
  for (int i = 0; i < devices; i++) {
    if (uuid_text(i).compare(0, text.size(), text) != 0) continue;
    if (found >= 0) return -1;
    found = i;
  }
  return found;
}

/* Digits count as far as they go: "1gpu" is 1. */
int find_index(const std::string &text, int devices) {
  char *end;
  long index = strtol(text.c_str(), &end, 10);
  return end == text.c_str() || index < 0 || index >= devices ? -1 : (int)index;
}

/* Indices of the machine's GPUs that CUDA_VISIBLE_DEVICES leaves, in its order. The first item says whether all are UUIDs or
 * all indices. What is no GPU ends the list, and one that is named twice leaves no GPU at all. */
std::vector<int> find_visible() {
  int devices = (int)emulator_number("devices", 1);
  std::vector<int> visible;
  const char *text = getenv("CUDA_VISIBLE_DEVICES");
  if (!text) {
    for (int i = 0; i < devices; i++) visible.push_back(i);
    return visible;
  }
  const bool uuids = !strncmp(text, "GPU-", 4);
  std::string rest = text;
  while (!rest.empty()) {
    size_t comma = rest.find(',');
    std::string item = rest.substr(0, comma);
    int index = uuids ? find_uuid(item, devices) : find_index(item, devices);
    if (index < 0 || item.empty()) break;
    if (std::find(visible.begin(), visible.end(), index) != visible.end()) return {};
    visible.push_back(index);
    rest = comma == std::string::npos ? "" : rest.substr(comma + 1);
  }
  return visible;
}

const std::vector<int> &visible_devices() {
  static const auto &visible = *new std::vector<int>(find_visible());
  return visible;
}

cudaDeviceProp properties_of(int index) {
  cudaDeviceProp p = {};
  snprintf(p.name, sizeof p.name, "Emulated GPU");
  p.uuid = uuid_of(index);
  p.totalGlobalMem = (size_t)emulator_number("memory", 8L << 30);
  p.sharedMemPerBlock = 48 << 10;
  p.sharedMemPerMultiprocessor = 228 << 10;
  p.regsPerBlock = p.regsPerMultiprocessor = 65536;
  p.warpSize = 32;
  p.maxThreadsPerBlock = 1024;
  p.maxThreadsDim[0] = p.maxThreadsDim[1] = 1024;
  p.maxThreadsDim[2] = 64;
  p.maxGridSize[0] = INT32_MAX;
  p.maxGridSize[1] = p.maxGridSize[2] = 65535;
  p.major = (int)emulator_number("capability", 90) / 10;
  p.minor = (int)emulator_number("capability", 90) % 10;
  p.multiProcessorCount = (int)emulator_number("multiprocessors", 8);
  p.concurrentKernels = p.ECCEnabled = p.unifiedAddressing = 1;
  p.pciBusID = 0x10 + index;
  p.asyncEngineCount = 3;
  p.memoryBusWidth = 5120;
  p.l2CacheSize = (int)emulator_cache_bytes();
  p.maxThreadsPerMultiProcessor = 2048;
  return p;
}

/* NULL where there is no device of that index. */
cudaError_t find_device(int device, cudaDeviceProp *p) {
  if (cudaError_t error = emulated::device_error()) return error;
  if (device < 0 || (size_t)device >= visible_devices().size()) return cudaErrorInvalidDevice;
  *p = properties_of(visible_devices()[(size_t)device]);
  return cudaSuccess;
}

}  // namespace

namespace emulated {

int current_device() {
  return current;
}

cudaError_t device_error() {
  const char *driver = emulator_text("driver");
  if (driver && !strcmp(driver, "nodevice")) return cudaErrorNoDevice;
  if (driver && !strcmp(driver, "notready")) return cudaErrorSystemNotReady;
  if (driver && !strcmp(driver, "mismatch")) return cudaErrorSystemDriverMismatch;
  if (driver && !strcmp(driver, "compat")) return cudaErrorCompatNotSupportedOnDevice;
  if (driver) return cudaErrorInsufficientDriver;
  return visible_devices().empty() ? cudaErrorNoDevice : cudaSuccess;
}

}  // namespace emulated

using emulated::keep_error;

extern "C" {

cudaError_t cudaDriverGetVersion(int *version) {
  const char *driver = emulator_text("driver");
  *version = driver && !strcmp(driver, "none") ? 0 : driver && !strcmp(driver, "old") ? 12080 : CUDART_VERSION;
  return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}

/* Like CUDA's, leaves count as it is where there is no driver. */
cudaError_t cudaGetDeviceCount(int *count) {
  cudaError_t error = emulated::device_error();
  if (error != cudaErrorInsufficientDriver) *count = error ? 0 : (int)visible_devices().size();
  return keep_error(error);
}

/* Makes the context, which a GPU in exclusive mode has room for only once. */
cudaError_t cudaSetDevice(int device) {
  cudaDeviceProp p;
  cudaError_t error = find_device(device, &p);
  if (!error && emulator_number("busy", 0)) error = cudaErrorDevicesUnavailable;
  if (!error) current = device;
  return keep_error(error);
}

cudaError_t cudaGetDevice(int *device) {
  cudaError_t error = emulated::device_error();
  if (!error) *device = current;
  return keep_error(error);
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *properties, int device) {
  return keep_error(find_device(device, properties));
}

cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attribute, int device) {
  cudaDeviceProp p;
  if (cudaError_t error = find_device(device, &p)) return keep_error(error);
  switch (attribute) {
    case cudaDevAttrMaxThreadsPerBlock:
      *value = p.maxThreadsPerBlock;
      break;
    case cudaDevAttrMaxSharedMemoryPerBlock:
      *value = (int)p.sharedMemPerBlock;
      break;
    case cudaDevAttrWarpSize:
      *value = p.warpSize;
      break;
    case cudaDevAttrClockRate:
      *value = 1980000;
      break;
    case cudaDevAttrMultiProcessorCount:
      *value = p.multiProcessorCount;
      break;
    case cudaDevAttrPciBusId:
      *value = p.pciBusID;
      break;
    case cudaDevAttrPciDeviceId:
      *value = p.pciDeviceID;
      break;
    case cudaDevAttrPciDomainId:
      *value = p.pciDomainID;
      break;
    case cudaDevAttrMemoryClockRate:
      *value = 2619000;
      break;
    case cudaDevAttrGlobalMemoryBusWidth:
      *value = p.memoryBusWidth;
      break;
    case cudaDevAttrL2CacheSize:
      *value = p.l2CacheSize;
      break;
    case cudaDevAttrMaxThreadsPerMultiProcessor:
      *value = p.maxThreadsPerMultiProcessor;
      break;
    case cudaDevAttrUnifiedAddressing:
      *value = p.unifiedAddressing;
      break;
    case cudaDevAttrComputeCapabilityMajor:
      *value = p.major;
      break;
    case cudaDevAttrComputeCapabilityMinor:
      *value = p.minor;
      break;
  }
  return cudaSuccess;
}

cudaError_t cudaDeviceGetStreamPriorityRange(int *least, int *greatest) {
  *least = 0;
  *greatest = -5;
  return keep_error(emulated::device_error());
}

cudaError_t cudaDeviceGetPCIBusId(char *id, int bytes, int device) {
  cudaDeviceProp p;
  if (cudaError_t error = find_device(device, &p)) return keep_error(error);
  snprintf(id, (size_t)bytes, "%04X:%02X:%02X.0", (unsigned)p.pciDomainID, (unsigned)p.pciBusID, (unsigned)p.pciDeviceID);
  return cudaSuccess;
}
}

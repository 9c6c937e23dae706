/* What CUDA and its libraries take of a GPU's memory beside what dtrain asks for. None of them tells beforehand, so these are
 * allowances, with room to spare over what others have reported; what a run has found is in its run.json.
 *
 * context   made with the first call; it grows with the number of multiprocessors. CUDA 13 on one of 142: 426 MiB.
 * eager     CUDA_MODULE_LOADING=EAGER: all kernels of all libraries, needed or not. Our estimate, by the size of their files.
 * code      kernels that libraries load when they first run, the recorded step, and the 2 MiB in which memory is handed out.
 * NCCL      a communicator: proxies, rings, trees, NVLink SHARP. On eight H100, context included: 1.1 GB.
 * a peer    sends and receives between two GPUs: 32 channels, each with a buffer of 10 MiB and one of 2 MiB, made when the
 *           two first meet. Peers on other hosts share a buffer, so that a host's seven are the most that count. */
#include <stdlib.h>
#include <string.h>

#include "comm/comm.h"
#include "gpu/gpu.h"

enum { CONTEXT_MIB = 640, EAGER_MIB = 1024, CODE_MIB = 256, NCCL_MIB = 1024, PEER_MIB = 32 * (10 + 2), PEERS_MAX = 7 };

static size_t nccl_mib(const dt_reducer_options *options) {
  const int others = options->tree->size - 1, peers = others < PEERS_MAX ? others : PEERS_MAX;
  return NCCL_MIB + (options->mode == DT_REDUCE_FAST ? 0 : (size_t)peers * PEER_MIB);
}

static bool loads_eagerly(void) {
  const char *loading = getenv("CUDA_MODULE_LOADING");
  return loading != NULL && strcmp(loading, "EAGER") == 0;
}

/* On a device that is there the context has been made before anyone asks what is free. */
size_t dt_gpu_library_bytes(const dt_device *device, const dt_reducer_options *options) {
  size_t mib = CODE_MIB + (loads_eagerly() ? EAGER_MIB : 0);
  if (((const dt_gpu *)device)->index < 0) mib += CONTEXT_MIB;
  if (options != NULL && dt_gpu_reduces_over_nccl(options)) mib += nccl_mib(options);
  return mib << 20;
}

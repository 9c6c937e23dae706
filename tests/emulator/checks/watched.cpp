/* What the watch over kernels' accesses (watch.cpp) lets pass, and what it ends the process for. This file is compiled as it
 * asks for. Every case runs in a process of its own, under several seeds.
 *
 * emulator_watched [NAME]: all cases, or one in this process, for a debugger. */
#include <sys/wait.h>
#include <unistd.h>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "emulator.h"

namespace {

constexpr unsigned blocks = 6, threads = 64;

/* What a kernel works on: partial[blocks][threads], and one counter. */
struct memory {
  float *partial, *out;
  unsigned *counter;
};

/* --- handing over between blocks --- */

enum flaw { NONE, NO_FENCE, FENCE_BEFORE_WRITES, ONE_FENCE_NO_BARRIER, NO_ATOMIC, NO_FENCE_BEHIND };

/* Every block writes its part, and the last one adds all of them up. */
template <flaw FLAW, bool EACH>
__global__ void last_block(memory m) {
  __shared__ bool last;
  const unsigned t = threadIdx.x;
  if (FLAW == FENCE_BEFORE_WRITES) __threadfence();
  m.partial[blockIdx.x * threads + t] = (float)(blockIdx.x + t);
  if (EACH && FLAW != NO_FENCE && FLAW != FENCE_BEFORE_WRITES) __threadfence();
  if (FLAW != ONE_FENCE_NO_BARRIER) __syncthreads();
  if (t == 0) {
    if (!EACH && FLAW != NO_FENCE && FLAW != FENCE_BEFORE_WRITES) __threadfence();
    last = FLAW == NO_ATOMIC ? blockIdx.x == 0 : atomicAdd(m.counter, 1u) + 1 == gridDim.x;
    if (!EACH && FLAW != NO_FENCE_BEHIND) __threadfence();
  }
  __syncthreads();
  if (!last) return;
  if (EACH && FLAW != NO_FENCE_BEHIND) __threadfence();
  float sum = 0;
  for (unsigned b = 0; b < gridDim.x; b++) sum += m.partial[b * threads + t];
  m.out[t] = sum;
  if (t == 0 && FLAW != NO_ATOMIC) *m.counter = 0;
}
__global__ void same_place(memory m) {
  m.out[0] = (float)blockIdx.x;
}
__global__ void neighbours(memory m) {
  if (threadIdx.x > 0) return;
  m.out[blockIdx.x] = m.partial[(blockIdx.x + 1) % gridDim.x];
  m.partial[blockIdx.x] = 1;
}
__global__ void apart(memory m) {
  m.partial[blockIdx.x * threads + threadIdx.x] = m.out[threadIdx.x];
}

/* --- within a block --- */

template <bool BARRIER>
__global__ void turn(memory m) {
  __shared__ float store[threads];
  store[threadIdx.x] = (float)threadIdx.x;
  if (BARRIER) __syncthreads();
  m.partial[blockIdx.x * threads + threadIdx.x] = store[threads - 1 - threadIdx.x];
}
/* A tree whose last barrier, between reading a sum and the next round's writing, may be missing. */
template <bool BARRIER>
__global__ void rounds(memory m) {
  __shared__ float store[threads];
  float total = 0;
  for (int round = 0; round < 2; round++) {
    store[threadIdx.x] = 1;
    __syncthreads();
    for (unsigned half = threads / 2; half > 0; half /= 2) {
      if (threadIdx.x < half) store[threadIdx.x] += store[threadIdx.x + half];
      __syncthreads();
    }
    total += store[0];
    if (BARRIER) __syncthreads();
  }
  m.partial[blockIdx.x * threads + threadIdx.x] = total;
}
template <bool SYNC>
__global__ void within_warp(memory m) {
  __shared__ float store[threads];
  store[threadIdx.x] = 1;
  if (SYNC) {
    __syncwarp();
  } else {
    __shfl_sync(0xffffffffu, 0, 0);
  }
  m.partial[blockIdx.x * threads + threadIdx.x] = store[threadIdx.x ^ 1];
}
template <bool BARRIER>
__global__ void through_memory(memory m) {
  float *own = m.partial + blockIdx.x * threads;
  own[threadIdx.x] = 1;
  if (BARRIER) __syncthreads();
  const float value = own[(threadIdx.x + 1) % threads];
  if (BARRIER) __syncthreads();
  own[threadIdx.x] = value;
}

/* --- the read-only cache --- */

template <bool WRITES>
__global__ void read_only(memory m) {
  const unsigned i = blockIdx.x * threads + threadIdx.x;
  const float value = __ldg(m.partial + i);
  (WRITES ? m.partial : m.partial + blocks * threads)[i] = value + 1;
}
__global__ void read_only_late(memory m) {
  const unsigned i = blockIdx.x * threads + threadIdx.x;
  m.partial[i] = 1;
  __syncthreads();
  m.partial[blocks * threads + i] = __ldg(m.partial + i);
}

template <void (*kernel)(memory)>
bool launch() {
  memory m;
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(blocks), config.blockDim = dim3(threads);
  if (cudaMalloc(&m.partial, 2 * blocks * threads * sizeof *m.partial) || cudaMalloc(&m.out, threads * sizeof *m.out) ||
      cudaMalloc(&m.counter, sizeof *m.counter) || cudaMemset(m.counter, 0, sizeof *m.counter)) {
    return false;
  }
  /* Twice: a launch does not see the other's accesses. */
  for (int i = 0; i < 2; i++) {
    if (cudaLaunchKernelEx(&config, kernel, m)) return false;
  }
  return cudaDeviceSynchronize() == cudaSuccess;
}

struct test {
  const char *name;
  bool (*body)();
  const char *text; /* that the process ends with; NULL: it ends well */
};
const test tests[] = {
    {"last block, each thread's fence", launch<last_block<NONE, true>>, nullptr},
    {"last block, one thread's fence", launch<last_block<NONE, false>>, nullptr},
    {"no fence", launch<last_block<NO_FENCE, true>>, "nothing hands it over"},
    {"no fence of the one thread", launch<last_block<NO_FENCE, false>>, "nothing hands it over"},
    {"fence before the writes", launch<last_block<FENCE_BEFORE_WRITES, true>>, "nothing hands it over"},
    {"one thread's fence without a barrier", launch<last_block<ONE_FENCE_NO_BARRIER, false>>, "nothing hands it over"},
    {"no atomic", launch<last_block<NO_ATOMIC, true>>, "in the same launch"},
    {"no fence behind the atomic", launch<last_block<NO_FENCE_BEHIND, true>>, "nothing hands it over"},
    {"no fence of the one thread behind the atomic", launch<last_block<NO_FENCE_BEHIND, false>>, "nothing hands it over"},
    {"two blocks write a place", launch<same_place>, "writes memory that thread"},
    {"a block writes what another reads", launch<neighbours>, "in the same launch"},
    {"blocks apart", launch<apart>, nullptr},
    {"barrier", launch<turn<true>>, nullptr},
    {"missing barrier", launch<turn<false>>, "shared memory that thread"},
    {"rounds", launch<rounds<true>>, nullptr},
    {"rounds without the last barrier", launch<rounds<false>>, "no barrier stands between"},
    {"__syncwarp", launch<within_warp<true>>, nullptr},
    {"a shuffle in its place", launch<within_warp<false>>, "no barrier stands between"},
    {"barrier for device memory", launch<through_memory<true>>, nullptr},
    {"missing barrier for device memory", launch<through_memory<false>>, "no barrier stands between"},
    {"read-only cache", launch<read_only<false>>, nullptr},
    {"read-only cache, then written", launch<read_only<true>>, "reads through the read-only cache"},
    {"written, then read-only cache", launch<read_only_late>, "read through the read-only cache"},
};

/* What a process of its own prints, and whether it ended well. */
std::string run(const test &t, int seed, bool *ended_well) {
  int ends[2], status = 0;
  fflush(stdout);
  if (pipe(ends)) abort();
  pid_t child = fork();
  if (!child) {
    dup2(ends[1], 2);
    close(ends[0]);
    setenv("DTRAIN_EMULATED_GPU", ("seed=" + std::to_string(seed)).c_str(), 1);
    alarm(60);
    _exit(t.body() ? 0 : 1);
  }
  close(ends[1]);
  std::string text;
  char part[512];
  for (ssize_t got; (got = read(ends[0], part, sizeof part)) > 0;) text.append(part, (size_t)got);
  close(ends[0]);
  waitpid(child, &status, 0);
  *ended_well = WIFEXITED(status) && WEXITSTATUS(status) == 0;
  return text;
}

bool judge(const test &t) {
  for (int seed = 0; seed < 5; seed++) {
    bool ended_well;
    const std::string text = run(t, seed, &ended_well);
    if (ended_well == !t.text && (!t.text || text.find(t.text) != std::string::npos)) continue;
    printf("FAIL %s, seed %d: expected %s, found %s\n", t.name, seed, t.text ? t.text : "a good end", text.c_str());
    return false;
  }
  printf("ok   %s\n", t.name);
  return true;
}

}  // namespace

int main(int argc, char **argv) {
  int failed = 0;
  for (const test &t : tests) {
    if (argc > 1 && strcmp(argv[1], t.name) != 0) continue;
    if (argc > 1) return t.body() ? 0 : 1;
    failed += !judge(t);
  }
  printf("%zu cases, %d failed\n", sizeof tests / sizeof *tests, failed);
  return failed ? 1 : 0;
}

/* Neighbouring elements that a thread reads and writes in one access. */
#ifndef DT_GPU_PACK_CUH
#define DT_GPU_PACK_CUH

#include <string.h>

#include "gpu/kernel.cuh"

template <class T, int V>
struct alignas(sizeof(T) * V) dt_pack {
  T item[V];
};

/* Elements of the widest access. */
template <class T>
constexpr int dt_pack_width = 16 / (int)sizeof(T);

/* V elements at a multiple of V, as floats. */
template <int V, class T>
static inline __device__ void dt_read(const T *from, float (&to)[V]) {
  dt_pack<T, V> pack = *reinterpret_cast<const dt_pack<T, V> *>(from);
  for (int v = 0; v < V; v++) to[v] = dt_to_float(pack.item[v]);
}
template <int V, class T>
static inline __device__ void dt_write(T *to, const float (&from)[V]) {
  dt_pack<T, V> pack;
  for (int v = 0; v < V; v++) pack.item[v] = dt_from_float<T>(from[v]);
  *reinterpret_cast<dt_pack<T, V> *>(to) = pack;
}

/* Registers for packs: words, or half ones for a single element of 16 bits. */
template <int Rest>
struct dt_word {
  typedef uint16_t type;
};
template <>
struct dt_word<0> {
  typedef uint32_t type;
};

/* A pack that is read now and used later, so that a thread has several reads on their way. It stays in whole registers until it
 * is unpacked: the compiler would else give each element one of its own. */
template <class T, int V>
struct alignas(sizeof(T) * V) dt_fetched {
  typename dt_word<sizeof(T) * V % 4>::type word[sizeof(T) * V / sizeof(typename dt_word<sizeof(T) * V % 4>::type)];
};

template <int V, class T>
static inline __device__ dt_fetched<T, V> dt_fetch(const T *from) {
  return *reinterpret_cast<const dt_fetched<T, V> *>(from);
}
template <int V, class T>
static inline __device__ void dt_unpack(const dt_fetched<T, V> &fetched, float (&to)[V]) {
  dt_pack<T, V> pack;
  memcpy(&pack, &fetched, sizeof pack);
  for (int v = 0; v < V; v++) to[v] = dt_to_float(pack.item[v]);
}

/* All functions but relu are long and stand in functions of their own: inlined, the registers of the longest would be those of
 * every kernel that may end in one. */
[[maybe_unused]] static __noinline__ __device__ float dt_act_long_value(dt_act act, float x) {
  return number_act_value(&act, x);
}
[[maybe_unused]] static __noinline__ __device__ float dt_act_long_gradient(dt_act act, float g, float mask) {
  return number_act_gradient(&act, g, mask);
}

/* x = act(x). The choice stands outside of the loops: within, it would be made for each element, which costs more than reading
 * it does. */
template <int V>
static inline __device__ void dt_activate(const dt_act &act, float (&x)[V]) {
  if (act.kind == DT_ACT_RELU) {
    for (int v = 0; v < V; v++) x[v] = relu_value(x[v], act.param);
  } else if (act.kind != DT_ACT_NONE) {
    DT_UNROLL for (int v = 0; v < V; v++) x[v] = dt_act_long_value(act, x[v]);
  }
}
/* g = g * act'(mask), the mask being what the function's derivative is computed from. */
template <int V>
static inline __device__ void dt_mask(const dt_act &act, const float (&mask)[V], float (&g)[V]) {
  if (act.kind == DT_ACT_RELU) {
    for (int v = 0; v < V; v++) g[v] = relu_gradient(g[v], mask[v], act.param);
  } else if (act.kind != DT_ACT_NONE) {
    DT_UNROLL for (int v = 0; v < V; v++) g[v] = dt_act_long_gradient(act, g[v], mask[v]);
  }
}

/* A relu's mask as bits: a byte for each pack of dt_pack_width<T> elements, bit v for element v. What counts is the value as it
 * is written: one that rounds to zero has no gradient. */
template <class T, int V>
static inline __device__ uint8_t dt_bits_of(const float (&y)[V]) {
  unsigned bits = 0;
  for (int v = 0; v < V; v++) bits |= (dt_to_float(dt_from_float<T>(y[v])) > 0 ? 1u : 0u) << v;
  return (uint8_t)bits;
}
template <int V>
static inline __device__ void dt_mask_bits(unsigned bits, float (&g)[V]) {
  for (int v = 0; v < V; v++) g[v] = (bits >> v & 1) != 0 ? g[v] : 0;
}

#endif

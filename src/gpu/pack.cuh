/* Neighbouring elements that a thread reads and writes in one access. */
#ifndef DT_GPU_PACK_CUH
#define DT_GPU_PACK_CUH

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

#endif

/* The vector types of CUDA that the gpu device uses, with CUDA's alignment. */
#ifndef DT_EMULATED_VECTOR_TYPES_H
#define DT_EMULATED_VECTOR_TYPES_H

#define EMULATED_VECTORS(scalar, type, name)                             \
  typedef struct __attribute__((aligned(2 * sizeof(type)))) {            \
    type x, y;                                                           \
  } name##2;                                                             \
  typedef struct {                                                       \
    type x, y, z;                                                        \
  } name##3;                                                             \
  typedef struct __attribute__((aligned(16))) {                          \
    type x, y, z, w;                                                     \
  } name##4;                                                             \
  static inline name##2 make_##name##2(type x, type y) {                 \
    name##2 v = {x, y};                                                  \
    return v;                                                            \
  }                                                                      \
  static inline name##3 make_##name##3(type x, type y, type z) {         \
    name##3 v = {x, y, z};                                               \
    return v;                                                            \
  }                                                                      \
  static inline name##4 make_##name##4(type x, type y, type z, type w) { \
    name##4 v = {x, y, z, w};                                            \
    return v;                                                            \
  }
EMULATED_VECTORS(float, float, float)
EMULATED_VECTORS(int, int, int)
EMULATED_VECTORS(uint, unsigned int, uint)
#undef EMULATED_VECTORS

typedef struct __attribute__((aligned(16))) {
  double x, y;
} double2;
static inline double2 make_double2(double x, double y) {
  double2 v = {x, y};
  return v;
}
typedef struct __attribute__((aligned(4))) {
  unsigned char x, y, z, w;
} uchar4;
typedef struct __attribute__((aligned(8))) {
  unsigned short x, y, z, w;
} ushort4;

typedef struct dim3 {
  unsigned int x, y, z;
#ifdef __cplusplus
  constexpr dim3(unsigned int x_ = 1, unsigned int y_ = 1, unsigned int z_ = 1) : x(x_), y(y_), z(z_) {
  }
#endif
} dim3;

#endif

/* Inside the emulated cuDNN.
 *
 * A descriptor is a bag of attributes (cudnn_backend.c); finalizing one checks it as cuDNN does and adds what can be asked of
 * it afterwards as further attributes (cudnn_graph.c: tensors and operations; cudnn_engine.c: devices, heuristics, engines,
 * plans). A graph that engines can compute is brought into one form, a convolution, which cudnn_convolve.c computes. */
#ifndef DT_EMULATOR_CUDNN_BACKEND_H
#define DT_EMULATOR_CUDNN_BACKEND_H

#include <cudnn.h>
#include <stdbool.h>

#include "elements.h"

enum { CUDNN_ATTRIBUTES_MAX = 12 };

typedef struct cudnn_attribute {
  cudnnBackendAttributeName_t name;
  cudnnBackendAttributeType_t type;
  int64_t count;
  void *value; /* [count] of the type's size; descriptors are held */
} cudnn_attribute;

typedef struct cudnn_descriptor {
  cudnnBackendDescriptorType_t type;
  int holders; /* the user, and the descriptors that refer to it */
  bool finalized;
  int attribute_count;
  cudnn_attribute attribute[CUDNN_ATTRIBUTES_MAX];
} cudnn_descriptor;

/* Records the text of the thread's last error and returns status. */
cudnnStatus_t cudnn_fail(cudnnStatus_t status, const char *condition);
/* In functions that return cudnnStatus_t. */
#define CUDNN_NEED(condition, status)                          \
  do {                                                         \
    if (!(condition)) return cudnn_fail((status), #condition); \
  } while (0)
#define CUDNN_TRY(call)                                        \
  do {                                                         \
    cudnnStatus_t cudnn_try_ = (call);                         \
    if (cudnn_try_ != CUDNN_STATUS_SUCCESS) return cudnn_try_; \
  } while (0)

cudnnStatus_t cudnn_create(cudnnBackendDescriptorType_t type, cudnn_descriptor **out);
/* Lets go of a descriptor; the last holder frees it. */
void cudnn_drop(cudnn_descriptor *descriptor);
/* Stores a copy of count values, in place of what was there. */
cudnnStatus_t cudnn_put(cudnn_descriptor *descriptor, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                        int64_t count, const void *value);
/* NULL when it was not given. */
const cudnn_attribute *cudnn_find(const cudnn_descriptor *descriptor, cudnnBackendAttributeName_t name);
/* The first value of an attribute, or `otherwise`. */
int64_t cudnn_int64(const cudnn_descriptor *descriptor, cudnnBackendAttributeName_t name, int64_t otherwise);
int cudnn_enum(const cudnn_descriptor *descriptor, cudnnBackendAttributeName_t name, int otherwise); /* also INT32 */
double cudnn_real(const cudnn_descriptor *descriptor, cudnnBackendAttributeName_t name, double otherwise);
/* NULL when it was not given. */
cudnn_descriptor *cudnn_refer(const cudnn_descriptor *descriptor, cudnnBackendAttributeName_t name);

/* Checks by the type of descriptor. */
typedef cudnnStatus_t cudnn_finalizer(cudnn_descriptor *descriptor);
cudnn_finalizer cudnn_finalize_tensor, cudnn_finalize_convolution, cudnn_finalize_pointwise,
    cudnn_finalize_convolution_operation, cudnn_finalize_pointwise_operation, cudnn_finalize_graph, cudnn_finalize_device,
    cudnn_finalize_heuristic, cudnn_finalize_engine, cudnn_finalize_choice, cudnn_finalize_config, cudnn_finalize_plan,
    cudnn_finalize_pack;

typedef enum cudnn_direction { CUDNN_FORWARD, CUDNN_BACKWARD_DATA, CUDNN_BACKWARD_FILTER } cudnn_direction;

typedef struct cudnn_tensor {
  int64_t uid, alignment;
  element_type type;
  bool is_virtual;
  int64_t dim[4], stride[4]; /* [N, C, H, W]; filters [K, C / groups, R, S]; strides in elements */
} cudnn_tensor;

/* A graph as engines know it: a convolution in one direction, forward with bias and relu after it. */
typedef struct cudnn_problem {
  cudnn_direction direction;
  cudnn_tensor x, w, y;    /* or their gradients; y is what the graph's last operation gives */
  cudnn_tensor bias;       /* [1, K, 1, 1] */
  element_type between[2]; /* what the convolution's own output and the biased one are rounded to on the way */
  bool has_bias, has_relu;
  bool flipped; /* a true convolution: the filter is read from its end */
  int64_t stride[2], pad[2], dilation[2], groups;
  float alpha, beta; /* alpha times the sum plus beta times what was there */
} cudnn_problem;

/* Bytes from a tensor's first to behind its last element. */
int64_t cudnn_tensor_bytes(const cudnn_tensor *tensor);
/* Which tensor the problem writes. */
const cudnn_tensor *cudnn_output(const cudnn_problem *problem);
/* Fills a problem from a finalized graph; false when no engine knows such a graph. */
bool cudnn_understand(const cudnn_descriptor *graph, cudnn_problem *out);

/* A way to compute a problem. */
typedef struct cudnn_engine {
  int64_t index;
  const char *name;
  cudnnBackendNumericalNote_t note[2];
  int note_count;
  bool fused;              /* knows bias and relu */
  bool forward;            /* knows the forward direction */
  bool tf32;               /* floats are read with a short mantissa */
  bool turned;             /* sums are taken in another order */
  bool shuffled;           /* the order of sums differs from run to run */
  bool extra;              /* is there only where an option says so */
  bool copies;             /* widens its operands in the workspace */
  int64_t least_workspace; /* bytes */
} cudnn_engine;
extern const cudnn_engine cudnn_engines[];
extern const int cudnn_engine_count;
/* The value of a configuration's first knob, -1 without. */
int64_t cudnn_tile(const cudnn_descriptor *config);
const cudnn_engine *cudnn_engine_of(const cudnn_descriptor *engine);
bool cudnn_supports(const cudnn_engine *engine, const cudnn_problem *problem);
int64_t cudnn_workspace(const cudnn_engine *engine, const cudnn_problem *problem);

/* A handle is made: what options count begins again. */
void cudnn_count_anew(void);

/* Floats that x, w and y take when they are widened for cudnn_convolve. */
int64_t cudnn_operand_count(const cudnn_problem *problem);
/* Computes: pointers to the tensors x, w, y and bias. scratch: cudnn_operand_count floats. */
void cudnn_convolve(const cudnn_problem *problem, const cudnn_engine *engine, void *x, void *w, void *y, const void *bias,
                    float *scratch);

#endif

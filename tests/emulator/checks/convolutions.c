/* The emulated cuDNN against loops in double: every engine, direction and type, random shapes with groups, strides, pads and
 * dilations, bias and relu, alpha and beta. Engines without the note for nondeterminism give the same bits twice; the one with
 * tensor cores reads floats with a short mantissa. */
#include <cudnn.h>
#include <stdbool.h>

#include "check.h"

typedef enum direction { FORWARD, DATA, FILTER } direction;

typedef struct problem {
  direction direction;
  element_type type;
  int64_t n, c, h, w, k, r, s, p, q, groups;
  int64_t stride[2], pad[2], dilation[2];
  bool bias, relu;
  float alpha, beta;
  values x, filter, y, b; /* [n][h][w][c], [k][r][s][c / groups], [n][p][q][k], [k] */
} problem;

/* A shape whose output is not empty. */
static problem draw_problem(void) {
  problem p = {.direction = (direction)draw(0, 2), .type = (element_type)draw(0, 2), .n = draw(1, 3), .alpha = 1};
  p.groups = draw(0, 2) ? 1 : draw(2, 3);
  p.c = p.groups * draw(1, 9);
  p.k = p.groups * draw(1, 9);
  p.r = draw(1, 5);
  p.s = draw(1, 4);
  for (int i = 0; i < 2; i++) {
    p.stride[i] = draw(1, 3);
    p.pad[i] = draw(0, 3);
    p.dilation[i] = draw(0, 2) ? 1 : 2;
  }
  int64_t span_h = (p.r - 1) * p.dilation[0] + 1, span_w = (p.s - 1) * p.dilation[1] + 1;
  p.h = span_h + draw(0, 8);
  p.w = span_w + draw(0, 8);
  p.p = (p.h + 2 * p.pad[0] - span_h) / p.stride[0] + 1;
  p.q = (p.w + 2 * p.pad[1] - span_w) / p.stride[1] + 1;
  p.bias = p.direction == FORWARD && draw(0, 1);
  p.relu = p.bias && draw(0, 1);
  if (draw(0, 3) == 0) p.alpha = 0.5f;
  if (draw(0, 3) == 0 && !p.bias) p.beta = -0.25f;
  p.x = draw_values(p.type, p.n * p.h * p.w * p.c);
  p.filter = draw_values(p.type, p.k * p.r * p.s * (p.c / p.groups));
  p.y = draw_values(p.type, p.n * p.p * p.q * p.k);
  p.b = draw_values(p.type, p.k);
  return p;
}

static values *output_of(problem *p) {
  return p->direction == FORWARD ? &p->y : p->direction == DATA ? &p->x : &p->filter;
}

/* sum += the products, magnitude += their sizes, for one pair of places of input and output. */
static void add_pair(problem *p, int64_t x, int64_t w, int64_t y, double *sum, double *magnitude) {
  double value;
  int64_t at;
  if (p->direction == FORWARD) {
    value = (double)p->x.host[x] * p->filter.host[w];
    at = y;
  } else if (p->direction == DATA) {
    value = (double)p->y.host[y] * p->filter.host[w];
    at = x;
  } else {
    value = (double)p->x.host[x] * p->y.host[y];
    at = w;
  }
  sum[at] += value;
  magnitude[at] += fabs(value);
}

/* All pairs that meet, by the definition. */
static void add_all(problem *p, double *sum, double *magnitude) {
  int64_t of_group = p->c / p->groups, per_group = p->k / p->groups;
  for (int64_t n = 0; n < p->n; n++) {
    for (int64_t i = 0; i < p->p * p->q * p->r * p->s; i++) {
      int64_t s = i % p->s, r = i / p->s % p->r, q = i / p->s / p->r % p->q, row = i / p->s / p->r / p->q;
      int64_t h = row * p->stride[0] - p->pad[0] + r * p->dilation[0], w = q * p->stride[1] - p->pad[1] + s * p->dilation[1];
      if (h < 0 || h >= p->h || w < 0 || w >= p->w) continue;
      for (int64_t k = 0; k < p->k; k++) {
        for (int64_t c = 0; c < of_group; c++) {
          add_pair(p, ((n * p->h + h) * p->w + w) * p->c + k / per_group * of_group + c,
                   ((k * p->r + r) * p->s + s) * of_group + c, ((n * p->p + row) * p->q + q) * p->k + k, sum, magnitude);
        }
      }
    }
  }
}

/* The expected output, and what its error is measured by. */
static double *expected_of(problem *p, double **magnitude) {
  values *out = output_of(p);
  double *sum = calloc((size_t)out->count, sizeof *sum);
  *magnitude = calloc((size_t)out->count, sizeof **magnitude);
  add_all(p, sum, *magnitude);
  for (int64_t i = 0; i < out->count; i++) {
    sum[i] = p->alpha * sum[i] + p->beta * (double)out->host[i] + (p->bias ? p->b.host[i % p->k] : 0);
    if (p->relu && sum[i] < 0) sum[i] = 0;
    (*magnitude)[i] += 2;
  }
  return sum;
}

/* --- the graph --- */

static cudnnBackendDescriptor_t create(cudnnBackendDescriptorType_t type) {
  cudnnBackendDescriptor_t d;
  REQUIRE(cudnnBackendCreateDescriptor(type, &d) == CUDNN_STATUS_SUCCESS);
  return d;
}

static void set(cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t count,
                const void *value) {
  REQUIRE(cudnnBackendSetAttribute(d, name, type, count, value) == CUDNN_STATUS_SUCCESS);
}

/* Sets a descriptor and lets go of it: who refers to it keeps it. */
static void give(cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name, cudnnBackendDescriptor_t value) {
  set(d, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &value);
  REQUIRE(cudnnBackendDestroyDescriptor(value) == CUDNN_STATUS_SUCCESS);
}

static void finalize(cudnnBackendDescriptor_t d) {
  REQUIRE(cudnnBackendFinalize(d) == CUDNN_STATUS_SUCCESS);
}

static cudnnBackendDescriptor_t tensor(int64_t uid, element_type type, int64_t n, int64_t c, int64_t h, int64_t w,
                                       bool virtual) {
  static const cudnnDataType_t types[] = {
      [ELEMENT_F32] = CUDNN_DATA_FLOAT, [ELEMENT_F16] = CUDNN_DATA_HALF, [ELEMENT_BF16] = CUDNN_DATA_BFLOAT16};
  cudnnBackendDescriptor_t d = create(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  int64_t dim[4] = {n, c, h, w}, stride[4] = {h * w * c, 1, w * c, c}, alignment = 4;
  set(d, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &uid);
  set(d, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &types[type]);
  set(d, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, dim);
  set(d, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, stride);
  set(d, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &alignment);
  set(d, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &virtual);
  finalize(d);
  return d;
}

static cudnnBackendDescriptor_t convolution_of(const problem *p) {
  cudnnBackendDescriptor_t d = create(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
  cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
  cudnnDataType_t compute = CUDNN_DATA_FLOAT;
  int64_t spatial = 2;
  set(d, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &compute);
  set(d, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode);
  set(d, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, &spatial);
  set(d, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, 2, p->pad);
  set(d, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, 2, p->pad);
  set(d, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 2, p->dilation);
  set(d, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, 2, p->stride);
  finalize(d);
  return d;
}

static cudnnBackendDescriptor_t pointwise(cudnnPointwiseMode_t mode, cudnnBackendDescriptor_t x, cudnnBackendDescriptor_t b,
                                          cudnnBackendDescriptor_t y) {
  cudnnBackendDescriptor_t how = create(CUDNN_BACKEND_POINTWISE_DESCRIPTOR),
                           d = create(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
  set(how, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode);
  finalize(how);
  give(d, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, how);
  give(d, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x);
  if (b) give(d, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, b);
  set(d, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &y);
  finalize(d);
  return d;
}

typedef struct names {
  cudnnBackendDescriptorType_t type;
  cudnnBackendAttributeName_t convolution, x, w, y, alpha, beta;
} names;
static const names names_of[] = {
    [FORWARD] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
                 CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
                 CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
                 CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA},
    [DATA] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA},
    [FILTER] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA},
};

enum { ID_X = 11, ID_W, ID_BIAS, ID_Y, ID_SUM, ID_BIASED };

/* The operations of a problem; the last one gives the tensor ID_Y. */
static cudnnBackendDescriptor_t graph_of(const problem *p) {
  const names *n = &names_of[p->direction];
  cudnnBackendDescriptor_t operation = create(n->type), y = tensor(ID_Y, p->type, p->n, p->k, p->p, p->q, false), ops[3], graph;
  cudnnBackendDescriptor_t sum = p->bias ? tensor(ID_SUM, ELEMENT_F32, p->n, p->k, p->p, p->q, true) : NULL, biased = y;
  int count = 1;
  give(operation, n->convolution, convolution_of(p));
  give(operation, n->x, tensor(ID_X, p->type, p->n, p->c, p->h, p->w, false));
  give(operation, n->w, tensor(ID_W, p->type, p->k, p->c / p->groups, p->r, p->s, false));
  set(operation, n->y, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, sum ? &sum : &y);
  set(operation, n->alpha, CUDNN_TYPE_FLOAT, 1, &p->alpha);
  set(operation, n->beta, CUDNN_TYPE_FLOAT, 1, &p->beta);
  finalize(operation);
  ops[0] = operation;
  if (p->relu) biased = tensor(ID_BIASED, ELEMENT_F32, p->n, p->k, p->p, p->q, true);
  if (p->bias) ops[count++] = pointwise(CUDNN_POINTWISE_ADD, sum, tensor(ID_BIAS, p->type, 1, p->k, 1, 1, false), biased);
  if (p->relu) ops[count++] = pointwise(CUDNN_POINTWISE_RELU_FWD, biased, NULL, y);
  cudnnBackendDestroyDescriptor(y);
  graph = create(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
  set(graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, count, ops);
  for (int i = 0; i < count; i++) cudnnBackendDestroyDescriptor(ops[i]);
  finalize(graph);
  return graph;
}

/* --- engines --- */

enum { CONFIGS_MAX = 16 };

/* Configurations for a graph, for the caller to destroy; their count. */
static int configs_of(cudnnBackendDescriptor_t graph, cudnnBackendDescriptor_t *config, int64_t *created) {
  cudnnBackendDescriptor_t device = create(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR),
                           heuristic = create(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
  cudnnBackendHeurMode_t mode = CUDNN_HEUR_MODE_A;
  int index = 0;
  int64_t count = 0;
  set(device, CUDNN_ATTR_DEVICEPROP_DEVICE_ID, CUDNN_TYPE_INT32, 1, &index);
  finalize(device);
  give(heuristic, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, device);
  set(heuristic, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &graph);
  set(heuristic, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode);
  finalize(heuristic);
  REQUIRE(cudnnBackendGetAttribute(heuristic, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, created, NULL) ==
          0);
  REQUIRE(*created <= CONFIGS_MAX);
  for (int64_t i = 0; i < *created; i++) config[i] = create(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
  REQUIRE(cudnnBackendGetAttribute(heuristic, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, *created, &count,
                                   config) == 0);
  REQUIRE(count < *created);
  cudnnBackendDestroyDescriptor(heuristic);
  return (int)count;
}

static bool has_note(cudnnBackendDescriptor_t config, cudnnBackendNumericalNote_t wanted) {
  cudnnBackendDescriptor_t engine = create(CUDNN_BACKEND_ENGINE_DESCRIPTOR);
  cudnnBackendNumericalNote_t note[CUDNN_NUMERICAL_NOTE_TYPE_COUNT];
  int64_t count = 0;
  bool found = false;
  REQUIRE(cudnnBackendGetAttribute(config, CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &count, &engine) ==
          0);
  REQUIRE(cudnnBackendGetAttribute(engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE,
                                   CUDNN_NUMERICAL_NOTE_TYPE_COUNT, &count, note) == 0);
  for (int64_t i = 0; i < count; i++) found |= note[i] == wanted;
  cudnnBackendDestroyDescriptor(engine);
  return found;
}

/* Runs a plan over the problem's tensors; returns the output, and the plan's workspace. */
static float *execute(cudnnHandle_t handle, cudaStream_t stream, problem *p, cudnnBackendDescriptor_t config, int64_t *bytes) {
  cudnnBackendDescriptor_t plan = create(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR),
                           pack = create(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
  int64_t ids[4] = {ID_X, ID_W, ID_Y, ID_BIAS}, count;
  void *pointers[4] = {p->x.device, p->filter.device, p->y.device, p->b.device}, *workspace;
  set(plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &config);
  finalize(plan);
  REQUIRE(cudnnBackendGetAttribute(plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &count, bytes) == 0);
  workspace = alloc_workspace(*bytes);
  upload(output_of(p));
  set(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, p->bias ? 4 : 3, ids);
  set(pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, p->bias ? 4 : 3, pointers);
  set(pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace);
  finalize(pack);
  REQUIRE(cudnnBackendExecute(handle, plan, pack) == CUDNN_STATUS_SUCCESS);
  cudnnBackendDestroyDescriptor(pack);
  cudnnBackendDestroyDescriptor(plan);
  float *got = download(output_of(p), stream);
  require_written(workspace, *bytes);
  cudaFree(workspace);
  return got;
}

/* What was seen over all problems. */
static struct { int engines[3], changing, workspaces, short_mantissas; } seen;

static void check_engine(cudnnHandle_t handle, cudaStream_t stream, problem *p, cudnnBackendDescriptor_t config,
                         const double *expected, const double *magnitude) {
  bool tf32 = p->type == ELEMENT_F32 && has_note(config, CUDNN_NUMERICAL_NOTE_TENSOR_CORE), beyond = false;
  int64_t bytes, count = output_of(p)->count;
  float *got = execute(handle, stream, p, config, &bytes), *again = execute(handle, stream, p, config, &bytes);
  for (int64_t i = 0; i < count; i++) {
    double error = fabs(got[i] - expected[i]), rounding = rounding_of(p->type) * fabs(expected[i]);
    REQUIRE(error <= (tf32 ? 0x1p-9 : 1e-5) * magnitude[i] + rounding);
    beyond |= error > 1e-5 * magnitude[i] + rounding;
  }
  bool same = memcmp(got, again, (size_t)count * sizeof *got) == 0;
  if (has_note(config, CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC)) {
    seen.changing += !same;
  } else {
    REQUIRE(same);
  }
  seen.engines[p->direction]++;
  seen.workspaces += bytes > 0;
  seen.short_mantissas += beyond;
  free(again);
  free(got);
}

static void check_problem(cudnnHandle_t handle, cudaStream_t stream) {
  problem p = draw_problem();
  cudnnBackendDescriptor_t graph = graph_of(&p), config[CONFIGS_MAX];
  double *magnitude, *expected = expected_of(&p, &magnitude);
  int64_t created;
  int count = configs_of(graph, config, &created);
  REQUIRE(count >= 3);
  for (int i = 0; i < count; i++) check_engine(handle, stream, &p, config[i], expected, magnitude);
  for (int64_t i = 0; i < created; i++) cudnnBackendDestroyDescriptor(config[i]);
  cudnnBackendDestroyDescriptor(graph);
  free(magnitude);
  free(expected);
  drop_values(&p.x);
  drop_values(&p.filter);
  drop_values(&p.y);
  drop_values(&p.b);
}

int main(void) {
  cudnnHandle_t handle;
  cudaStream_t stream;
  REQUIRE(cudnnCreate(&handle) == CUDNN_STATUS_SUCCESS && cudaStreamCreate(&stream) == cudaSuccess);
  REQUIRE(cudnnSetStream(handle, stream) == CUDNN_STATUS_SUCCESS);
  for (int i = 0; i < 150; i++) check_problem(handle, stream);
  for (int i = 0; i < 3; i++) REQUIRE(seen.engines[i] > 20);
  REQUIRE(seen.changing > 0 && seen.workspaces > 0 && seen.short_mantissas > 0);
  cudnnDestroy(handle);
  cudaStreamDestroy(stream);
  return 0;
}

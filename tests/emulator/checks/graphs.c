/* What cuDNN says to convolution graphs, right and wrong ones, as one line each. Compiled against the emulated cuDNN, and
 * against the real one, which needs no device for this, the lines are those of graphs.txt (cuDNN 9.19 wrote them). With
 * GRAPHS_VERBOSE in the environment it prints the engines too. */
#include <cudnn.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Model of GPU that both are asked about. */
static const char device_json[] =
    "{\"cudaDeviceId\":0,\"deviceName\":\"NVIDIA H200\",\"deviceVer\":900,\"driverVer\":13000,"
    "\"maxGridSize\":[2147483647,65535,65535],\"maxBlockSize\":[1024,1024,64],\"regsPerBlock\":65536,"
    "\"multiProcessorCount\":132,\"smClockRateKHz\":1980000,\"memClockRateKHz\":3201000,\"l2CacheSize\":62914560,"
    "\"warpSize\":32,\"maxSharedMemoryPerBlock\":49152,\"maxSharedMemoryPerBlockOptin\":232448,"
    "\"reservedSharedMemoryPerBlock\":1024,\"maxRegistersPerSM\":65536,\"maxCtasPerSM\":32,\"maxThreadsPerBlock\":1024,"
    "\"maxThreadsPerSM\":2048,\"pciDeviceId\":0,\"isTccDriver\":0,\"supportCoopLaunch\":1,\"totalGlobalMem\":150754820096}";

typedef enum kind { FORWARD, DATA, FILTER } kind;

/* A convolution, as right as the defaults in right(). */
typedef struct graph {
  const char *name;
  kind kind;
  cudnnDataType_t type, compute;
  int64_t x[4], w[4], y[4]; /* [N, C, H, W], [K, C / groups, R, S], [N, K, P, Q] */
  int64_t stride, pad, dilation;
  bool bias, relu;
  /* Faults */
  bool no_alignment, no_uid, no_type, no_strides, no_y, no_descriptor, no_dilations, stride_count, same_uid, not_finalized,
      real_between, no_mode, no_compute, no_pre, no_post, no_strides_of_filter, no_alpha, no_beta, bias_shape, relu_shape,
      no_device, broken_json;
  int64_t spatial; /* of the convolution descriptor; 2 */
} graph;

static cudnnStatus_t first_error;
static const char *first_place;

/* Keeps the first status that is not success, and the place. */
static void note(cudnnStatus_t status, const char *place) {
  if (status != CUDNN_STATUS_SUCCESS && first_error == CUDNN_STATUS_SUCCESS) {
    first_error = status;
    first_place = place;
  }
}

/* All descriptors of the graph at hand. */
static cudnnBackendDescriptor_t created[512];
static int created_count;

static cudnnBackendDescriptor_t create(cudnnBackendDescriptorType_t type) {
  cudnnBackendDescriptor_t d = NULL;
  note(cudnnBackendCreateDescriptor(type, &d), "create");
  created[created_count++] = d;
  return d;
}

static void destroy_all(void) {
  while (created_count > 0) cudnnBackendDestroyDescriptor(created[--created_count]);
}

static void set(cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t count,
                const void *value, const char *place) {
  note(cudnnBackendSetAttribute(d, name, type, count, value), place);
}

static void set_descriptor(cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name, cudnnBackendDescriptor_t value,
                           const char *place) {
  set(d, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &value, place);
}

/* An NHWC tensor. */
static cudnnBackendDescriptor_t tensor(const graph *g, int64_t uid, cudnnDataType_t type, const int64_t *dim, bool virtual,
                                       const char *place) {
  cudnnBackendDescriptor_t d = create(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  int64_t stride[4] = {dim[1] * dim[2] * dim[3], 1, dim[1] * dim[3], dim[1]}, alignment = 16;
  if (!g->no_uid) set(d, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &uid, place);
  if (!g->no_type) set(d, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type, place);
  set(d, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, dim, place);
  if (!g->no_strides) set(d, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, g->stride_count ? 3 : 4, stride, place);
  if (!g->no_alignment) set(d, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &alignment, place);
  set(d, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &virtual, place);
  if (!g->not_finalized) note(cudnnBackendFinalize(d), place);
  return d;
}

static cudnnBackendDescriptor_t convolution(const graph *g) {
  cudnnBackendDescriptor_t d = create(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
  cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
  int64_t count = g->spatial, stride[3] = {g->stride, g->stride, g->stride}, pad[3] = {g->pad, g->pad, g->pad},
          dilation[3] = {g->dilation, g->dilation, g->dilation};
  if (!g->no_compute) set(d, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &g->compute, "convolution");
  if (!g->no_mode) set(d, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode, "convolution");
  set(d, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, &count, "convolution");
  if (!g->no_pre) set(d, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, count, pad, "convolution");
  if (!g->no_post) set(d, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, count, pad, "convolution");
  if (!g->no_dilations) set(d, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, count, dilation, "convolution");
  if (!g->no_strides_of_filter) set(d, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, count, stride, "convolution");
  note(cudnnBackendFinalize(d), "convolution");
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

static cudnnBackendDescriptor_t pointwise(const graph *g, cudnnPointwiseMode_t mode, cudnnBackendDescriptor_t x,
                                          cudnnBackendDescriptor_t b, cudnnBackendDescriptor_t y) {
  cudnnBackendDescriptor_t how = create(CUDNN_BACKEND_POINTWISE_DESCRIPTOR),
                           d = create(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
  set(how, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode, "pointwise");
  set(how, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, &g->compute, "pointwise");
  note(cudnnBackendFinalize(how), "pointwise");
  set_descriptor(d, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, how, "pointwise operation");
  set_descriptor(d, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x, "pointwise operation");
  if (b) set_descriptor(d, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, b, "pointwise operation");
  set_descriptor(d, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y, "pointwise operation");
  note(cudnnBackendFinalize(d), "pointwise operation");
  return d;
}

/* The operations of a graph; their count. Ids: x 1, w 2, y 3 and on. */
static int operations(const graph *g, cudnnBackendDescriptor_t *out) {
  const names *n = &names_of[g->kind];
  const int64_t bias_dim[4] = {1, g->bias_shape ? g->y[1] + 1 : g->y[1], 1, 1};
  const int64_t relu_dim[4] = {g->y[0], g->y[1], g->relu_shape ? g->y[2] + 1 : g->y[2], g->y[3]};
  bool virtual = (g->bias || g->relu) && !g->real_between;
  cudnnBackendDescriptor_t x = tensor(g, 1, g->type, g->x, false, "x"),
                           w = tensor(g, g->same_uid ? 1 : 2, g->type, g->w, false, "w");
  cudnnBackendDescriptor_t y = tensor(g, 3, virtual ? CUDNN_DATA_FLOAT : g->type, g->y, virtual, "y");
  cudnnBackendDescriptor_t c = convolution(g), d = create(n->type);
  float one = 1, zero = 0;
  int count = 0;
  if (!g->no_descriptor) set_descriptor(d, n->convolution, c, "operation");
  set_descriptor(d, n->x, x, "operation");
  set_descriptor(d, n->w, w, "operation");
  if (!g->no_y) set_descriptor(d, n->y, y, "operation");
  if (!g->no_alpha) set(d, n->alpha, CUDNN_TYPE_FLOAT, 1, &one, "operation");
  if (!g->no_beta) set(d, n->beta, CUDNN_TYPE_FLOAT, 1, &zero, "operation");
  note(cudnnBackendFinalize(d), "operation");
  out[count++] = d;
  if (g->bias) {
    bool last = !g->relu;
    cudnnBackendDescriptor_t b = tensor(g, 4, g->type, bias_dim, false, "bias");
    cudnnBackendDescriptor_t z = tensor(g, 5, last ? g->type : CUDNN_DATA_FLOAT, g->y, !last, "z");
    out[count++] = pointwise(g, CUDNN_POINTWISE_ADD, y, b, z);
    y = z;
  }
  if (g->relu) out[count++] = pointwise(g, CUDNN_POINTWISE_RELU_FWD, y, NULL, tensor(g, 6, g->type, relu_dim, false, "relu"));
  return count;
}

static cudnnBackendDescriptor_t device(const graph *g) {
  cudnnBackendDescriptor_t d = create(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
  const char *json = g->broken_json ? "{\"cudaDeviceId\":0}" : device_json;
  set(d, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, (int64_t)strlen(json), json, "device");
  note(cudnnBackendFinalize(d), "device");
  return d;
}

/* A plan for the first config that has one; prints whether there is one. */
static void print_plan(const graph *g, cudnnBackendDescriptor_t of) {
  cudnnBackendDescriptor_t heuristic = create(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR), config[64];
  cudnnBackendHeurMode_t mode = CUDNN_HEUR_MODE_A;
  int64_t bound = 0, count = 0, planned = 0;
  set_descriptor(heuristic, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, of, "heuristic");
  set(heuristic, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode, "heuristic");
  if (!g->no_device) set_descriptor(heuristic, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, device(g), "heuristic");
  note(cudnnBackendFinalize(heuristic), "heuristic");
  note(cudnnBackendGetAttribute(heuristic, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, &bound, NULL),
       "bound");
  if (first_error) return;
  if (bound > 64) bound = 64;
  for (int64_t i = 0; i < bound; i++) config[i] = create(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
  note(cudnnBackendGetAttribute(heuristic, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, bound, &count, config),
       "results");
  for (int64_t i = 0; i < count && !first_error; i++) {
    cudnnBackendDescriptor_t plan = create(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR),
                             engine = create(CUDNN_BACKEND_ENGINE_DESCRIPTOR);
    int64_t got = 0, index = -1, bytes = -1, notes = 0;
    cudnnBackendNumericalNote_t note_of[CUDNN_NUMERICAL_NOTE_TYPE_COUNT];
    set_descriptor(plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, config[i], "plan");
    note(cudnnBackendFinalize(plan), "plan");
    note(cudnnBackendGetAttribute(plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &got, &bytes),
         "workspace");
    note(cudnnBackendGetAttribute(config[i], CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &got, &engine),
         "engine");
    note(cudnnBackendGetAttribute(engine, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1, &got, &index), "index");
    note(cudnnBackendGetAttribute(engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE,
                                  CUDNN_NUMERICAL_NOTE_TYPE_COUNT, &notes, note_of),
         "notes");
    planned += bytes >= 0 && index >= 0 && notes >= 0;
    if (getenv("GRAPHS_VERBOSE")) printf("  engine %" PRId64 " workspace %" PRId64 " notes %" PRId64 "\n", index, bytes, notes);
  }
  if (!first_error) printf("%s: %s\n", g->name, planned ? "has plans" : "no configs");
}

static void print_graph(const graph *g) {
  cudnnBackendDescriptor_t operation[3], d;
  first_error = CUDNN_STATUS_SUCCESS;
  int count = operations(g, operation);
  if (!first_error) {
    d = create(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
    set(d, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, count, operation, "graph");
    note(cudnnBackendFinalize(d), "graph");
    if (!first_error) print_plan(g, d);
  }
  if (first_error) printf("%s: %d %s at %s\n", g->name, (int)first_error, cudnnGetErrorString(first_error), first_place);
  destroy_all();
}

/* A row begins as a right graph and then changes what it is about. */
#pragma GCC diagnostic ignored "-Woverride-init"
#define RIGHT                                                                                                       \
  .type = CUDNN_DATA_FLOAT, .compute = CUDNN_DATA_FLOAT, .x = {4, 8, 9, 7}, .w = {16, 8, 3, 3}, .y = {4, 16, 9, 7}, \
  .stride = 1, .pad = 1, .dilation = 1, .spatial = 2

int main(void) {
  static const graph graphs[] = {
      {.name = "forward", RIGHT},
      {.name = "backward data", RIGHT, .kind = DATA},
      {.name = "backward filter", RIGHT, .kind = FILTER},
      {.name = "half", RIGHT, .type = CUDNN_DATA_HALF},
      {.name = "bfloat16", RIGHT, .type = CUDNN_DATA_BFLOAT16},
      {.name = "bias", RIGHT, .bias = true},
      {.name = "bias and relu", RIGHT, .bias = true, .relu = true},
      {.name = "relu", RIGHT, .relu = true},
      {.name = "bias and relu in half", RIGHT, .type = CUDNN_DATA_HALF, .bias = true, .relu = true},
      {.name = "two groups", RIGHT, .w = {16, 4, 3, 3}},
      {.name = "stride 2", RIGHT, .stride = 2, .y = {4, 16, 5, 4}},
      {.name = "dilation 2", RIGHT, .dilation = 2, .pad = 2},
      {.name = "odd channels", RIGHT, .x = {4, 3, 9, 7}, .w = {5, 3, 3, 3}, .y = {4, 5, 9, 7}},
      {.name = "no device", RIGHT, .no_device = true},
      {.name = "wrong channels", RIGHT, .w = {16, 7, 3, 3}},
      {.name = "more channels in the filter", RIGHT, .w = {16, 16, 3, 3}},
      {.name = "wrong height", RIGHT, .y = {4, 16, 8, 7}},
      {.name = "wrong width", RIGHT, .y = {4, 16, 9, 8}},
      {.name = "wrong filters", RIGHT, .y = {4, 15, 9, 7}},
      {.name = "wrong samples", RIGHT, .y = {5, 16, 9, 7}},
      {.name = "wrong height, backward data", RIGHT, .kind = DATA, .y = {4, 16, 8, 7}},
      {.name = "wrong channels, backward filter", RIGHT, .kind = FILTER, .w = {16, 7, 3, 3}},
      {.name = "groups that do not divide the filters", RIGHT, .w = {15, 4, 3, 3}, .y = {4, 15, 9, 7}},
      {.name = "a dimension of zero", RIGHT, .x = {0, 8, 9, 7}},
      {.name = "a stride of zero", RIGHT, .stride = 0},
      {.name = "a negative pad", RIGHT, .pad = -1},
      {.name = "a dilation of zero", RIGHT, .dilation = 0},
      {.name = "no alignment", RIGHT, .no_alignment = true},
      {.name = "no id", RIGHT, .no_uid = true},
      {.name = "no type", RIGHT, .no_type = true},
      {.name = "no strides", RIGHT, .no_strides = true},
      {.name = "too few strides", RIGHT, .stride_count = true},
      {.name = "no output", RIGHT, .no_y = true},
      {.name = "no convolution descriptor", RIGHT, .no_descriptor = true},
      {.name = "no dilations", RIGHT, .no_dilations = true},
      {.name = "no mode", RIGHT, .no_mode = true},
      {.name = "no compute type", RIGHT, .no_compute = true},
      {.name = "no pads before", RIGHT, .no_pre = true},
      {.name = "no pads after", RIGHT, .no_post = true},
      {.name = "no filter strides", RIGHT, .no_strides_of_filter = true},
      {.name = "no alpha", RIGHT, .no_alpha = true},
      {.name = "no beta", RIGHT, .no_beta = true},
      {.name = "compute in half", RIGHT, .compute = CUDNN_DATA_HALF},
      {.name = "bias and relu with real tensors between", RIGHT, .bias = true, .relu = true, .real_between = true},
      {.name = "three spatial dimensions", RIGHT, .spatial = 3},
      {.name = "the same id twice", RIGHT, .same_uid = true},
      {.name = "tensors not finalized", RIGHT, .not_finalized = true},
      {.name = "bias of another size", RIGHT, .bias = true, .bias_shape = true},
      {.name = "relu of another size", RIGHT, .relu = true, .relu_shape = true},
      {.name = "device properties without their keys", RIGHT, .broken_json = true},
  };
  for (size_t i = 0; i < sizeof graphs / sizeof *graphs; i++) print_graph(&graphs[i]);
  return 0;
}

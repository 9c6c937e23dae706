/* From the config's nested list to flat nodes.
 *
 * A list of layers is walked in order; each item becomes a node whose input is the node before it, or, for a composite kind,
 * the nodes that its expand adds. Nodes are appended in an order in which every input comes first, so the index is the
 * topological order that lowering walks forwards and automatic differentiation backwards. */
#include "core/graph.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/layer.h"
#include "core/region.h"

enum { NODES_MAX = 10000, DEPTH_MAX = 32, KINDS_MAX = 64, DIM_MAX_LOG2 = 40 };
static const int64_t elements_max = INT64_C(1) << DIM_MAX_LOG2;

typedef struct owned_graph {
  dt_graph graph; /* first, so that a dt_graph is its owner */
  dt_region region;
} owned_graph;

struct dt_graph_builder {
  const dt_config *config;
  owned_graph *owned;
  dt_node *node; /* grows by doubling, to NODES_MAX at most */
  int count, capacity;
  int depth;    /* of lists within lists */
  bool located; /* the error raised points at its place in the config already */
};

const dt_node *dt_graph_builder_node(const dt_graph_builder *b, int index) {
  DT_ASSERT(index >= 0 && index < b->count);
  return &b->node[index];
}

dt_status dt_graph_builder_alloc(dt_graph_builder *b, size_t bytes, void *out_pointer) {
  return dt_region_alloc(&b->owned->region, bytes, out_pointer);
}

dt_status dt_graph_builder_format(dt_graph_builder *b, const char **out, const char *format, ...) {
  va_list args;
  va_start(args, format);
  dt_status status = dt_region_vformat(&b->owned->region, out, format, args);
  va_end(args);
  return status;
}

/* Points an error that a layer raised about shapes at the layer's place in the config. */
static dt_status locate(dt_graph_builder *b, const char *name, dt_origin origin, dt_status status) {
  if (status != DT_USAGE || b->located) return status;
  b->located = true;
  char text[1024];
  snprintf(text, sizeof text, "%s", dt_error_text());
  dt_error_clear();
  return dt_config_error_at(b->config, origin, "%s: %s", name, text);
}

static dt_status shape_check(const char *what, const dt_shape *shape) {
  char text[DT_SHAPE_TEXT];
  int64_t count = 1;
  for (int i = 0; i < shape->ndim; i++) {
    DT_REQUIRE(shape->dim[i] >= 1 && shape->dim[i] <= INT32_MAX, DT_USAGE,
               "%s would have the shape %s, expected 1 to %d in each direction", what, dt_shape_text(shape, text), INT32_MAX);
    count = dt_count_multiply(count, shape->dim[i]);
  }
  DT_REQUIRE(count <= elements_max, DT_USAGE, "%s would have the shape %s, more than 2^%d elements", what,
             dt_shape_text(shape, text), DIM_MAX_LOG2);
  return DT_OK;
}

static dt_status node_shapes_check(const dt_node *node) {
  DT_TRY(shape_check("the output", &node->shape));
  for (int i = 0; i < node->param_count; i++) DT_TRY(shape_check(node->param[i].role, &node->param[i].shape));
  return DT_OK;
}

static dt_status node_reserve(dt_graph_builder *b, dt_origin origin) {
  if (b->count == NODES_MAX) {
    b->located = true;
    return dt_config_error_at(b->config, origin, "the network has more than %d layers", NODES_MAX);
  }
  if (b->count < b->capacity) return DT_OK;
  int capacity = b->capacity > 0 ? 2 * b->capacity : 64;
  dt_node *node = realloc(b->node, (size_t)capacity * sizeof *node);
  DT_REQUIRE(node != NULL, DT_MEMORY, "could not allocate %d layers", capacity);
  b->node = node;
  b->capacity = capacity;
  return DT_OK;
}

static dt_status node_append(dt_graph_builder *b, const dt_node *like, int *out_node) {
  DT_TRY(node_reserve(b, like->origin));
  dt_node *node = &b->node[b->count];
  *node = *like;
  node->index = b->count;
  const dt_shape *in[DT_NODE_INPUTS];
  for (int i = 0; i < node->input_count; i++) in[i] = &dt_graph_builder_node(b, node->input[i])->shape;
  dt_status status = node->layer->infer(node, in);
  if (status == DT_OK) status = node_shapes_check(node);
  if (status != DT_OK) return locate(b, node->name, node->origin, status);
  *out_node = b->count++;
  return DT_OK;
}

dt_status dt_graph_add(dt_graph_builder *b, const dt_choice *choice, const char *name, int input, int *out_node) {
  const dt_layer *layer = choice->kind->impl;
  if (layer->expand != NULL) {
    dt_status status = layer->expand(b, choice, name, input, out_node);
    return locate(b, name, choice->origin, status);
  }
  dt_node node = {.name = name, .layer = layer, .attr = choice->attr, .origin = choice->origin};
  node.input[0] = input;
  node.input_count = 1;
  return node_append(b, &node, out_node);
}

dt_status dt_graph_add_join(dt_graph_builder *b, const dt_layer *layer, const char *name, const int *input, int input_count,
                            dt_origin origin, int *out_node) {
  DT_ASSERT(input_count >= 1 && input_count <= DT_NODE_INPUTS);
  dt_node node = {.name = name, .layer = layer, .origin = origin, .input_count = input_count};
  memcpy(node.input, input, (size_t)input_count * sizeof *input);
  return node_append(b, &node, out_node);
}

static int kind_index(const dt_kind *kind) {
  int index = 0;
  while (dt_layer_kinds[index] != kind) index++;
  DT_ASSERT(index < KINDS_MAX);
  return index;
}

static dt_status list_add_item(dt_graph_builder *b, const dt_choice *item, const char *scope, int ordinal, int *node) {
  const dt_layer *layer = item->kind->impl;
  const char *stem = layer->stem != NULL ? layer->stem : item->kind->name;
  const char *name;
  DT_TRY(dt_graph_builder_format(b, &name, "%s%s%s%d", scope, scope[0] != '\0' ? "." : "", stem, ordinal));
  return dt_graph_add(b, item, name, *node, node);
}

dt_status dt_graph_add_list(dt_graph_builder *b, const dt_choices *list, const char *scope, int input, int *out_node) {
  int seen[KINDS_MAX] = {0};
  int node = input;
  if (b->depth == DEPTH_MAX) {
    dt_origin origin = list->count > 0 ? list->item[0].origin : (dt_origin){0};
    b->located = true;
    return dt_config_error_at(b->config, origin, "layers are nested more than %d deep", DEPTH_MAX);
  }
  b->depth++;
  for (int i = 0; i < list->count; i++) {
    const dt_choice *item = &list->item[i];
    DT_TRY(list_add_item(b, item, scope, ++seen[kind_index(item->kind)], &node));
  }
  b->depth--;
  *out_node = node;
  return DT_OK;
}

/* The input has no place of its own in the origins; its errors point at the first layer, the one that would read it. */
static dt_origin input_origin(const dt_spec *spec) {
  return spec->model.layers.count > 0 ? spec->model.layers.item[0].origin : (dt_origin){0};
}

static dt_status add_input(dt_graph_builder *b, const dt_spec *spec) {
  const dt_ints *input = &spec->model.input;
  dt_origin origin = input_origin(spec);
  DT_ASSERT(input->count >= 1 && input->count <= DT_DIMS);
  DT_TRY(node_reserve(b, origin));
  dt_node *node = &b->node[b->count];
  *node = (dt_node){.name = "input", .origin = origin};
  node->shape.ndim = input->count;
  for (int i = 0; i < input->count; i++) node->shape.dim[i] = input->value[i];
  dt_status status = shape_check("the input", &node->shape);
  if (status != DT_OK) return locate(b, "model.input", origin, status);
  b->count++;
  return DT_OK;
}

static dt_status parameters_check(const dt_graph_builder *b, const dt_spec *spec) {
  for (int i = 0; i < b->count; i++) {
    if (b->node[i].param_count > 0) return DT_OK;
  }
  return dt_config_error_at(b->config, input_origin(spec), "the network has no parameters, so there is nothing to train");
}

static dt_status build(dt_graph_builder *b) {
  const dt_spec *spec = dt_config_spec(b->config);
  int node = 0;
  DT_TRY(add_input(b, spec));
  DT_TRY(dt_graph_add_list(b, &spec->model.layers, "", 0, &node));
  DT_TRY(parameters_check(b, spec));
  return dt_graph_add(b, &spec->model.loss, "loss", node, &node);
}

static void add_loss_scale(dt_node *loss) {
  loss->state[loss->state_count++] = (dt_param_decl){
      .role = DT_LOSS_SCALE_ROLE, .shape = {.ndim = 1, .dim = {DT_LOSS_SCALE_COUNT}}, .init = DT_INIT_LOSS_SCALE};
}

dt_status dt_graph_create(const dt_config *config, dt_graph **out) {
  owned_graph *owned;
  DT_TRY(dt_alloc(1, sizeof *owned, &owned));
  dt_graph_builder b = {.config = config, .owned = owned};
  dt_status status = build(&b);
  if (status == DT_OK && dt_config_spec(config)->precision == DT_FP16) add_loss_scale(&b.node[b.count - 1]);
  owned->graph = (dt_graph){.node = b.node, .count = b.count};
  *out = &owned->graph;
  if (status != DT_OK) dt_graph_destroy(out);
  return status;
}

void dt_graph_destroy(dt_graph **graph) {
  if (*graph == NULL) return;
  owned_graph *owned = (owned_graph *)*graph;
  free(owned->graph.node);
  dt_region_free(&owned->region);
  free(owned);
  *graph = NULL;
}

void dt_graph_find_trainable(const dt_graph *graph, bool *trainable) {
  for (int n = 0; n < graph->count; n++) {
    const dt_node *node = &graph->node[n];
    trainable[n] = node->param_count > 0;
    for (int i = 0; i < node->input_count; i++) trainable[n] |= trainable[node->input[i]];
  }
}

/* The graph: layers in topological order with shapes, made from the config's nested list.
 *
 * Composite kinds (residual, branches) expand into nodes here, so that from the graph on everything is a flat list. An RNN
 * cell unrolls the same way, into nodes that share parameter declarations. */
#ifndef DT_CORE_GRAPH_H
#define DT_CORE_GRAPH_H

#include "core/spec.h"
#include "core/tensor.h"

enum { DT_NODE_INPUTS = 8, DT_NODE_PARAMS = 4, DT_NODE_STATES = 2 };

typedef enum dt_init_rule { DT_INIT_ZERO, DT_INIT_ONE, DT_INIT_KAIMING_UNIFORM, DT_INIT_LOSS_SCALE } dt_init_rule;

/* The state of loss scaling (fp16), of the loss node: gradients are computed times a scale that grows while they stay finite.
 */
#define DT_LOSS_SCALE_ROLE "loss_scale"
enum {
  DT_LOSS_SCALE_NEXT,  /* the scale of the next step */
  DT_LOSS_SCALE_STEPS, /* steps since it last changed */
  DT_LOSS_SCALE_SKIP,  /* 1 when this step's update is skipped */
  DT_LOSS_SCALE_USED,  /* the scale of this step's gradients */
  DT_LOSS_SCALE_COUNT
};
/* Gradients are of sums over samples, at most 1 a logit, and fp16 ends at 65504. */
static const float dt_loss_scale_first = 1024;

/* A trained parameter or a state tensor (running statistics) of a node. */
typedef struct dt_param_decl {
  const char *role; /* "weight", "bias", "running_mean": the last part of its name */
  dt_shape shape;
  dt_init_rule init;
  double bound; /* KAIMING_UNIFORM: drawn from [-bound, bound); PyTorch's default 1/sqrt(fan_in) */
} dt_param_decl;

typedef struct dt_layer dt_layer;

typedef struct dt_node {
  const char *name; /* "conv1", "residual2.bn1": unique; kind counted within its list */
  const dt_layer *layer;
  const void *attr; /* the kind's struct */
  dt_origin origin;
  int index;
  int input[DT_NODE_INPUTS]; /* node indices; the graph's input is node 0 */
  int input_count;
  dt_shape shape; /* of the output */
  dt_param_decl param[DT_NODE_PARAMS];
  int param_count;
  dt_param_decl state[DT_NODE_STATES];
  int state_count;
} dt_node;

typedef struct dt_graph {
  dt_node *node; /* node[0] is the input; the last but one gives the logits; the last is the loss */
  int count;
} dt_graph;

/* Builds nodes and infers shapes; errors point at the layer's line in the config. DT_USAGE. Returns new; borrows the config,
 * which must outlive the graph. */
dt_status dt_graph_create(const dt_config *config, dt_graph **out);
void dt_graph_destroy(dt_graph **graph);

/* trainable[count]: whether the node or anything before it has parameters, so that a gradient must reach its output. */
void dt_graph_find_trainable(const dt_graph *graph, bool *trainable);

/* For composite kinds while the graph is built: appends a node named `name`, or a whole list whose nodes are named
 * `scope.kind<i>`, and returns the index of its output. */
typedef struct dt_graph_builder dt_graph_builder;
dt_status dt_graph_add(dt_graph_builder *b, const dt_choice *choice, const char *name, int input, int *out_node);
dt_status dt_graph_add_list(dt_graph_builder *b, const dt_choices *list, const char *scope, int input, int *out_node);
/* Appends a node of a kind that has several inputs and no place in the config (add, concat). */
dt_status dt_graph_add_join(dt_graph_builder *b, const dt_layer *layer, const char *name, const int *input, int input_count,
                            dt_origin origin, int *out_node);
const dt_node *dt_graph_builder_node(const dt_graph_builder *b, int index);
/* Memory that lives as long as the graph, zeroed (for attrs that a composite makes up). DT_MEMORY. */
dt_status dt_graph_builder_alloc(dt_graph_builder *b, size_t bytes, void *out_pointer);
/* A name or an attr's text in such memory. */
dt_status dt_graph_builder_format(dt_graph_builder *b, const char **out, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif

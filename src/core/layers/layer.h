/* The contract of a layer: one file in core/layers, one row in dt_layer_kinds.
 *
 * A layer says how it is configured (its dt_kind), what shape it gives, which parameters it has, what it costs, and which
 * instructions compute it and its gradients. It never knows which device runs them. */
#ifndef DT_CORE_LAYERS_LAYER_H
#define DT_CORE_LAYERS_LAYER_H

#include "core/config/kinds.h"
#include "core/program/graph.h"
#include "core/program/program.h"

typedef struct dt_builder dt_builder;

struct dt_layer {
  const char *stem;              /* of node names, where it is not the kind's name: "bn" */
  int inputs_least, inputs_most; /* how many inputs it takes, DT_NODE_INPUTS at most; 0, 0: one. Its output is one */
  /* Output shape, and param/state declarations, from the inputs' shapes. Raises DT_USAGE with the numbers; the caller adds
   * the place in the config. */
  dt_status (*infer)(dt_node *node, const dt_shape *const *in);
  /* Whether the node can be trained on a shard of so many samples, 1 or more. Raises DT_USAGE; the caller adds the place in the
   * config, and what would make the shard larger. NULL: on any number. */
  dt_status (*check_shard)(const dt_node *node, int64_t samples);
  /* Composite kinds only (infer, forward and backward are then NULL): adds the nodes it stands for. */
  dt_status (*expand)(dt_graph_builder *b, const dt_choice *choice, const char *name, int input, int *out_node);
  /* Multiply-adds count as two. Per sample. NULL = 0. */
  int64_t (*flops_forward)(const dt_node *node, const dt_shape *const *in);
  int64_t (*flops_backward)(const dt_node *node, const dt_shape *const *in, bool needs_dx);
  /* Emits the instructions that compute the node's value. */
  dt_status (*forward)(dt_builder *b, const dt_node *node);
  /* Emits the instructions that compute parameter gradients and, where dt_builder_needs_gradient says so, input gradients,
   * handing each to dt_builder_add_gradient. */
  dt_status (*backward)(dt_builder *b, const dt_node *node, int dy);
};

/* What names of its nodes begin with: "conv", "bn". */
const char *dt_layer_stem(const dt_kind *kind);

/* Declares a sum of the node: terms of which a sample has `per_sample` at most, where they are counts. */
void dt_node_add_sum(dt_node *node, const char *name, dt_sum_kind kind, int64_t per_sample);

/* The builder: what layers see of lowering. Buffer ids are ints. */
dt_program_mode dt_builder_mode(const dt_builder *b);
/* Names the buffer that the program hands out as the network's output. */
void dt_builder_set_output(dt_builder *b, int buffer);
/* The value of a node's i-th input; of the node itself once dt_builder_set_value was called. */
int dt_builder_input(const dt_builder *b, const dt_node *node, int i);
const dt_shape *dt_builder_input_shape(const dt_builder *b, const dt_node *node, int i);
/* The buffer of a field, by its index in the graph. */
int dt_builder_field(dt_builder *b, int field);
int dt_builder_value(const dt_builder *b, const dt_node *node);
void dt_builder_set_value(dt_builder *b, const dt_node *node, int buffer);
int dt_builder_param(const dt_builder *b, const dt_node *node, int i);
/* GRAD slice; of a node that is trained. */
int dt_builder_param_gradient(const dt_builder *b, const dt_node *node, int i);
/* Whether the node has parameters of which a gradient is wanted: all of its slices may then be written. */
bool dt_builder_is_trained(const dt_builder *b, const dt_node *node);
int dt_builder_state(const dt_builder *b, const dt_node *node); /* all states of the node, one slice */
int dt_builder_stat(const dt_builder *b, const dt_node *node);  /* STAT slice, as long as the states */
/* New buffers. Names are made from the node's name and `suffix`. Memory that runs out is remembered by the builder and
 * raised when the layer returns, so that layers need no check of their own. */
int dt_builder_new_value(dt_builder *b, const dt_node *node, const char *suffix, const dt_shape *shape);
int dt_builder_new_gradient(dt_builder *b, const dt_node *node, int i); /* VALUE for the gradient of the i-th input */
int dt_builder_new_index(dt_builder *b, const dt_node *node, const char *suffix, const dt_shape *shape);
int dt_builder_new_shard(dt_builder *b, const dt_node *node, const char *suffix, const dt_shape *shape);
int dt_builder_new_alias(dt_builder *b, const dt_node *node, int of, const dt_shape *shape);
/* Whether the device keeps a value of that shape in the order of its dimensions, so that it may be seen in another shape. */
bool dt_builder_is_ordered(const dt_builder *b, const dt_shape *shape);
/* Appends an instruction to the micro-batch section (or, for BN_UPDATE, to the step section) and returns it, args absent. The
 * pointer is good until the next emit. */
dt_instr *dt_builder_emit(dt_builder *b, const dt_node *node, dt_op op);
/* The same for what computes the terms of the node's sums: TERMS, loss.column and loss.target_scale are set, loss.weight
 * is 1. */
dt_instr *dt_builder_emit_terms(dt_builder *b, const dt_node *node, dt_op op);
/* Whether the node is the first loss, whose output predictions give. */
bool dt_builder_is_main_loss(const dt_builder *b, const dt_node *node);
/* Whether the program takes the sums that the node declares. */
bool dt_builder_takes_sums(const dt_builder *b, const dt_node *node);
/* For optimizers (dt_optimizer.emit): an instruction of the step section, and a buffer of doubles [tensors][columns], a row for
 * each tensor of the parameter block. Keeps name. */
dt_instr *dt_builder_emit_step(dt_builder *b, dt_op op);
int dt_builder_new_tensor_rows(dt_builder *b, const char *name, int64_t columns);
/* Remembers a buffer that forward leaves for backward (pool's argmax), and gives it back. */
void dt_builder_keep(dt_builder *b, const dt_node *node, int buffer);
int dt_builder_kept(const dt_builder *b, const dt_node *node);
bool dt_builder_needs_gradient(const dt_builder *b, const dt_node *node, int i);
/* Hands over a gradient of the node's i-th input; a second one for the same value is added (ADD, then fused away). */
void dt_builder_add_gradient(dt_builder *b, const dt_node *node, int i, int buffer);
/* Counts the layers of its kind before this one. */
int dt_builder_layer_index(const dt_builder *b, const dt_node *node);

#endif

/* Dropout (Srivastava et al., JMLR 15, 2014), inverted: in training y = x / (1 - p) with probability 1 - p, else 0; outside of
 * training y = x, and nothing is computed. The coin of an element is a pure function of seed, step and place, so backward
 * tosses it again instead of keeping it. */
#include "core/config/rows.h"
#include "core/layers/layers.h"

typedef struct dropout_attr {
  double p;
} dropout_attr;

static const dt_option options[] = {
    DT_ROW_REAL("p", offsetof(dropout_attr, p), NULL, 0, 1, "Probability that a number is dropped.", .open_max = true),
    {0},
};

static dt_status infer(dt_node *node, const dt_shape *const *in) {
  node->shape = *in[0];
  return DT_OK;
}

static dt_instr *emit(dt_builder *b, const dt_node *node, dt_op op) {
  const dropout_attr *attr = node->attr;
  dt_instr *instr = dt_builder_emit(b, node, op);
  instr->dropout.p = attr->p;
  instr->dropout.layer = dt_builder_layer_index(b, node);
  return instr;
}

static dt_status forward(dt_builder *b, const dt_node *node) {
  if (dt_builder_mode(b) != DT_PROGRAM_TRAIN) {
    dt_builder_set_value(b, node, dt_builder_input(b, node, 0));
    return DT_OK;
  }
  int y = dt_builder_new_value(b, node, "y", &node->shape);
  dt_instr *instr = emit(b, node, DT_OP_DROPOUT_FWD);
  instr->arg[DT_ARG_X] = dt_builder_input(b, node, 0);
  instr->arg[DT_ARG_Y] = y;
  dt_builder_set_value(b, node, y);
  return DT_OK;
}

static dt_status backward(dt_builder *b, const dt_node *node, int dy) {
  if (!dt_builder_needs_gradient(b, node, 0)) return DT_OK;
  int dx = dt_builder_new_gradient(b, node, 0);
  dt_instr *instr = emit(b, node, DT_OP_DROPOUT_BWD);
  instr->arg[DT_ARG_DY] = dy;
  instr->arg[DT_ARG_DX] = dx;
  dt_builder_add_gradient(b, node, 0, dx);
  return DT_OK;
}

static const dt_layer layer = {.infer = infer, .forward = forward, .backward = backward};

const dt_kind dt_layer_dropout = {
    .name = "dropout",
    .doc = "Sets a random part of the numbers to zero in training and scales the rest by 1 / (1 - p).",
    .options = options,
    .attr_bytes = sizeof(dropout_attr),
    .positional = "p",
    .impl = &layer,
};

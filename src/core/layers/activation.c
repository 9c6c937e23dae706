/* The layers that are one elementwise function: a kind for each of core/functions, whose options are the function's parameters.
 * They differ in dt_act only. */
#include "core/layers/layers.h"

typedef struct activation_attr {
  double param[DT_ACT_PARAMS];
} activation_attr;

/* A row that is all zeros ends an option table. */
static const dt_option options[DT_ACT_COUNT][DT_ACT_PARAMS + 1] = {
#define DT_FUNCTION_OPTION(NAME, index, option, standard, low, high, text)     \
  [DT_ACT_##NAME][index] = {.name = option,                                    \
                            .type = DT_OPT_REAL,                               \
                            .default_text = standard,                          \
                            .min = low,                                        \
                            .max = high,                                       \
                            .offset = offsetof(activation_attr, param[index]), \
                            .doc = text},
#include "core/functions/functions.def"
#undef DT_FUNCTION_OPTION
};

static const dt_layer layers[DT_ACT_COUNT];

static dt_act act_of(const dt_node *node) {
  const activation_attr *attr = node->attr;
  dt_act act = {.kind = (dt_act_kind)(node->layer - layers)};
  for (int i = 0; i < dt_act_infos[act.kind].params; i++) act.param[i] = (float)attr->param[i];
  return act;
}

static dt_status infer(dt_node *node, const dt_shape *const *in) {
  node->shape = *in[0];
  return DT_OK;
}

static dt_status forward(dt_builder *b, const dt_node *node) {
  int y = dt_builder_new_value(b, node, "y", &node->shape);
  dt_instr *instr = dt_builder_emit(b, node, DT_OP_ACT_FWD);
  instr->act = act_of(node);
  instr->arg[DT_ARG_X] = dt_builder_input(b, node, 0);
  instr->arg[DT_ARG_Y] = y;
  dt_builder_set_value(b, node, y);
  return DT_OK;
}

/* Where the derivative needs x, x has a second reader, so that the activation is not folded into what makes x. */
static dt_status backward(dt_builder *b, const dt_node *node, int dy) {
  if (!dt_builder_needs_gradient(b, node, 0)) return DT_OK;
  int dx = dt_builder_new_gradient(b, node, 0);
  dt_instr *instr = dt_builder_emit(b, node, DT_OP_ACT_BWD);
  instr->act = act_of(node);
  instr->arg[DT_ARG_DY] = dy;
  instr->arg[DT_ARG_MASK] = dt_act_infos[instr->act.kind].from_x ? dt_builder_input(b, node, 0) : dt_builder_value(b, node);
  instr->arg[DT_ARG_DX] = dx;
  dt_builder_add_gradient(b, node, 0, dx);
  return DT_OK;
}

static const dt_layer layers[DT_ACT_COUNT] = {
#define DT_FUNCTION_ROW(NAME, function, at, params, text) \
  [DT_ACT_##NAME] = {.infer = infer, .forward = forward, .backward = backward},
#include "core/functions/functions.def"
#undef DT_FUNCTION_ROW
};

const dt_kind dt_layer_activations[DT_ACT_COUNT] = {
#define DT_FUNCTION_ROW(NAME, function, at, params, text)                      \
  [DT_ACT_##NAME] = {.name = #function,                                        \
                     .doc = text,                                              \
                     .options = (params) > 0 ? options[DT_ACT_##NAME] : NULL,  \
                     .attr_bytes = (params) > 0 ? sizeof(activation_attr) : 0, \
                     .impl = &layers[DT_ACT_##NAME]},
#include "core/functions/functions.def"
#undef DT_FUNCTION_ROW
/* The first parameter is what a bare scalar stands for. */
#define POSITIONAL_0(NAME, option) [DT_ACT_##NAME].positional = option,
#define POSITIONAL_1(NAME, option)
#define DT_FUNCTION_OPTION(NAME, index, option, standard, low, high, text) POSITIONAL_##index(NAME, option)
#include "core/functions/functions.def"
#undef DT_FUNCTION_OPTION
};

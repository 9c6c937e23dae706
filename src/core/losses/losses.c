/* The table of losses, and what all of them do alike. */
#include "core/losses/loss.h"

/* clang-format off */
const dt_kind *const dt_loss_kinds[] = {
    &dt_loss_cross_entropy,
    &dt_loss_mse,
    &dt_loss_huber,
    &dt_loss_binary_cross_entropy,
    &dt_loss_activity_l1,
    &dt_loss_activity_l2,
    &dt_loss_activity_kl,
    NULL,
};
/* clang-format on */

const dt_option dt_loss_options[] = {DT_LOSS_ROWS, {0}};
const dt_option dt_penalty_options[] = {DT_PENALTY_ROWS, {0}};

static const dt_loss *loss_of(const dt_node *node) {
  return (const dt_loss *)node->layer;
}

static void emit_terms(dt_builder *b, const dt_node *node) {
  const bool trains = dt_builder_needs_gradient(b, node, 0);
  const bool mixed = node->mixed_field > 0 && dt_builder_mode(b) == DT_PROGRAM_TRAIN;
  const int field = mixed ? node->mixed_field : node->field;
  const int target = field >= 0 ? dt_builder_field(b, field) : -1;
  const int dx = trains ? dt_builder_new_gradient(b, node, 0) : -1;
  dt_instr *instr = dt_builder_emit_terms(b, node, loss_of(node)->op);
  instr->arg[DT_ARG_X] = dt_builder_input(b, node, 0);
  instr->arg[DT_ARG_TARGET] = target;
  instr->arg[DT_ARG_DX] = dx;
  instr->loss.weight = ((const dt_loss_attr *)node->attr)->weight;
  if (loss_of(node)->set_params != NULL) loss_of(node)->set_params(node->attr, instr->loss.param);
  if (trains) dt_builder_add_gradient(b, node, 0, dx);
}

static void emit_prediction(dt_builder *b, const dt_node *node) {
  static const dt_op ops[] = {[DT_OUTPUT_CLASSES] = DT_OP_SOFTMAX, [DT_OUTPUT_LABELS] = DT_OP_ACT_FWD};
  const dt_prediction output = loss_of(node)->output;
  if (output == DT_OUTPUT_NUMBERS) return;
  int y = dt_builder_new_value(b, node, "probabilities", &node->shape);
  dt_instr *instr = dt_builder_emit(b, node, ops[output]);
  instr->arg[DT_ARG_X] = dt_builder_input(b, node, 0);
  instr->arg[DT_ARG_Y] = y;
  if (output == DT_OUTPUT_LABELS) instr->act.kind = DT_ACT_SIGMOID;
  dt_builder_set_output(b, y);
}

dt_status dt_loss_infer_numbers(dt_node *node, const dt_shape *const *in) {
  node->shape = *in[0];
  dt_node_add_sum(node, "loss", DT_SUM_REAL, 1);
  return DT_OK;
}

dt_field dt_loss_like_input(const void *attr, const dt_shape *x) {
  return (dt_field){.name = "target", .dtype = DT_F32, .shape = *x};
}

dt_status dt_loss_forward(dt_builder *b, const dt_node *node) {
  const bool main = dt_builder_is_main_loss(b, node);
  if (main) dt_builder_set_output(b, dt_builder_input(b, node, 0));
  if (dt_builder_mode(b) != DT_PROGRAM_PREDICT)
    emit_terms(b, node);
  else if (main)
    emit_prediction(b, node);
  return DT_OK;
}

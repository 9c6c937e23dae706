#include "core/program/flops.h"

#include "core/layers/layer.h"

/* No input gradient is needed where nothing is trained below. */
double dt_graph_flops(const dt_graph *graph) {
  int64_t sum = 0;
  bool trained_below = false;
  for (int i = graph->input_count; i < graph->count; i++) {
    const dt_node *node = &graph->node[i];
    const dt_shape *in[DT_NODE_INPUTS];
    for (int k = 0; k < node->input_count; k++) in[k] = &graph->node[node->input[k]].shape;
    if (node->layer->flops_forward != NULL) sum += node->layer->flops_forward(node, in);
    if (node->layer->flops_backward != NULL) sum += node->layer->flops_backward(node, in, trained_below);
    trained_below = trained_below || node->param_count > 0;
  }
  return (double)sum;
}

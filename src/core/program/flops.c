#include "core/program/flops.h"

#include <stdlib.h>

#include "core/layers/layer.h"

void dt_node_flops(const dt_graph *graph, const bool *trainable, const dt_node *node, int64_t *out_forward,
                   int64_t *out_backward) {
  const dt_shape *in[DT_NODE_INPUTS];
  bool needs_dx = false;
  *out_forward = *out_backward = 0;
  for (int i = 0; i < node->input_count; i++) {
    in[i] = &graph->node[node->input[i]].shape;
    needs_dx |= trainable[node->input[i]];
  }
  if (node->layer == NULL) return;
  if (node->layer->flops_forward != NULL) *out_forward = node->layer->flops_forward(node, in);
  if (node->layer->flops_backward != NULL) *out_backward = node->layer->flops_backward(node, in, needs_dx);
}

dt_status dt_graph_flops(const dt_graph *graph, double *out) {
  bool *trainable;
  DT_TRY(dt_alloc((size_t)graph->count, sizeof *trainable, &trainable));
  dt_graph_find_trainable(graph, trainable);
  *out = 0;
  for (int n = 0; n < graph->count; n++) {
    int64_t forward, backward;
    dt_node_flops(graph, trainable, &graph->node[n], &forward, &backward);
    *out += (double)forward + (double)backward;
  }
  free(trainable);
  return DT_OK;
}

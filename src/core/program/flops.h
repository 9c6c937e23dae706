/* What a network costs, in floating-point operations; a multiply-add is two. */
#ifndef DT_CORE_PROGRAM_FLOPS_H
#define DT_CORE_PROGRAM_FLOPS_H

#include "core/program/graph.h"

/* Of a node and one sample; trainable as dt_graph_find_trainable has it: no input gradient is needed where nothing is trained
 * below. */
void dt_node_flops(const dt_graph *graph, const bool *trainable, const dt_node *node, int64_t *out_forward,
                   int64_t *out_backward);
/* Of training on one sample, forward and backward. DT_MEMORY. */
dt_status dt_graph_flops(const dt_graph *graph, double *out);

#endif

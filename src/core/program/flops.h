/* What a network costs. */
#ifndef DT_CORE_PROGRAM_FLOPS_H
#define DT_CORE_PROGRAM_FLOPS_H

#include "core/program/graph.h"

/* Floating-point operations of training on one sample, forward and backward; a multiply-add is two. */
double dt_graph_flops(const dt_graph *graph);

#endif

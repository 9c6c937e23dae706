/* The program as a drawing, for Graphviz. */
#ifndef DT_CORE_PROGRAM_DOT_H
#define DT_CORE_PROGRAM_DOT_H

#include "core/program/program.h"

/* Writes a digraph in the DOT language: a box for each instruction with its op, its node and the shape of what it writes,
 * coloured by section; an ellipse for each parameter; an edge from whatever writes a buffer to all that read it, and along each
 * bucket from the gradients in it to the update. DT_MEMORY. */
dt_status dt_program_dot(const dt_program *program, FILE *out);

#endif

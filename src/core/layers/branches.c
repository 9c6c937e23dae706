/* Branches (Szegedy et al., "Going deeper with convolutions", CVPR 2015): several lists of layers read the same input, and
 * their outputs are joined on channels. An empty list hands the input on as it is. */
#include "core/config/layer_item.h"
#include "core/config/rows.h"
#include "core/layers/layers.h"
#include "core/numbers.h"

typedef struct branches_attr {
  dt_choice_lists lists;
} branches_attr;

static const dt_option options[] = {
    DT_ROW_LISTS("lists", offsetof(branches_attr, lists), NULL, &(const dt_kind *const *const){dt_layer_kinds},
                 "One list of layers for each branch.", .beside = dt_layer_item_options, .beside_bytes = sizeof(dt_layer_item)),
    {0},
};

static dt_status check(const void *attr) {
  const branches_attr *branches = attr;
  DT_REQUIRE(branches->lists.count >= 2 && branches->lists.count <= DT_NODE_INPUTS, DT_USAGE,
             "branches has %d list%s, expected 2 to %d", branches->lists.count, dt_plural(branches->lists.count),
             DT_NODE_INPUTS);
  return DT_OK;
}

static dt_status expand(dt_graph_builder *b, const dt_choice *choice, const char *name, int input, int *out_node) {
  const branches_attr *attr = choice->attr;
  int output[DT_NODE_INPUTS];
  for (int i = 0; i < attr->lists.count; i++) {
    const char *scope;
    DT_TRY(dt_graph_builder_format(b, &scope, "%s.b%d", name, i + 1));
    DT_TRY(dt_graph_add_list(b, &attr->lists.list[i], scope, input, &output[i]));
  }
  const char *join;
  DT_TRY(dt_graph_builder_format(b, &join, "%s.concat", name));
  return dt_graph_add_join(b, &dt_layer_concat, join, output, attr->lists.count, choice->origin, out_node);
}

static const dt_layer layer = {.expand = expand};

const dt_kind dt_layer_branches = {
    .name = "branches",
    .doc = "Several lists of layers over the same input, their outputs joined on channels.",
    .options = options,
    .attr_bytes = sizeof(branches_attr),
    .positional = "lists",
    .impl = &layer,
    .check = check,
};

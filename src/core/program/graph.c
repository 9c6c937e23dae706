/* From the config's nested list to flat nodes.
 *
 * A list of layers is walked in order; each item becomes a node whose input is the node before it, or, for a composite kind,
 * the nodes that its expand adds. `from` names other inputs, all of them before it. Nodes are appended in an order in which
 * every input comes first, so the index is the topological order that lowering walks forwards and automatic differentiation
 * backwards; and a parameter is owned by the first node that uses it, since `share` names what comes before as well. */
#include "core/program/graph.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/config/group.h"
#include "core/config/layer_item.h"
#include "core/format.h"
#include "core/layers/layer.h"
#include "core/numbers.h"
#include "core/program/graph_names.h"
#include "core/region.h"

enum { NODES_MAX = 10000, DEPTH_MAX = 32, KINDS_MAX = 64, HINT_BYTES = 512 };

typedef struct owned_graph {
  dt_graph graph; /* first, so that a dt_graph is its owner */
  dt_region region;
} owned_graph;

/* What the items around a layer say of its parameters. */
typedef struct param_rule {
  double lr_scale;
  bool decay, frozen;
} param_rule;

/* An item that takes parameters from others, while it is added; of a composite, those of layers within it. */
typedef struct sharing {
  const struct sharing *outer;
  const char *name, *scope; /* of the item, and of the list in which it stands */
  const dt_strings *share;
} sharing;

struct dt_graph_builder {
  const dt_config *config;
  owned_graph *owned;
  dt_node *node; /* grows by doubling, to NODES_MAX at most */
  int count, capacity;
  dt_graph_param *param; /* grows likewise */
  int param_count, param_capacity;
  dt_field field[DT_FIELDS_MAX];
  int field_count, input_count;
  dt_graph_names names;
  param_rule rule;
  const sharing *sharing; /* innermost first */
  int depth;              /* of lists within lists */
  uint64_t grouped;       /* a bit for each of train.groups that a parameter is in */
  bool located;           /* the error raised points at its place in the config already */
};

const dt_node *dt_graph_builder_node(const dt_graph_builder *b, int index) {
  DT_ASSERT(index >= 0 && index < b->count);
  return &b->node[index];
}

int dt_graph_builder_count(const dt_graph_builder *b) {
  return b->count;
}

int dt_graph_builder_find(const dt_graph_builder *b, const char *name) {
  const dt_graph_name *found = dt_graph_names_find(&b->names, "", name);
  return found != NULL ? found->node : -1;
}

const char *dt_graph_builder_hint(const dt_graph_builder *b, int last, const char *found, char *text, size_t bytes) {
  dt_graph_names names = b->names;
  while (names.count > 0 && names.entry[names.count - 1].node > last) names.count--;
  return dt_graph_names_hint(&names, "", found, text, bytes);
}

const dt_config *dt_graph_builder_config(const dt_graph_builder *b) {
  return b->config;
}

dt_status dt_graph_builder_alloc(dt_graph_builder *b, size_t bytes, void *out_pointer) {
  return dt_region_alloc(&b->owned->region, bytes, out_pointer);
}

dt_status dt_graph_builder_format(dt_graph_builder *b, const char **out, const char *format, ...) {
  va_list args;
  va_start(args, format);
  dt_status status = dt_region_vformat(&b->owned->region, out, format, args);
  va_end(args);
  return status;
}

/* Points an error that a layer raised about shapes at the layer's place in the config. */
static dt_status locate(dt_graph_builder *b, const char *name, dt_origin origin, dt_status status) {
  if (status != DT_USAGE || b->located) return status;
  b->located = true;
  char text[1024];
  snprintf(text, sizeof text, "%s", dt_error_text());
  dt_error_clear();
  return dt_config_error_at(b->config, origin, "%s: %s", name, text);
}

static const int64_t value_most = INT32_MAX, param_most = INT64_C(1) << 40; /* elements, of a sample and of a parameter */

/* Kernels count within a sample in 32 bits, libraries too, and over samples in 64. */
static dt_status shape_check(const char *what, const dt_shape *shape, int64_t most) {
  char text[DT_SHAPE_TEXT];
  int64_t count = 1;
  for (int i = 0; i < shape->ndim; i++) {
    DT_REQUIRE(shape->dim[i] >= 1 && shape->dim[i] <= INT32_MAX, DT_USAGE,
               "%s would have the shape %s, expected 1 to %d in each direction", what, dt_shape_text(shape, text), INT32_MAX);
    count = dt_count_multiply(count, shape->dim[i]);
  }
  DT_REQUIRE(count <= most, DT_USAGE, "%s would have the shape %s, more than %lld elements", what, dt_shape_text(shape, text),
             (long long)most);
  return DT_OK;
}

static dt_status node_shapes_check(const dt_node *node) {
  DT_TRY(shape_check("the output", &node->shape, value_most));
  for (int i = 0; i < node->param_count; i++) {
    DT_TRY(shape_check(node->param[i].role, &node->param[i].shape, param_most));
  }
  return DT_OK;
}

static dt_status node_reserve(dt_graph_builder *b, dt_origin origin) {
  if (b->count == NODES_MAX) {
    b->located = true;
    return dt_config_error_at(b->config, origin, "the network has more than %d layers", NODES_MAX);
  }
  if (b->count < b->capacity) return DT_OK;
  int capacity = b->capacity > 0 ? 2 * b->capacity : 64;
  dt_node *node = realloc(b->node, (size_t)capacity * sizeof *node);
  DT_REQUIRE(node != NULL, DT_MEMORY, "could not allocate %d layers", capacity);
  b->node = node;
  b->capacity = capacity;
  return DT_OK;
}

static dt_status params_reserve(dt_graph_builder *b, int count) {
  if (b->param_count + count <= b->param_capacity) return DT_OK;
  int capacity = b->param_capacity > 0 ? 2 * b->param_capacity : 64;
  dt_graph_param *param = realloc(b->param, (size_t)capacity * sizeof *param);
  DT_REQUIRE(param != NULL, DT_MEMORY, "could not allocate %d parameters", capacity);
  b->param = param;
  b->param_capacity = capacity;
  return DT_OK;
}

/* What train.groups says of a parameter of that name. */
static void apply_groups(dt_graph_builder *b, dt_graph_param *param) {
  const dt_choices *groups = &dt_config_spec(b->config)->train.groups;
  for (int g = 0; g < groups->count; g++) {
    const dt_group *group = dt_group_of(&groups->item[g]);
    if (!dt_group_has(&groups->item[g], param->name)) continue;
    b->grouped |= UINT64_C(1) << g;
    param->lr_scale *= group->lr_scale;
    param->decay = param->decay && group->decay;
    param->frozen = param->frozen || group->freeze;
  }
}

static dt_status param_append(dt_graph_builder *b, dt_node *node, int i) {
  DT_TRY(params_reserve(b, 1));
  dt_graph_param *param = &b->param[b->param_count];
  *param = (dt_graph_param){.node = node->index, .decl = node->param[i]};
  param->lr_scale = b->rule.lr_scale;
  param->decay = b->rule.decay;
  param->frozen = b->rule.frozen;
  DT_TRY(dt_graph_builder_format(b, &param->name, "%s.%s", node->name, param->decl.role));
  apply_groups(b, param);
  node->param_index[i] = b->param_count++;
  return DT_OK;
}

/* The node's parameter of that role, by its index in the graph's list; -1 = none. */
static int node_param(const dt_node *node, const char *role) {
  for (int i = 0; i < node->param_count; i++) {
    if (strcmp(node->param[i].role, role) == 0) return node->param_index[i];
  }
  return -1;
}

/* The layer that `share` means when it names a single parameter, layer.role; NULL when it does not. */
static const dt_node *role_owner(const dt_graph_builder *b, const sharing *s, const char *text, const char **out_role) {
  const char *dot = strrchr(text, '.');
  char layer[HINT_BYTES];
  if (dot == NULL || (size_t)(dot - text) >= sizeof layer) return NULL;
  snprintf(layer, sizeof layer, "%.*s", (int)(dot - text), text);
  const dt_graph_name *found = dt_graph_names_find(&b->names, s->scope, layer);
  if (found == NULL || found->kind == NULL || node_param(&b->node[found->node], dot + 1) < 0) return NULL;
  *out_role = dot + 1;
  return &b->node[found->node];
}

/* What stands for the node's parameter by one name of `share`; -1 = nothing. Within a composite it is the parameter of the
 * other composite's layer of the same name. */
static dt_status find_shared(const dt_graph_builder *b, const sharing *s, const char *text, const dt_node *node, int i,
                             int *out_param) {
  const char *role, *wanted = node->param[i].role, *rest = node->name + strlen(s->name);
  const dt_graph_name *layer = dt_graph_names_find(&b->names, s->scope, text);
  *out_param = -1;
  if (layer == NULL) {
    const dt_node *owner = role_owner(b, s, text, &role);
    if (owner != NULL && rest[0] == '\0' && strcmp(role, wanted) == 0) *out_param = node_param(owner, role);
    return DT_OK;
  }
  char path[4096];
  snprintf(path, sizeof path, "%s%s", layer->name, rest);
  const dt_graph_name *other = dt_graph_names_find(&b->names, "", path);
  if (other != NULL) *out_param = node_param(&b->node[other->node], wanted);
  DT_REQUIRE(*out_param >= 0, DT_USAGE, "share names %.60s, whose %.60s has no %s: expected equal options", text, path, wanted);
  return DT_OK;
}

static dt_status shared_shapes_check(const dt_graph_builder *b, const dt_node *node, int i) {
  const dt_graph_param *param = &b->param[node->param_index[i]];
  char found[DT_SHAPE_TEXT], expected[DT_SHAPE_TEXT];
  DT_REQUIRE(dt_shape_equal(&param->decl.shape, &node->param[i].shape) && param->decl.layout == node->param[i].layout, DT_USAGE,
             "%s has the shape %s, this layer's %s %s: shared parameters have one shape", param->name,
             dt_shape_text(&param->decl.shape, found), node->param[i].role, dt_shape_text(&node->param[i].shape, expected));
  return DT_OK;
}

/* Enters what the node's layer has declared into the graph's list, but for what it shares with nodes before it. */
static dt_status params_append(dt_graph_builder *b, dt_node *node) {
  int frozen = 0;
  for (int i = 0; i < node->param_count; i++) {
    int shared = -1;
    for (const sharing *s = b->sharing; s != NULL && shared < 0; s = s->outer) {
      for (int k = 0; k < s->share->count && shared < 0; k++) {
        DT_TRY(find_shared(b, s, s->share->value[k], node, i, &shared));
      }
    }
    node->param_index[i] = shared;
    if (shared >= 0) {
      DT_TRY(shared_shapes_check(b, node, i));
    } else {
      DT_TRY(param_append(b, node, i));
    }
    frozen += b->param[node->param_index[i]].frozen;
  }
  node->frozen = frozen > 0 && frozen == node->param_count;
  return DT_OK;
}

/* In one place for all layers: how many inputs they have. */
static dt_status inputs_check(const dt_layer *layer, int count) {
  int least = layer->inputs_least > 0 ? layer->inputs_least : 1, most = layer->inputs_most > 0 ? layer->inputs_most : least;
  char expected[32];
  snprintf(expected, sizeof expected, least == most ? "%d" : "%d to %d", least, most);
  DT_REQUIRE(count >= least && count <= most, DT_USAGE, "found %d input%s, expected %s: `from` names what a layer reads", count,
             dt_plural(count), expected);
  return DT_OK;
}

static dt_status node_append(dt_graph_builder *b, const dt_kind *kind, const dt_node *like, int *out_node) {
  DT_TRY(node_reserve(b, like->origin));
  dt_node *node = &b->node[b->count];
  *node = *like;
  node->index = b->count;
  const dt_shape *in[DT_NODE_INPUTS];
  for (int i = 0; i < node->input_count; i++) in[i] = &dt_graph_builder_node(b, node->input[i])->shape;
  dt_status status = node->layer->infer(node, in);
  if (status == DT_OK) status = node_shapes_check(node);
  if (status == DT_OK) status = params_append(b, node);
  if (status == DT_OK) status = dt_graph_names_add(&b->names, node->name, kind, node->index);
  if (status != DT_OK) return locate(b, node->name, node->origin, status);
  *out_node = b->count++;
  return DT_OK;
}

/* A composite has the name of what comes out of it. */
static dt_status expand(dt_graph_builder *b, const dt_choice *choice, const char *name, int input, int *out_node) {
  dt_status status = ((const dt_layer *)choice->kind->impl)->expand(b, choice, name, input, out_node);
  if (status == DT_OK) status = dt_graph_names_add(&b->names, name, choice->kind, *out_node);
  return locate(b, name, choice->origin, status);
}

static dt_status add_node(dt_graph_builder *b, const dt_choice *choice, const char *name, const int *input, int input_count,
                          int *out_node) {
  const dt_layer *layer = choice->kind->impl;
  dt_status status = inputs_check(layer, input_count);
  if (status != DT_OK) return locate(b, name, choice->origin, status);
  if (layer->expand != NULL) return expand(b, choice, name, input[0], out_node);
  dt_node node = {.name = name, .layer = layer, .attr = choice->attr, .origin = choice->origin, .input_count = input_count};
  memcpy(node.input, input, (size_t)input_count * sizeof *input);
  return node_append(b, choice->kind, &node, out_node);
}

dt_status dt_graph_add(dt_graph_builder *b, const dt_choice *choice, const char *name, int input, int *out_node) {
  return add_node(b, choice, name, &input, 1, out_node);
}

dt_status dt_graph_add_join(dt_graph_builder *b, const dt_kind *kind, const char *name, const int *input, int input_count,
                            dt_origin origin, int *out_node) {
  const dt_choice choice = {.kind = kind, .origin = origin};
  return add_node(b, &choice, name, input, input_count, out_node);
}

static int kind_index(const dt_kind *kind) {
  int index = 0;
  while (dt_layer_kinds[index] != kind) index++;
  DT_ASSERT(index < KINDS_MAX);
  return index;
}

/* --- what stands beside a kind --- */

/* Raises an error at a place within the config, in full. */
#define RAISE_AT(b, value, ...) \
  return (b)->located = true, dt_config_error_at((b)->config, dt_config_origin((b)->config, value), __VA_ARGS__)

static bool is_name(const char *text) {
  static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
  static const char all[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
  return strspn(text, letters) > 0 && text[strspn(text, all)] == '\0';
}

/* Kinds count by their place in the list whether they are named or not, so that a name changes no other one. */
static dt_status item_name(dt_graph_builder *b, const dt_choice *choice, const char *scope, int ordinal, const char **out) {
  const dt_layer_item *item = dt_layer_item_of(choice);
  const char *dot = scope[0] != '\0' ? "." : "";
  if (item->name[0] == '\0') {
    return dt_graph_builder_format(b, out, "%s%s%s%d", scope, dot, dt_layer_stem(choice->kind), ordinal);
  }
  if (!is_name(item->name))
    RAISE_AT(b, &item->name, "name: found \"%s\", expected letters, digits, _ and -, a letter first", item->name);
  return dt_graph_builder_format(b, out, "%s%s%s", scope, dot, item->name);
}

/* What the layer reads: `before`, or what `from` names; before < 0: nothing is before it. */
static dt_status item_inputs(dt_graph_builder *b, const dt_choice *choice, const char *name, const char *scope, int before,
                             int *input, int *out_count) {
  const dt_strings *from = &dt_layer_item_of(choice)->from;
  char hint[HINT_BYTES];
  input[0] = before;
  *out_count = 1;
  if (from->count == 0 && before >= 0) return DT_OK;
  if (from->count == 0) {
    b->located = true;
    return dt_config_error_at(b->config, choice->origin, "%s: found no `from` in a network of several inputs, expected one%s",
                              name, dt_graph_names_hint(&b->names, scope, "", hint, sizeof hint));
  }
  if (from->count > DT_NODE_INPUTS)
    RAISE_AT(b, from, "%s.from: found %d names, expected at most %d", name, from->count, DT_NODE_INPUTS);
  for (int i = 0; i < from->count; i++) {
    const dt_graph_name *found = dt_graph_names_find(&b->names, scope, from->value[i]);
    if (found == NULL)
      RAISE_AT(b, from, "%s.from: found \"%.60s\", expected a layer before it or an input%s", name, from->value[i],
               dt_graph_names_hint(&b->names, scope, from->value[i], hint, sizeof hint));
    input[i] = found->node;
  }
  *out_count = from->count;
  return DT_OK;
}

static dt_status share_check(dt_graph_builder *b, const dt_choice *choice, const sharing *s) {
  const dt_layer_item *item = dt_layer_item_of(choice);
  bool whole = false;
  char hint[HINT_BYTES];
  for (int i = 0; i < s->share->count; i++) {
    const char *text = s->share->value[i], *role;
    const dt_graph_name *found = dt_graph_names_find(&b->names, s->scope, text);
    if (found == NULL && role_owner(b, s, text, &role) == NULL)
      RAISE_AT(b, &item->share, "%s.share: found \"%.60s\", expected a layer before it, or a parameter as layer.role%s",
               s->name, text, dt_graph_names_hint(&b->names, s->scope, text, hint, sizeof hint));
    if (found != NULL && found->kind != choice->kind)
      RAISE_AT(b, &item->share, "%s.share: found \"%.60s\", %s%s, expected another %s", s->name, text,
               found->kind != NULL ? "a " : "an input", found->kind != NULL ? found->kind->name : "", choice->kind->name);
    whole |= found != NULL;
  }
  if (whole && (item->freeze || item->lr_scale != 1 || !item->decay))
    RAISE_AT(b, &item->share,
             "%s: found share beside freeze, lr_scale or decay, expected these where the shared parameters are declared",
             s->name);
  return DT_OK;
}

/* The parameters of a shared layer that no node uses a second time: it has none of its own kind. */
static dt_status shared_any_check(dt_graph_builder *b, const dt_choice *choice, const char *name, int first) {
  for (int n = first; n < b->count; n++) {
    const dt_node *node = &b->node[n];
    for (int i = 0; i < node->param_count; i++) {
      if (b->param[node->param_index[i]].node < first) return DT_OK;
    }
  }
  RAISE_AT(b, &dt_layer_item_of(choice)->share, "%s.share: found a name for a layer that takes no such parameter", name);
}

static param_rule item_rule(const dt_choice *choice, param_rule outer) {
  const dt_layer_item *item = dt_layer_item_of(choice);
  return (param_rule){
      .lr_scale = outer.lr_scale * item->lr_scale, .decay = outer.decay && item->decay, .frozen = outer.frozen || item->freeze};
}

static dt_status list_add_item(dt_graph_builder *b, const dt_choice *choice, const char *scope, int ordinal, int *node) {
  int input[DT_NODE_INPUTS], input_count, first = b->count;
  const param_rule rule = b->rule;
  sharing s = {.outer = b->sharing, .scope = scope, .share = &dt_layer_item_of(choice)->share};
  DT_TRY(item_name(b, choice, scope, ordinal, &s.name));
  DT_TRY(item_inputs(b, choice, s.name, scope, *node, input, &input_count));
  DT_TRY(share_check(b, choice, &s));
  b->rule = item_rule(choice, rule);
  if (s.share->count > 0) b->sharing = &s;
  DT_TRY(add_node(b, choice, s.name, input, input_count, node));
  b->rule = rule;
  b->sharing = s.outer;
  return s.share->count > 0 ? shared_any_check(b, choice, s.name, first) : DT_OK;
}

dt_status dt_graph_add_list(dt_graph_builder *b, const dt_choices *list, const char *scope, int input, int *out_node) {
  int seen[KINDS_MAX] = {0};
  int node = input;
  if (b->depth == DEPTH_MAX) {
    dt_origin origin = dt_config_origin(b->config, list);
    b->located = true;
    return dt_config_error_at(b->config, origin, "layers are nested more than %d deep", DEPTH_MAX);
  }
  b->depth++;
  for (int i = 0; i < list->count; i++) {
    const dt_choice *item = &list->item[i];
    DT_TRY(list_add_item(b, item, scope, ++seen[kind_index(item->kind)], &node));
  }
  b->depth--;
  *out_node = node;
  return DT_OK;
}

/* The field of that name, which is added where it is not there yet. */
static dt_status need_field(dt_graph_builder *b, const dt_field *field, dt_origin origin, int *out_index) {
  *out_index = dt_field_find(b->field, b->field_count, field->name);
  if (*out_index >= 0) return DT_OK;
  if (b->field_count == DT_FIELDS_MAX)
    return dt_config_error_at(b->config, origin, "found more than %d fields", (int)DT_FIELDS_MAX);
  *out_index = b->field_count++;
  b->field[*out_index] = *field;
  return DT_OK;
}

static bool same_field(const dt_field *a, const dt_field *b) {
  return a->dtype == b->dtype && a->layout == b->layout && a->entries == b->entries && dt_shape_equal(&a->shape, &b->shape);
}

static bool is_read_by_input(const dt_graph_builder *b, int field) {
  int n = 0;
  while (n < b->input_count && b->node[n].field != field) n++;
  return n < b->input_count;
}

/* Whether what an input reads can be compared with element by element: numbers, in that shape or as a vector of them all. */
static bool serves_as_target(const dt_field *input, const dt_field *needed) {
  const bool shapes = dt_shape_equal(&input->shape, &needed->shape) ||
                      (needed->shape.ndim == 1 && dt_shape_count(&input->shape) == needed->shape.dim[0]);
  return needed->dtype == DT_F32 && needed->layout == DT_FIELD_DENSE && shapes;
}

dt_status dt_graph_set_target(dt_graph_builder *b, int node, const dt_field *field) {
  if (field == NULL) {
    b->node[node].field = -1;
    return DT_OK;
  }
  char one[DT_SHAPE_TEXT], other[DT_SHAPE_TEXT];
  dt_node *of = &b->node[node];
  int f;
  DT_TRY(need_field(b, field, of->origin, &f));
  of->field = f;
  if (field->limit > 0 && field->limit < b->field[f].limit) b->field[f].limit = field->limit;
  if (is_read_by_input(b, f) ? serves_as_target(&b->field[f], field) : same_field(&b->field[f], field)) return DT_OK;
  return dt_config_error_at(b->config, of->origin,
                            "%s: found the field %s as %s %s elsewhere, expected %s %s: give it a target of its own", of->name,
                            field->name, dt_dtype_name(b->field[f].dtype), dt_shape_text(&b->field[f].shape, one),
                            dt_dtype_name(field->dtype), dt_shape_text(&field->shape, other));
}

dt_status dt_graph_mix_target(dt_graph_builder *b, int node, int64_t classes) {
  dt_node *of = &b->node[node];
  dt_field mixed = {.dtype = DT_F32, .shape = {1, {classes}}, .mixes = of->field + 1};
  const char *label = b->field[of->field].name;
  if (strlen(label) + sizeof ".mixed" > sizeof mixed.name)
    return dt_config_error_at(b->config, of->origin, "%s: found the field %s, expected a shorter name for one that is mixed",
                              of->name, label);
  snprintf(mixed.name, sizeof mixed.name, "%s.mixed", label);
  DT_TRY(need_field(b, &mixed, of->origin, &of->mixed_field));
  if (same_field(&b->field[of->mixed_field], &mixed)) return DT_OK;
  return dt_config_error_at(b->config, of->origin, "%s: found the classes of %s mixed for another number of outputs", of->name,
                            label);
}

const char *dt_graph_target(const dt_graph_builder *b, int node) {
  const int field = b->node[node].field;
  return field >= 0 ? b->field[field].name : "";
}

/* As the data's format tells it before it reads; floats, which take most memory, where it does not. */
static dt_dtype declared_dtype(const dt_spec *spec, const char *field) {
  const dt_choice *data = spec->data.train.kind != NULL ? &spec->data.train : &spec->data.eval;
  dt_fields all;
  const dt_field *declared = dt_format_declared(data, field, &all);
  return declared != NULL ? declared->dtype : DT_F32;
}

static dt_status add_input(dt_graph_builder *b, const dt_spec *spec, int i) {
  const dt_ints *shape = &dt_spec_input(spec, i)->shape;
  const char *name = spec->model.inputs.name[i], *source = dt_spec_input_field(spec, i);
  dt_origin origin = dt_config_origin(b->config, shape);
  dt_field field = {.dtype = declared_dtype(spec, source), .shape.ndim = shape->count};
  DT_ASSERT(shape->count >= 1 && shape->count <= DT_DIMS);
  DT_TRY(node_reserve(b, origin));
  for (int k = 0; k < shape->count; k++) field.shape.dim[k] = shape->value[k];
  snprintf(field.name, sizeof field.name, "%s", source);
  dt_status status = shape_check("the input", &field.shape, value_most);
  if (status != DT_OK) return locate(b, "model.input", origin, status);
  dt_node *node = &b->node[b->count];
  *node = (dt_node){.name = name, .origin = origin, .index = b->count, .shape = field.shape};
  DT_TRY(need_field(b, &field, origin, &node->field));
  if (!same_field(&b->field[node->field], &field)) {
    char found[DT_SHAPE_TEXT], before[DT_SHAPE_TEXT];
    return dt_config_error_at(b->config, origin,
                              "model.inputs.%s: found the shape %s, expected %s: another input reads field %s", name,
                              dt_shape_text(&field.shape, found), dt_shape_text(&b->field[node->field].shape, before), source);
  }
  DT_TRY(dt_graph_names_add(&b->names, node->name, NULL, b->count++));
  return DT_OK;
}

static dt_status add_inputs(dt_graph_builder *b, const dt_spec *spec) {
  for (int i = 0; i < spec->model.inputs.count; i++) DT_TRY(add_input(b, spec, i));
  b->input_count = b->count;
  return DT_OK;
}

static bool is_read(const dt_graph_builder *b, int node) {
  for (int n = node + 1; n < b->count; n++) {
    for (int i = 0; i < b->node[n].input_count; i++) {
      if (b->node[n].input[i] == node) return true;
    }
  }
  return false;
}

static dt_status unread_check(const dt_graph_builder *b) {
  for (int n = 0; n < b->input_count; n++) {
    if (is_read(b, n)) continue;
    return dt_config_error_at(b->config, b->node[n].origin,
                              "model.inputs.%s: found no layer that reads it, expected one or more", b->node[n].name);
  }
  return DT_OK;
}

/* A pattern that matches nothing is a mistake in writing. */
static dt_status groups_check(const dt_graph_builder *b, const dt_spec *spec) {
  _Static_assert(DT_GROUPS_MAX <= 64, "a bit for each");
  for (int g = 0; g < spec->train.groups.count; g++) {
    const dt_choice *item = &spec->train.groups.item[g];
    if ((b->grouped >> g & 1) == 0)
      return dt_config_error_at(
          b->config, item->origin,
          "train.groups.%d.match: found \"%s\", which is the name of no parameter, expected a pattern such "
          "as \"%s\"",
          g, dt_group_pattern(item), b->param_count > 0 ? b->param[0].name : "*.bias");
  }
  return DT_OK;
}

static dt_status parameters_check(const dt_graph_builder *b, const dt_spec *spec) {
  for (int i = 0; i < b->param_count; i++) {
    if (!b->param[i].frozen) return DT_OK;
  }
  return dt_config_error_at(
      b->config, dt_config_origin(b->config, &spec->model.layers), "the network has no parameters%s",
      b->param_count > 0 ? " that are not frozen, so there is nothing to train" : ", so there is nothing to train");
}

/* The last layer's outputs are the classes; its place is where their number stands. */
static dt_status classes_check(const dt_graph_builder *b, const dt_spec *spec, int node) {
  const int64_t outputs = dt_shape_count(&b->node[node].shape);
  const int names = spec->data.classes.count;
  if (names == 0 || names == outputs) return DT_OK;
  return dt_config_error_at(b->config, spec->model.layers.item[spec->model.layers.count - 1].origin,
                            "the network has %lld outputs, and data.classes %d names, expected one for each",
                            (long long)outputs, names);
}

static dt_status build(dt_graph_builder *b) {
  const dt_spec *spec = dt_config_spec(b->config);
  int node = spec->model.inputs.count == 1 ? 0 : -1; /* with several inputs, `from` names which */
  DT_TRY(add_inputs(b, spec));
  DT_TRY(dt_graph_add_list(b, &spec->model.layers, "", 0, &node));
  DT_TRY(groups_check(b, spec));
  DT_TRY(parameters_check(b, spec));
  DT_TRY(classes_check(b, spec, node));
  DT_TRY(unread_check(b));
  return dt_graph_add_goals(b, node, &b->owned->graph.goals);
}

static void add_loss_scale(dt_node *loss) {
  loss->state[loss->state_count++] = (dt_param_decl){
      .role = DT_LOSS_SCALE_ROLE, .shape = {.ndim = 1, .dim = {DT_LOSS_SCALE_COUNT}}, .init = DT_INIT_LOSS_SCALE};
}

dt_status dt_graph_create(const dt_config *config, dt_graph **out) {
  owned_graph *owned;
  DT_TRY(dt_alloc(1, sizeof *owned, &owned));
  dt_graph_builder b = {.config = config, .owned = owned, .rule = {.lr_scale = 1, .decay = true}};
  dt_status status = build(&b);
  dt_graph_names_free(&b.names);
  const dt_goals goals = owned->graph.goals;
  if (status == DT_OK && dt_config_spec(config)->precision == DT_FP16) add_loss_scale(&b.node[goals.loss[0].node]);
  owned->graph = (dt_graph){.config = config,
                            .node = b.node,
                            .count = b.count,
                            .param = b.param,
                            .param_count = b.param_count,
                            .goals = goals,
                            .field_count = b.field_count,
                            .input_count = b.input_count};
  memcpy(owned->graph.field, b.field, sizeof b.field);
  *out = &owned->graph;
  if (status != DT_OK) dt_graph_destroy(out);
  return status;
}

void dt_graph_destroy(dt_graph **graph) {
  if (*graph == NULL) return;
  owned_graph *owned = (owned_graph *)*graph;
  free(owned->graph.node);
  free(owned->graph.param);
  dt_region_free(&owned->region);
  free(owned);
  *graph = NULL;
}

int dt_graph_input_fields(const dt_graph *graph) {
  int count = 0;
  for (int n = 0; n < graph->input_count; n++) count = graph->node[n].field >= count ? graph->node[n].field + 1 : count;
  return count;
}

void dt_graph_take_fields(dt_graph *graph, const dt_fields *data) {
  for (int f = 0; f < graph->field_count; f++) {
    const int d = dt_field_find(data->field, data->count, graph->field[f].name);
    if (d < 0) continue;
    graph->field[f].dtype = data->field[d].dtype;
    graph->field[f].layout = data->field[d].layout;
    if (data->field[d].entries > graph->field[f].entries) graph->field[f].entries = data->field[d].entries;
  }
}

dt_status dt_graph_check_shard(const dt_graph *graph, const dt_config *config, int64_t samples, const char *remedy) {
  for (int n = graph->input_count; n < graph->count; n++) {
    const dt_node *node = &graph->node[n];
    if (node->layer->check_shard == NULL) continue;
    dt_status status = node->layer->check_shard(node, samples);
    if (status != DT_USAGE) {
      DT_TRY(status);
      continue;
    }
    char text[512];
    snprintf(text, sizeof text, "%s", dt_error_text());
    dt_error_clear();
    return dt_config_error_at(config, node->origin, "%s: %s: %s", node->name, text, remedy);
  }
  return DT_OK;
}

void dt_graph_find_trainable(const dt_graph *graph, bool *trainable) {
  for (int n = 0; n < graph->count; n++) {
    const dt_node *node = &graph->node[n];
    trainable[n] = false;
    for (int i = 0; i < node->param_count; i++) trainable[n] |= !graph->param[node->param_index[i]].frozen;
    for (int i = 0; i < node->input_count; i++) trainable[n] |= trainable[node->input[i]];
  }
}

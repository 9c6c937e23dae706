/* Residual block (He et al., "Deep residual learning for image recognition", CVPR 2016): y = s(x) + f(x).
 *
 * s is the identity where f keeps the shape. Else it is a projection without bias: of an image a 1x1 convolution whose stride
 * brings x to f's height and width (option B of the paper), of a vector a linear layer; and where f contains a batchnorm, one
 * with the same options follows the projection. */
#include <inttypes.h>

#include "core/config/layer_item.h"
#include "core/config/rows.h"
#include "core/layers/layers.h"

typedef struct residual_attr {
  dt_choices body;
} residual_attr;

static const dt_option options[] = {
    DT_ROW_LIST("body", offsetof(residual_attr, body), NULL, &(const dt_kind *const *const){dt_layer_kinds}, "The layers of f.",
                .beside = dt_layer_item_options, .beside_bytes = sizeof(dt_layer_item)),
    {0},
};

static dt_status check(const void *attr) {
  const residual_attr *residual = attr;
  DT_REQUIRE(residual->body.count > 0, DT_USAGE, "residual has no layers, expected a list of at least one");
  return DT_OK;
}

/* The least stride with (size - 1) / stride + 1 == wanted, 0 when there is none. */
static int64_t stride_between(int64_t size, int64_t wanted) {
  if (wanted > size || wanted < 1) return 0;
  int64_t stride = (size + wanted - 1) / wanted;
  return (size - 1) / stride + 1 == wanted ? stride : 0;
}

static dt_status one_int(dt_graph_builder *b, int64_t first, int64_t second, dt_ints *out) {
  out->count = 2;
  DT_TRY(dt_graph_builder_alloc(b, 2 * sizeof *out->value, &out->value));
  out->value[0] = first;
  out->value[1] = second;
  return DT_OK;
}

static dt_status conv_projection(dt_graph_builder *b, const dt_shape *x, const dt_shape *fx, dt_choice *out) {
  char from[DT_SHAPE_TEXT], to[DT_SHAPE_TEXT];
  int64_t stride_y = stride_between(x->dim[1], fx->dim[1]), stride_x = stride_between(x->dim[2], fx->dim[2]);
  DT_REQUIRE(
      stride_y > 0 && stride_x > 0, DT_USAGE,
      "x is %s and f(x) is %s: no stride of a 1x1 convolution brings one to the other, adjust pad or stride in the block",
      dt_shape_text(x, from), dt_shape_text(fx, to));
  dt_conv_attr *conv;
  DT_TRY(dt_graph_builder_alloc(b, sizeof *conv, &conv));
  conv->filters = fx->dim[0];
  conv->groups = 1;
  DT_TRY(one_int(b, 1, 1, &conv->window.kernel));
  DT_TRY(one_int(b, stride_y, stride_x, &conv->window.stride));
  out->kind = &dt_layer_conv;
  out->attr = conv;
  return DT_OK;
}

static dt_status linear_projection(dt_graph_builder *b, const dt_shape *fx, dt_choice *out) {
  dt_linear_attr *linear;
  DT_TRY(dt_graph_builder_alloc(b, sizeof *linear, &linear));
  linear->units = fx->dim[0];
  out->kind = &dt_layer_linear;
  out->attr = linear;
  return DT_OK;
}

static const dt_choice *find_batchnorm(const dt_choices *body) {
  for (int i = 0; i < body->count; i++) {
    if (body->item[i].kind == &dt_layer_batchnorm) return &body->item[i];
  }
  return NULL;
}

static dt_status project(dt_graph_builder *b, const dt_choice *choice, const char *name, const dt_shape *fx, int input,
                         int *out_node) {
  const residual_attr *attr = choice->attr;
  dt_shape x = dt_graph_builder_node(b, input)->shape;
  char from[DT_SHAPE_TEXT], to[DT_SHAPE_TEXT];
  DT_REQUIRE(x.ndim == fx->ndim && (x.ndim == 1 || x.ndim == 3), DT_USAGE,
             "x is %s and f(x) is %s: a projection takes an image to an image, or a vector to a vector",
             dt_shape_text(&x, from), dt_shape_text(fx, to));
  dt_choice projection = {.origin = choice->origin};
  DT_TRY(x.ndim == 3 ? conv_projection(b, &x, fx, &projection) : linear_projection(b, fx, &projection));
  const char *projection_name, *bn_name;
  DT_TRY(dt_graph_builder_format(b, &projection_name, "%s.project", name));
  DT_TRY(dt_graph_add(b, &projection, projection_name, input, out_node));
  const dt_choice *batchnorm = find_batchnorm(&attr->body);
  if (batchnorm == NULL) return DT_OK;
  DT_TRY(dt_graph_builder_format(b, &bn_name, "%s.project_bn", name));
  return dt_graph_add(b, batchnorm, bn_name, *out_node, out_node);
}

static dt_status expand(dt_graph_builder *b, const dt_choice *choice, const char *name, int input, int *out_node) {
  const residual_attr *attr = choice->attr;
  int join[2] = {0, input};
  DT_TRY(dt_graph_add_list(b, &attr->body, name, input, &join[0]));
  dt_shape fx = dt_graph_builder_node(b, join[0])->shape;
  if (!dt_shape_equal(&dt_graph_builder_node(b, input)->shape, &fx)) DT_TRY(project(b, choice, name, &fx, input, &join[1]));
  const char *join_name;
  DT_TRY(dt_graph_builder_format(b, &join_name, "%s.add", name));
  return dt_graph_add_join(b, &dt_layer_add, join_name, join, 2, choice->origin, out_node);
}

static const dt_layer layer = {.expand = expand};

const dt_kind dt_layer_residual = {
    .name = "residual",
    .doc = "x + f(x), with a 1x1 projection of x, and a batchnorm after it if f has one, where f changes the shape.",
    .options = options,
    .attr_bytes = sizeof(residual_attr),
    .positional = "body",
    .impl = &layer,
    .check = check,
};

/* Convolution (cross-correlation), with w of [O, I/groups, KH, KW] and the output channel o in group g = o / (O/groups):
 *
 *   y[o][p][q] = b[o] + sum over i, r, s of w[o][i][r][s] * x[g*I/groups + i][p*SH - PH + r*DH][q*SW - PW + s*DW]
 *
 * where x is zero outside the image. All three kernels walk the same terms (for_each_term): forward gathers them into y, the
 * gradient of x scatters w * dy back to where x came from, the gradient of w sums x * dy. */
#include "cpu/reference.h"

/* Indices of one term w * x of the sum for one element of y. */
typedef struct conv_term {
  int64_t y, w, x;
} conv_term;

typedef struct conv_problem {
  dt_reference_image x, y;
  dt_window window;
  int groups;
} conv_problem;

static conv_problem problem_of(const dt_reference_sample *at, dt_arg x, dt_arg y) {
  return (conv_problem){
      .x = dt_reference_image_of(at->run, at->instr, x),
      .y = dt_reference_image_of(at->run, at->instr, y),
      .window = at->instr->conv.window,
      .groups = at->instr->conv.groups,
  };
}

/* The pixel of x under tap k of the window at output position p; outside the image when not in [0, size). */
static int64_t pixel_under(const dt_window *window, int axis, int64_t p, int64_t k) {
  return p * window->stride[axis] - window->pad[axis] + k * window->dilation[axis];
}

typedef void conv_visitor(const double *a, const double *b, double *sum, conv_term term);

/* Visits the terms of the output element (o, p, q). */
static void visit_element(const conv_problem *c, int64_t o, int64_t p, int64_t q, conv_visitor *visit, const double *a,
                          const double *b, double *sum) {
  int64_t inputs = c->x.channels / c->groups;
  int64_t first_input = o / (c->y.channels / c->groups) * inputs;
  int64_t kh = c->window.kernel[0], kw = c->window.kernel[1];
  for (int64_t i = 0; i < inputs; i++) {
    for (int64_t r = 0; r < kh; r++) {
      int64_t row = pixel_under(&c->window, 0, p, r);
      if (row < 0 || row >= c->x.height) continue;
      for (int64_t s = 0; s < kw; s++) {
        int64_t column = pixel_under(&c->window, 1, q, s);
        if (column < 0 || column >= c->x.width) continue;
        conv_term term = {
            .y = (o * c->y.height + p) * c->y.width + q,
            .w = ((o * inputs + i) * kh + r) * kw + s,
            .x = ((first_input + i) * c->x.height + row) * c->x.width + column,
        };
        visit(a, b, sum, term);
      }
    }
  }
}

static void for_each_term(const conv_problem *c, conv_visitor *visit, const double *a, const double *b, double *sum) {
  for (int64_t o = 0; o < c->y.channels; o++) {
    for (int64_t p = 0; p < c->y.height; p++) {
      for (int64_t q = 0; q < c->y.width; q++) visit_element(c, o, p, q, visit, a, b, sum);
    }
  }
}

static void gather_y(const double *x, const double *w, double *y, conv_term t) {
  y[t.y] += w[t.w] * x[t.x];
}

static void scatter_dx(const double *dy, const double *w, double *dx, conv_term t) {
  dx[t.x] += w[t.w] * dy[t.y];
}

static void sum_dw(const double *x, const double *dy, double *dw, conv_term t) {
  dw[t.w] += x[t.x] * dy[t.y];
}

static void conv_forward(const dt_reference_sample *at) {
  conv_problem c = problem_of(at, DT_ARG_X, DT_ARG_Y);
  const double *b = dt_reference_block(at->run, at->instr, at->micro, DT_ARG_B);
  double *y = dt_reference_value(at, DT_ARG_Y);
  int64_t plane = c.y.height * c.y.width;
  for (int64_t i = 0; i < c.y.channels * plane; i++) y[i] = b == NULL ? 0 : b[i / plane];
  for_each_term(&c, gather_y, dt_reference_value(at, DT_ARG_X), dt_reference_block(at->run, at->instr, at->micro, DT_ARG_W), y);
}

static void conv_input_gradient(const dt_reference_sample *at) {
  conv_problem c = problem_of(at, DT_ARG_DX, DT_ARG_DY);
  double *dx = dt_reference_value(at, DT_ARG_DX);
  for (int64_t i = 0; i < c.x.channels * c.x.height * c.x.width; i++) dx[i] = 0;
  for_each_term(&c, scatter_dx, dt_reference_value(at, DT_ARG_DY), dt_reference_block(at->run, at->instr, at->micro, DT_ARG_W),
                dx);
}

static void conv_weight_gradient(const dt_reference_sample *at, double *dw, double *db) {
  conv_problem c = problem_of(at, DT_ARG_X, DT_ARG_DY);
  const double *dy = dt_reference_value(at, DT_ARG_DY);
  if (dw != NULL) for_each_term(&c, sum_dw, dt_reference_value(at, DT_ARG_X), dy, dw);
  if (db == NULL) return;
  int64_t plane = c.y.height * c.y.width;
  for (int64_t i = 0; i < c.y.channels * plane; i++) db[i / plane] += dy[i];
}

dt_status dt_reference_conv_fwd(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  dt_reference_require_plain(instr);
  DT_ASSERT(instr->conv.pool.window.kernel[0] == 0);
  return dt_reference_map(run, instr, micro, DT_ARG_Y, conv_forward);
}

dt_status dt_reference_conv_dgrad(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  dt_reference_require_plain(instr);
  return dt_reference_map(run, instr, micro, DT_ARG_DX, conv_input_gradient);
}

dt_status dt_reference_conv_wgrad(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  return dt_reference_sum(run, instr, micro, conv_weight_gradient);
}

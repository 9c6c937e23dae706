#include "train/check.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/rng.h"

static double dot(const double *a, const double *b, int64_t count) {
  double sum = 0;
  for (int64_t i = 0; i < count; i++) sum += a[i] * b[i];
  return sum;
}

static double length(const double *a, int64_t count) {
  return sqrt(dot(a, a, count));
}

/* Numbers in [-1, 1), each keyed by its place; zeros between the parameters. */
static void draw(const dt_program *program, uint64_t stream, double *out) {
  memset(out, 0, (size_t)program->trained_elements * sizeof *out);
  for (int p = 0; p < program->trained_count; p++) {
    const dt_param *param = &program->param[p];
    for (int64_t e = 0; e < param->count; e++) {
      const dt_rng_block block = dt_rng(stream, DT_RNG_CHECK, (uint64_t)p, (uint64_t)e, 0);
      out[param->offset + e] = 2 * dt_rng_double(block.word[0], block.word[1]) - 1;
    }
  }
}

/* --- backward against finite differences --- */

enum { DIRECTIONS = 4, STEPS = 3 };
static const double step_lengths[STEPS] = {1e-5, 1e-6, 1e-4}, difference_allowed = 1e-5, clear_difference = 1e-7;

typedef struct search {
  dt_objective *objective;
  const dt_program *program;
  const double *param, *gradient;
  double *direction, *moved; /* [count] */
  double *given;             /* [trained_count]: what backward says of the direction's part in each parameter */
} search;

/* A part for each parameter, of a size that makes each count alike in the derivative; of unit length in all. A gradient that is
 * small beside the whole one is taken for a thousandth of its share: one of zero would take all of the direction. */
static void choose_direction(search *s, uint64_t stream) {
  const int64_t count = s->objective->count;
  const double whole = length(s->gradient, count) / sqrt((double)count);
  draw(s->program, stream, s->direction);
  for (int p = 0; p < s->program->trained_count; p++) {
    const dt_param *param = &s->program->param[p];
    double *part = s->direction + param->offset;
    const double typical = length(s->gradient + param->offset, param->count) / sqrt((double)param->count);
    const double counts = whole > 0 ? fmax(typical, 1e-3 * whole) : 1;
    const double size = 1 / (length(part, param->count) * counts);
    for (int64_t e = 0; e < param->count; e++) part[e] *= size;
  }
  const double all = length(s->direction, count);
  for (int64_t e = 0; e < count; e++) s->direction[e] /= all;
  for (int p = 0; p < s->program->trained_count; p++) {
    const dt_param *param = &s->program->param[p];
    s->given[p] = dot(s->gradient + param->offset, s->direction + param->offset, param->count);
  }
}

/* The derivative along the parameters [first, end) of the direction. */
static dt_status difference(search *s, int first, int end, double step, double *out) {
  double value[2];
  for (int side = 0; side < 2; side++) {
    memcpy(s->moved, s->param, (size_t)s->objective->count * sizeof *s->moved);
    for (int p = first; p < end; p++) {
      const dt_param *param = &s->program->param[p];
      for (int64_t e = param->offset; e < param->offset + param->count; e++)
        s->moved[e] += (side == 0 ? step : -step) * s->direction[e];
    }
    DT_TRY(dt_objective_evaluate(s->objective, s->moved, &value[side], NULL));
  }
  *out = (value[0] - value[1]) / (2 * step);
  return DT_OK;
}

/* The relative difference by the step that agrees best: a long one meets the kinks of relu and max, a short one rounding, and
 * neither makes a gradient right that is wrong. */
static dt_status compare(search *s, int first, int end, double *out_error, double *out_found, double *out_given) {
  double scale = 0;
  *out_given = 0;
  for (int p = first; p < end; p++) {
    *out_given += s->given[p];
    scale += s->given[p] * s->given[p];
  }
  *out_error = INFINITY;
  for (int i = 0; i < STEPS && (*out_error > clear_difference); i++) {
    double found;
    DT_TRY(difference(s, first, end, step_lengths[i], &found));
    const double most = fmax(fmax(fabs(found), fabs(*out_given)), sqrt(scale));
    const double error = most > 0 ? fabs(found - *out_given) / most : 0;
    if (error < *out_error) {
      *out_error = error;
      *out_found = found;
    }
  }
  return DT_OK;
}

static dt_status find_wrong(search *s, int first, int end, double *out_error) {
  double found = NAN, given;
  DT_TRY(compare(s, first, end, out_error, &found, &given));
  if (*out_error <= difference_allowed) return DT_OK;
  if (end - first > 1) {
    double half[2];
    DT_TRY(find_wrong(s, first, first + (end - first) / 2, &half[0]));
    DT_TRY(find_wrong(s, first + (end - first) / 2, end, &half[1]));
    *out_error = fmax(half[0], half[1]);
    return DT_OK;
  }
  DT_RAISE(DT_NUMERIC,
           "%s: found %.9g for the loss's derivative along a random direction by backward, expected %.9g by finite differences",
           s->program->param[first].name, given, found);
}

static dt_status search_all(search *s, dt_gradient_check *out) {
  for (out->directions = 0; out->directions < DIRECTIONS; out->directions++) {
    double error;
    choose_direction(s, (uint64_t)out->directions);
    DT_TRY(find_wrong(s, 0, s->program->trained_count, &error));
    out->worst = fmax(out->worst, error);
  }
  return DT_OK;
}

dt_status dt_check_gradient(dt_objective *objective, const double *param, const double *gradient, dt_gradient_check *out) {
  const dt_program *program = objective->job->program[0];
  search s = {.objective = objective, .program = program, .param = param, .gradient = gradient};
  const size_t count = (size_t)objective->count;
  *out = (dt_gradient_check){.worst = 0};
  dt_status status = dt_alloc(2 * count + (size_t)program->trained_count, sizeof(double), &s.direction);
  DT_TRY(dt_comm_agree(objective->job->comm, status));
  s.moved = s.direction + count;
  s.given = s.moved + count;
  status = search_all(&s, out);
  free(s.direction);
  return status;
}

/* --- a device against the reference --- */

static const dt_param *find_param(const dt_program *program, const char *name) {
  for (int p = 0; p < program->trained_count; p++) {
    if (strcmp(program->param[p].name, name) == 0) return &program->param[p];
  }
  return NULL;
}

dt_status dt_compare_gradients(const dt_program *program, const double *gradient, const dt_program *reference,
                               const double *expected, dt_gradient_difference *out) {
  const double whole = length(expected, reference->trained_elements) / sqrt((double)reference->trained_elements);
  *out = (dt_gradient_difference){.worst = 0};
  for (int p = 0; p < reference->trained_count; p++) {
    const dt_param *right = &reference->param[p], *own = find_param(program, right->name);
    double sum = 0;
    DT_ASSERT(own != NULL && own->count == right->count);
    for (int64_t e = 0; e < own->count; e++) sum += pow(gradient[own->offset + e] - expected[right->offset + e], 2);
    const double size = fmax(length(expected + right->offset, right->count), 1e-2 * whole * sqrt((double)right->count));
    const double error = size > 0 ? sqrt(sum) / size : sqrt(sum);
    if (!(error <= out->worst)) { /* what is no number is the worst */
      out->worst = isfinite(error) ? error : INFINITY;
      snprintf(out->name, sizeof out->name, "%s", right->name);
    }
  }
  DT_REQUIRE(out->worst <= 1e-2, DT_NUMERIC, "%s: found a gradient that is off by %.2g of its length, expected at most 0.01",
             out->name, out->worst);
  return DT_OK;
}

/* --- curvature --- */

/* Lanczos' process on products with H: v[j] are orthonormal, and H has the diagonal and the off-diagonal (beta) in them, whose
 * eigenvalues at the ends are soon H's. Older v are not kept: rounding then brings an eigenvalue in again, and no other. */
typedef struct lanczos {
  dt_objective *objective;
  const double *param, *gradient;
  double *before, *v, *hv;         /* [count] */
  double *diagonal, *off_diagonal; /* [products]; off_diagonal[j] joins j and j + 1 */
  int size;
} lanczos;

/* hv = (g(p + e v) - g(p)) / e. */
static dt_status product(lanczos *l, double e) {
  const int64_t count = l->objective->count;
  double value;
  for (int64_t i = 0; i < count; i++) l->hv[i] = l->param[i] + e * l->v[i];
  DT_TRY(dt_objective_evaluate(l->objective, l->hv, &value, l->hv));
  for (int64_t i = 0; i < count; i++) l->hv[i] = (l->hv[i] - l->gradient[i]) / e;
  return DT_OK;
}

/* A step e so short that hardly ever a relu or a max changes sides on it, where the quotient is no derivative. Where one does,
 * the products are not symmetric, which v[j-1] H v[j] = v[j] H v[j-1] shows: then a shorter one is taken. */
static dt_status symmetric_product(lanczos *l) {
  const double size = fmax(1, length(l->param, l->objective->count));
  double e = 1e-9 * size, beta = l->size > 0 ? l->off_diagonal[l->size - 1] : 0;
  for (;; e /= 8) {
    DT_TRY(product(l, e));
    const double off = l->size > 0 ? fabs(dot(l->before, l->hv, l->objective->count) - beta) : 0;
    if (off <= 1e-3 * length(l->hv, l->objective->count) || e < 1e-11 * size) return DT_OK;
  }
}

/* Eigenvalues of the tridiagonal matrix that are below x: signs in its Sturm sequence (Golub and Van Loan, "Matrix
 * computations", 4th edition, section 8.4.1). */
static int below(const lanczos *l, double x) {
  int count = 0;
  double q = 1;
  for (int i = 0; i < l->size; i++) {
    const double off = i > 0 ? l->off_diagonal[i - 1] : 0;
    q = l->diagonal[i] - x - (off == 0 ? 0 : off * off / (q == 0 ? DBL_MIN : q));
    count += q < 0;
  }
  return count;
}

/* The eigenvalue that `rank` others are below, by halving an interval that holds all of them. */
static double eigenvalue(const lanczos *l, int rank) {
  double bound = 0;
  for (int i = 0; i < l->size; i++) {
    const double left = i > 0 ? fabs(l->off_diagonal[i - 1]) : 0, right = i + 1 < l->size ? fabs(l->off_diagonal[i]) : 0;
    bound = fmax(bound, fabs(l->diagonal[i]) + left + right);
  }
  double low = -bound, high = bound;
  for (int i = 0; i < 60; i++) {
    const double middle = (low + high) / 2;
    if (below(l, middle) > rank)
      high = middle;
    else
      low = middle;
  }
  return (low + high) / 2;
}

static dt_status extend(lanczos *l) {
  const int64_t count = l->objective->count;
  const double beta = l->size > 0 ? l->off_diagonal[l->size - 1] : 0;
  DT_TRY(symmetric_product(l));
  l->diagonal[l->size] = dot(l->v, l->hv, count);
  for (int64_t i = 0; i < count; i++) l->hv[i] -= l->diagonal[l->size] * l->v[i] + beta * l->before[i];
  l->off_diagonal[l->size++] = length(l->hv, count);
  return DT_OK;
}

static void turn(lanczos *l) {
  double *oldest = l->before;
  const double beta = l->off_diagonal[l->size - 1];
  l->before = l->v;
  l->v = l->hv;
  l->hv = oldest;
  for (int64_t i = 0; i < l->objective->count; i++) l->v[i] /= beta;
}

static bool is_close(double now, double before, double size) {
  return fabs(now - before) <= 1e-4 * size;
}

/* Both ends have settled when two products in a row change neither by more than a ten thousandth of the larger one. */
static dt_status run_lanczos(lanczos *l, int products, dt_curvature *out) {
  const int64_t count = l->objective->count;
  int settled = 0;
  draw(l->objective->job->program[0], DIRECTIONS, l->v);
  const double size = length(l->v, count);
  for (int64_t i = 0; i < count; i++) l->v[i] /= size;
  while (settled < 2 && l->size < products) {
    DT_TRY(extend(l));
    const double largest = eigenvalue(l, l->size - 1), least = eigenvalue(l, 0), most = fmax(fabs(largest), fabs(least));
    settled = l->size > 1 && is_close(largest, out->largest, most) && is_close(least, out->least, most) ? settled + 1 : 0;
    *out = (dt_curvature){.largest = largest, .least = least, .products = l->size};
    if (!(l->off_diagonal[l->size - 1] > 1e-6 * most)) settled = 2; /* v spans what H makes of it: the ends are exact */
    out->converged = settled == 2;
    if (!out->converged) turn(l);
  }
  return DT_OK;
}

dt_status dt_measure_curvature(dt_objective *objective, const double *param, const double *gradient, int products,
                               dt_curvature *out) {
  lanczos l = {.objective = objective, .param = param, .gradient = gradient};
  const size_t count = (size_t)objective->count;
  double *memory;
  *out = (dt_curvature){.largest = 0};
  DT_TRY(dt_comm_agree(objective->job->comm, dt_alloc(3 * count + 2 * (size_t)products, sizeof(double), &memory)));
  l.before = memory;
  l.v = l.before + count;
  l.hv = l.v + count;
  l.diagonal = l.hv + count;
  l.off_diagonal = l.diagonal + products;
  dt_status status = run_lanczos(&l, products, out);
  free(memory);
  return status;
}

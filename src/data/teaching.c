/* Small problems of a course, made from formulas: no file is needed, and a network of a few units learns each. The same numbers
 * on every machine (core/portable_math.h). */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/config/rows.h"
#include "core/portable_math.h"
#include "data/data.h"
#include "data/formats.h"

typedef struct teaching_attr {
  int64_t samples, classes;
  uint64_t seed;
  double noise, turns;
} teaching_attr;

/* One sample: what its uniform numbers in [0, 1) make of it. */
typedef struct point {
  double x[2];
  double y; /* a class, or the number to predict */
} point;

typedef struct teaching {
  int inputs;
  bool classes; /* y is a label, else a target */
  point (*make)(const teaching_attr *attr, int64_t sample, double u, double v);
} teaching;

/* --- numbers --- */

static double uniform(const teaching_attr *attr, int64_t sample, int which) {
  const dt_rng_block block = dt_rng(attr->seed, DT_RNG_SYNTHETIC, (uint64_t)sample, (uint64_t)(1 + which / 2) << 32, 0);
  return dt_rng_double(block.word[2 * (which & 1)], block.word[2 * (which & 1) + 1]) - 0x1p-53;
}

/* Nearly normal, of deviation 1: the sum of twelve uniform numbers, less 6 (the central limit theorem). */
static double normal(const teaching_attr *attr, int64_t sample, int which) {
  double sum = -6;
  for (int i = 0; i < 12; i++) sum += uniform(attr, sample, 2 + 12 * which + i);
  return sum;
}

/* --- the problems --- */

static point make_sine(const teaching_attr *attr, int64_t sample, double u, double v) {
  double cosine;
  point p = {.x = {2 * u - 1}};
  dt_circle(u, &p.y, &cosine);
  p.y = -p.y + attr->noise * normal(attr, sample, 0); /* sin(pi x) at x = 2 u - 1 is -sin(2 pi u) */
  return p;
}

static point make_xor(const teaching_attr *attr, int64_t sample, double u, double v) {
  const point corner = {.x = {2 * u - 1, 2 * v - 1}, .y = (u < 0.5) != (v < 0.5)};
  return (point){
      .x = {corner.x[0] + attr->noise * normal(attr, sample, 0), corner.x[1] + attr->noise * normal(attr, sample, 1)},
      .y = corner.y};
}

/* Two half circles of radius 1, the second turned over and moved by (1, 0.5), as scikit-learn's make_moons has them. */
static point make_moons(const teaching_attr *attr, int64_t sample, double u, double v) {
  double sine, cosine;
  const bool second = sample % 2 == 1;
  dt_circle(u / 2, &sine, &cosine);
  point p = {.x = {second ? 1 - cosine : cosine, second ? 0.5 - sine : sine}, .y = second};
  for (int i = 0; i < 2; i++) p.x[i] += attr->noise * normal(attr, sample, i);
  return p;
}

/* Arms of a spiral, the radius growing from 0 to 1 over the turns, each arm turned against the one before it. */
static point make_spirals(const teaching_attr *attr, int64_t sample, double u, double v) {
  double sine, cosine;
  const int64_t arm = sample % attr->classes;
  const double angle = u * attr->turns + (double)arm / (double)attr->classes;
  dt_circle(angle - floor(angle), &sine, &cosine);
  point p = {.x = {u * cosine, u * sine}, .y = (double)arm};
  for (int i = 0; i < 2; i++) p.x[i] += attr->noise * normal(attr, sample, i);
  return p;
}

/* --- the format --- */

static void declare(const teaching *problem, dt_fields *out) {
  *out = (dt_fields){.field = {{.name = "input", .dtype = DT_F32, .shape = {1, {problem->inputs}}}}, .count = 2};
  out->field[1] = problem->classes ? (dt_field){.name = "label", .dtype = DT_I32}
                                   : (dt_field){.name = "target", .dtype = DT_F32, .shape = {1, {1}}};
}

static dt_status load(const teaching *problem, const teaching_attr *attr, const char *name, dt_dataset **out) {
  enum { SOURCE_TEXT = 64 };
  dt_fields fields;
  char *source;
  declare(problem, &fields);
  DT_TRY(dt_alloc(SOURCE_TEXT, 1, &source));
  snprintf(source, SOURCE_TEXT, "%s, seed %" PRIu64, name, attr->seed);
  const dt_status status = dt_dataset_create(&fields, attr->samples, NULL, out);
  if (status != DT_OK) {
    free(source);
    return status;
  }
  (*out)->source = source;
  for (int64_t i = 0; i < attr->samples; i++) {
    const point p = problem->make(attr, i, uniform(attr, i, 0), uniform(attr, i, 1));
    for (int k = 0; k < problem->inputs; k++) ((float *)(*out)->data[0].values)[i * problem->inputs + k] = (float)p.x[k];
    if (problem->classes) {
      ((int32_t *)(*out)->data[1].values)[i] = (int32_t)p.y;
    } else {
      ((float *)(*out)->data[1].values)[i] = (float)p.y;
    }
  }
  return DT_OK;
}

#define SAMPLES_ROW                                                                                           \
  DT_ROW_INT("samples", offsetof(teaching_attr, samples), "500", 1, 1 << 24, "How many.", .unit = "samples"), \
      DT_ROW_UINT64("seed", offsetof(teaching_attr, seed), "1",                                               \
                    "Another seed gives other samples, as an evaluation set needs.")
#define NOISE_ROW(standard, of) \
  DT_ROW_REAL("noise", offsetof(teaching_attr, noise), standard, 0, 10, "Standard deviation of what is added to " of ".")

static const dt_option sine_options[] = {SAMPLES_ROW, NOISE_ROW("0.1", "the target"), {0}};
static const dt_option plane_options[] = {SAMPLES_ROW, NOISE_ROW("0.1", "each coordinate"), {0}};
static const dt_option spirals_options[] = {
    SAMPLES_ROW,
    NOISE_ROW("0.02", "each coordinate"),
    DT_ROW_INT("classes", offsetof(teaching_attr, classes), "2", 2, 100, "Arms, one for each class."),
    DT_ROW_REAL("turns", offsetof(teaching_attr, turns), "1.5", 0, 10, "Turns of an arm.", .open_min = true),
    {0},
};

/* A problem becomes a format: its functions, which know it by name, and its row. */
#define PROBLEM(problem, input_count, has_classes, rows, text)                                                          \
  static const teaching problem = {.inputs = input_count, .classes = has_classes, .make = make_##problem};              \
  static void problem##_declare(const void *attr, dt_fields *out) {                                                     \
    declare(&problem, out);                                                                                             \
  }                                                                                                                     \
  static dt_status problem##_inspect(const void *attr, const dt_data_request *request, bool whole, dt_data_info *out) { \
    declare(&problem, &out->fields);                                                                                    \
    out->count = ((const teaching_attr *)attr)->samples;                                                                \
    return DT_OK;                                                                                                       \
  }                                                                                                                     \
  static dt_status problem##_load(const void *attr, const dt_data_request *request, dt_dataset **out) {                 \
    return load(&problem, attr, #problem, out);                                                                         \
  }                                                                                                                     \
  static const dt_format problem##_impl = {                                                                             \
      .declare = problem##_declare, .inspect = problem##_inspect, .load = problem##_load};                              \
  const dt_kind dt_format_##problem = {.name = #problem,                                                                \
                                       .doc = text,                                                                     \
                                       .options = rows,                                                                 \
                                       .attr_bytes = sizeof(teaching_attr),                                             \
                                       .positional = "samples",                                                         \
                                       .impl = &problem##_impl}

PROBLEM(sine, 1, false, sine_options, "A curve to fit: input x in [-1, 1), target sin(pi x) and noise.");
PROBLEM(xor, 2, true, plane_options,
        "Four squares: input in [-1, 1) x [-1, 1), label 1 where the signs differ; no line divides the classes.");
PROBLEM(moons, 2, true, plane_options, "Two half circles, each reaching into the other, alternately.");
PROBLEM(spirals, 2, true, spirals_options, "Arms of a spiral around the origin, in turn; the class is the arm.");

/* What a training is judged by: values of measures, from sums over samples. */
#ifndef DT_CORE_PROGRAM_GOALS_H
#define DT_CORE_PROGRAM_GOALS_H

#include "core/program/graph.h"

/* The measure of that name that is a number; -1: there is none. "" or NULL is the one that counts where the config names
 * none. */
int dt_goals_find(const dt_goals *goals, const char *name);
/* Of a measure that is a number: sum [sums of all nodes], over so many samples; bins: likewise the counts of each that is a
 * histogram, NULL in training. */
double dt_measure_value(const dt_goals *goals, const dt_measure *measure, const double *sum, const int64_t *const *bins,
                        double samples);
/* Whether a value is better than another by more than `gain`. */
bool dt_measure_is_better(const dt_measure *measure, double value, double than, double gain);

/* What an evaluation came to. */
typedef struct dt_evaluation {
  int64_t samples;
  double value[DT_MEASURES_MAX];  /* by measure; 0 of a matrix */
  int64_t count[DT_MEASURES_MAX]; /* of one whose sum is a count */
} dt_evaluation;

/* From the sums of all nodes over so many samples, as dt_measure_value has them. */
void dt_evaluation_make(const dt_goals *goals, const double *sum, const int64_t *const *bins, int64_t samples,
                        dt_evaluation *out);
/* Whether a measure's value is a number that is told: no matrix, nor what only evaluations have, in training. */
bool dt_measure_is_told(const dt_measure *measure, double value);

/* The same on its own: measures with their names, when the network is gone. */
typedef struct dt_measured {
  int64_t samples; /* 0: there was no evaluation */
  int count;       /* of measures that are numbers; the loss comes first, then what the config measures */
  struct {
    char name[DT_MEASURE_NAME];
    bool percent;
    double value;
    int64_t counted, of; /* where it is a share: so many of so many; of 0 where it is none */
  } item[DT_MEASURES_MAX];
} dt_measured;
/* Index of the i-th that commands print: what the config measures in its order, the loss last. */
int dt_measured_printed(const dt_measured *measured, int i);
void dt_measured_take(const dt_goals *goals, const dt_evaluation *evaluation, dt_measured *out);

/* Values of a list of measures as text: "loss 0.12  acc 97.50% (975 of 1000)"; those of the record alone are left out, and
 * counts where `count` is NULL. Returns text. */
const char *dt_measures_text(const dt_goals *goals, const double *value, const int64_t *count, int64_t samples,
                             const char *between, char *text, size_t bytes);
/* One of them: "97.50%", "0.0123". Returns text. */
enum { DT_MEASURE_TEXT = 64 };
const char *dt_measure_text(const dt_measure *measure, double value, char text[DT_MEASURE_TEXT]);

#endif
